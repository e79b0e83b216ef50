"""hooks in the container's namespaces: createContainer, startContainer. The others are in linux/hooks.py."""

from __future__ import annotations

from oci_runtime._shim import lib
from oci_runtime.plan.process import environment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.plan.context import Context
    from oci_runtime.plan.operations import Plan
    from oci_runtime.spec.types import Config, Hook

_TIMEOUT_AT_MOST = 1 << 31  # seconds


def plan_create_container_hooks(plan: Plan, config: Config, context: Context) -> None:
    """In the root filesystem's directory, as with runc, with the runtime's privileges and no variables of its."""
    hooks = config["hooks"].get("createContainer", ())
    if hooks:
        plan_hook_files(plan, context)
    for i, hook in enumerate(hooks):
        _plan_hook(plan, hook, f"/hooks/createContainer/{i}", "createContainer", hook.get("env", ()), lib.HOOK_IN_ROOT)


def plan_start_container_hooks(plan: Plan, config: Config, context: Context) -> None:
    """As the process itself will be: its privileges, filter, directory and, unless a hook has its own, variables."""
    variables = environment(config["process"])
    for i, hook in enumerate(config["hooks"]["startContainer"]):
        flags = lib.HOOK_CLOSE_PRESERVED if context.preserved else 0
        if "env" not in hook:
            flags |= lib.HOOK_HOME
        env = hook.get("env", variables)
        _plan_hook(plan, hook, f"/hooks/startContainer/{i}", "startContainer", env, flags)
    plan.add(lib.OP_HOOKS_RAN, "/hooks/startContainer")


def plan_hook_files(plan: Plan, context: Context) -> None:
    """What hooks read and write is made while nothing binds init yet."""
    out, err = context.hook_output
    plan.add(lib.OP_HOOK_FILES, "/hooks", (), (out or -1, err or -1))


def _plan_hook(plan: Plan, hook: Hook, pointer: str, kind: str, env: list[str] | tuple[str, ...], flags: int) -> None:
    args, variables = tuple(hook.get("args") or [hook["path"]]), tuple(env)
    numbers = (len(args), len(variables), min(hook.get("timeout", 0), _TIMEOUT_AT_MOST), flags)
    plan.add(lib.OP_HOOK, pointer, (hook["path"], args, variables, kind), numbers)
