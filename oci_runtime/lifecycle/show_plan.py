"""plan: what `create` would do, in words, without doing any of it."""

from __future__ import annotations

from oci_runtime.lifecycle.host_facts import fill_context
from oci_runtime.lifecycle.launch import read_config
from oci_runtime.plan.container import plan_container
from oci_runtime.plan.context import Context, SeccompFilter
from oci_runtime.plan.namespaces import Namespaces
from oci_runtime.plan.operations import Blob, Socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.lifecycle.requests import CreateRequest
    from oci_runtime.plan.operations import Plan
    from oci_runtime.spec.types import Config


def show_plan(request: CreateRequest) -> str:
    """The plan of a bundle, a line an operation."""
    config, _ = read_config(request.bundle)
    return str(_plan(config, request))


def _plan(config: Config, request: CreateRequest) -> Plan:
    """With its descriptors closed and its seccomp filter empty."""
    context = Context(request.bundle, Namespaces(config.get("linux", {})))
    fill_context(context, request, config)
    linux = config.get("linux", {})
    if "seccomp" in linux:
        notify = any(rule["action"] == "SCMP_ACT_NOTIFY" for rule in linux["seccomp"].get("syscalls", ()))
        context.seccomp = SeccompFilter(Blob("seccomp"), 0, notify)
    context.start_socket = Socket("start")
    if config["process"].get("terminal"):
        context.console_socket = Socket("console")
    if any(mount.get("type") in ("cgroup", "cgroup2") for mount in config.get("mounts", ())):
        from oci_runtime.linux.cgroups.manager import new

        manager = new(linux.get("cgroupsPath"), request.id, None)
        context.cgroup_mounts = manager.mounts_for_container("cgroup" in context.namespaces.new)
    return plan_container(config, context)
