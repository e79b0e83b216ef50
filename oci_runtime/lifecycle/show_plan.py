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
    plan = plan_of(config, request.bundle, request)
    return str(plan)


def plan_of(config: Config, bundle: str, request: CreateRequest | None = None) -> Plan:
    """The plan of a valid configuration, with its descriptors closed and its seccomp filter empty."""
    context = Context(bundle, Namespaces(config.get("linux", {})))
    if request:
        fill_context(context, request, config, rootless=False)
    linux = config.get("linux", {})
    if "seccomp" in linux:
        context.seccomp = SeccompFilter(Blob("seccomp"), 0, False)
    context.start_socket = Socket("start")
    if config["process"].get("terminal"):
        context.console_socket = Socket("console")
    if any(mount.get("type") in ("cgroup", "cgroup2") for mount in config.get("mounts", ())):
        from oci_runtime.linux.cgroups.manager import new

        manager = new(linux.get("cgroupsPath"), request.id if request else "container", None)
        context.cgroup_mounts = manager.mounts_for_container("cgroup" in context.namespaces.new)
    return plan_container(config, context)
