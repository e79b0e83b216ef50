"""process.scheduler, process.ioPriority: sched_setattr(2), ioprio_set(2)."""

from __future__ import annotations

from oci_runtime._shim import lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.plan.operations import Plan
    from oci_runtime.spec.types import Process

POLICIES = {
    "SCHED_OTHER": 0,
    "SCHED_FIFO": 1,
    "SCHED_RR": 2,
    "SCHED_BATCH": 3,
    "SCHED_ISO": 4,
    "SCHED_IDLE": 5,
    "SCHED_DEADLINE": 6,
}
FLAGS = {
    "SCHED_FLAG_RESET_ON_FORK": 0x01,
    "SCHED_FLAG_RECLAIM": 0x02,
    "SCHED_FLAG_DL_OVERRUN": 0x04,
    "SCHED_FLAG_KEEP_POLICY": 0x08,
    "SCHED_FLAG_KEEP_PARAMS": 0x10,
    "SCHED_FLAG_UTIL_CLAMP_MIN": 0x20,
    "SCHED_FLAG_UTIL_CLAMP_MAX": 0x40,
}
IO_CLASSES = {"IOPRIO_CLASS_RT": 1, "IOPRIO_CLASS_BE": 2, "IOPRIO_CLASS_IDLE": 3}
IO_CLASS_SHIFT = 13


def plan_scheduler(plan: Plan, process: Process) -> None:
    """Both, where configured."""
    if "scheduler" in process:
        scheduler = process["scheduler"]
        flags = 0
        for flag in scheduler.get("flags", ()):
            flags |= FLAGS[flag]
        numbers = (
            POLICIES[scheduler["policy"]],
            flags,
            scheduler.get("nice", 0),
            scheduler.get("priority", 0),
            _signed(scheduler.get("runtime", 0)),
            _signed(scheduler.get("deadline", 0)),
            _signed(scheduler.get("period", 0)),
        )
        plan.add(lib.OP_SCHEDULER, "/process/scheduler", (), numbers)
    if "ioPriority" in process:
        priority = process["ioPriority"]
        value = IO_CLASSES[priority["class"]] << IO_CLASS_SHIFT | priority.get("priority", 0)
        plan.add(lib.OP_IO_PRIORITY, "/process/ioPriority", (), (value,))


def _signed(value: int) -> int:
    """The 64 bits of an unsigned number, as the plan has them."""
    return value - (1 << 64) if value >> 63 else value
