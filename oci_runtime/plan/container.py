"""The plan of a container: from a valid config.json to the operations of `create` and `start`."""

from __future__ import annotations

from oci_runtime._shim import lib
from oci_runtime.paths import clean
from oci_runtime.plan.devices import plan_devices
from oci_runtime.plan.masked_paths import plan_masked_paths
from oci_runtime.plan.mounts import bind_propagation, plan_mounts, plan_read_only_tmpfs
from oci_runtime.plan.namespaces import plan_namespaces
from oci_runtime.plan.operations import Plan
from oci_runtime.plan.process import plan_exec, plan_linux_process, plan_preparation, plan_process
from oci_runtime.plan.readonly_paths import plan_readonly_paths
from oci_runtime.plan.root import plan_enter_root, plan_root, plan_root_attributes
from oci_runtime.plan.terminal import plan_terminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.plan.context import Context
    from oci_runtime.spec.types import Config, Process


def plan_container(config: Config, context: Context) -> Plan:
    """The operations in the order of runtime.md, Lifecycle. Pure: makes no system call."""
    plan = Plan()
    linux = config.get("linux", {})
    process = config["process"]
    hooks = config.get("hooks", {})
    context.id_mappings = (linux.get("uidMappings", []), linux.get("gidMappings", []))
    if linux.get("mountLabel"):
        from oci_runtime.annotations import mount_context_type

        context.mount_label = f'{mount_context_type(config)}="{linux["mountLabel"]}"' if context.selinux else ""
        context.mount_label_left_out = not context.selinux
    new_user_namespace = context.namespaces.has("user")
    context.bind_propagation = bind_propagation(linux.get("rootfsPropagation"), new_user_namespace)

    plan_namespaces(plan, linux, context.namespaces)
    if config.get("hostname") or config.get("domainname"):
        from oci_runtime.plan.hostname import plan_hostname

        plan_hostname(plan, config)
    plan_root(plan, config, context)
    mounts = context.mounts
    if mounts:
        plan_mounts(plan, config, context)
    if mounts or not context.in_user_namespace:
        plan_devices(plan, config, context)
    plan_terminal(plan, process, context, bind_console=mounts)
    plan.add(lib.OP_DIRECTORY, "/process/cwd", (clean(process["cwd"]),))
    if hooks:
        _plan_create_hooks(plan, config, context)
    if mounts:
        plan_read_only_tmpfs(plan, config, context)
        plan_root_attributes(plan, config, context)
        plan_readonly_paths(plan, linux)
        plan_masked_paths(plan, linux, context)
    if linux.get("sysctl"):
        from oci_runtime.plan.sysctl import plan_sysctl

        plan_sysctl(plan, linux)
    plan_enter_root(plan, config, context)
    plan_linux_process(plan, linux)
    plan_preparation(plan, process, context)
    plan.add(lib.OP_WORKING_DIRECTORY, "/process/cwd", (process["cwd"],), (2,))
    plan.add(lib.OP_SYNC, "", (), (lib.SYNC_READY,))
    start_hooks = bool(hooks.get("startContainer"))
    if context.waits_filtered():
        # as with runc and crun the agent has the listener when `create` ends, and decides from the filter's beginning
        plan.add(lib.OP_START_CHANNEL)
        _plan_lowering(plan, process, context, start_hooks)
        _plan_wait(plan, context)
    else:
        _plan_wait(plan, context)
        _plan_lowering(plan, process, context, start_hooks)
    if start_hooks:
        from oci_runtime.plan.hooks import plan_start_container_hooks

        plan_start_container_hooks(plan, config, context)
    plan_exec(plan, process)
    return plan


def _plan_wait(plan: Plan, context: Context) -> None:
    plan.add(lib.OP_WAIT_START, "", (), (context.start_socket if context.start_socket else -1,))


def _plan_lowering(plan: Plan, process: Process, context: Context, hooks: bool) -> None:
    if hooks:
        from oci_runtime.plan.hooks import plan_hook_files

        plan_hook_files(plan, context)
    plan_process(plan, process, context)


def _plan_create_hooks(plan: Plan, config: Config, context: Context) -> None:
    from oci_runtime.plan.hooks import plan_create_container_hooks

    hooks = config["hooks"]
    if hooks.get("prestart") or hooks.get("createRuntime") or hooks.get("createContainer"):
        plan.add(lib.OP_SYNC, "/hooks", (), (lib.SYNC_HOOKS,))
    plan_create_container_hooks(plan, config, context)
