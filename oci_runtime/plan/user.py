"""process.user: ids, supplementary groups, umask."""

from __future__ import annotations

from _struct import pack

from oci_runtime._shim import lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.plan.context import Context
    from oci_runtime.plan.operations import Plan
    from oci_runtime.spec.types import Process


def plan_user(plan: Plan, process: Process, context: Context) -> None:
    """The caller's groups stay where setgroups(2) is not wanted, or forbidden: user_namespaces(7)."""
    user = process.get("user", {})
    groups = user.get("additionalGids", [])
    context.groups_left_out = bool(context.groups_kept and groups)
    groups_stay = context.groups_denied or context.groups_kept
    numbers = (user.get("uid", 0), user.get("gid", 0), len(groups), int(groups_stay))
    plan.add(lib.OP_USER, "/process/user", (pack(f"={len(groups)}I", *groups),), numbers)
