"""linux.timeOffsets: time_namespaces(7)."""

from __future__ import annotations

from oci_runtime._shim import lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.plan.operations import Plan
    from oci_runtime.spec.types import Linux


def plan_time_offsets(plan: Plan, linux: Linux) -> None:
    """A new time namespace, its clocks shifted as configured."""
    lines = ""
    for clock, offset in linux.get("timeOffsets", {}).items():
        assert isinstance(offset, dict)
        lines += f"{clock} {offset.get('secs', 0)} {offset.get('nanosecs', 0)}\n"
    plan.add(lib.OP_TIME_NAMESPACE, "/linux/timeOffsets" if lines else "/linux/namespaces", (lines or None,))
