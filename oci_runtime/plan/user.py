"""process.user: ids, supplementary groups, umask."""

from __future__ import annotations

from _struct import pack

from oci_runtime._shim import lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.plan.operations import Plan
    from oci_runtime.spec.types import Process


def plan_user(plan: Plan, process: Process, groups_denied: bool) -> None:
    """`groups_denied`: setgroups(2) is forbidden in the user namespace (user_namespaces(7))."""
    user = process.get("user", {})
    groups = user.get("additionalGids", [])
    numbers = (user.get("uid", 0), user.get("gid", 0), len(groups), int(groups_denied))
    plan.add(lib.OP_USER, "/process/user", (pack(f"={len(groups)}I", *groups),), numbers)
