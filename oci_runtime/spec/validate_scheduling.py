"""The rules for `process.scheduler`, `process.ioPriority` and `process.execCPUAffinity` (config.md; sched(7))."""

from __future__ import annotations

from oci_runtime.errors import Problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.spec.types import Process, Scheduler

MAX_CPU = 64 * 1024
"""No kernel has more CPUs or NUMA nodes; bounds the masks made of these lists."""


def validate_scheduling(process: Process, at: str, problems: list[Problem]) -> None:
    """Append the problems of the three properties, where present."""
    if "scheduler" in process:
        _scheduler(process["scheduler"], at + "/scheduler", problems)
    if not 0 <= process.get("ioPriority", {}).get("priority", 0) <= 7:
        problems.append(Problem(at + "/ioPriority/priority", "must be between 0, the highest, and 7, the lowest"))
    affinity = process.get("execCPUAffinity", {})
    for key, value in (("initial", affinity.get("initial", "")), ("final", affinity.get("final", ""))):
        if value and not parse_list(value):
            problems.append(Problem(f"{at}/execCPUAffinity/{key}", "must be a list of CPUs such as 0-3,7"))


def parse_list(text: str) -> list[tuple[int, int]]:
    """The ranges of a list such as 0-3,7, ends included; empty when it is not one (or says nothing).

    Blanks around and empty entries between the commas are allowed.
    """
    ranges = []
    for entry in text.split(","):
        low, dash, high = entry.strip(" ").partition("-")
        if not (low or dash):
            continue
        if not _number(low) or (dash and not _number(high)):
            return []
        first = int(low)
        last = int(high) if dash else first
        if first > last:
            return []
        ranges.append((first, last))
    return ranges


def _number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10 and int(text) <= MAX_CPU


def _scheduler(scheduler: Scheduler, at: str, problems: list[Problem]) -> None:
    policy = scheduler["policy"]
    if policy == "SCHED_ISO":
        problems.append(Problem(at + "/policy", "is reserved and not implemented by Linux; see sched(7)"))
        return
    if policy in ("SCHED_OTHER", "SCHED_BATCH") and not -20 <= scheduler.get("nice", 0) <= 19:
        problems.append(Problem(at + "/nice", "must be between -20 and 19"))
    priority = scheduler.get("priority", 0)
    if policy in ("SCHED_FIFO", "SCHED_RR"):
        if not 1 <= priority <= 99:
            where = at + "/priority" if "priority" in scheduler else at
            problems.append(Problem(where, f"{policy} needs a priority between 1 and 99"))
    elif priority:
        problems.append(
            Problem(at + "/priority", f"must be 0 or absent with {policy}; only SCHED_FIFO and SCHED_RR use it")
        )
    times = {key: scheduler.get(key, 0) for key in ("runtime", "deadline", "period")}
    if policy != "SCHED_DEADLINE":
        for key, value in times.items():
            if value:
                problems.append(
                    Problem(f"{at}/{key}", f"must be 0 or absent with {policy}; only SCHED_DEADLINE uses it")
                )
    elif not 0 < times["runtime"] <= times["deadline"] <= (times["period"] or times["deadline"]):  # type: ignore[operator]
        problems.append(Problem(at, "SCHED_DEADLINE needs 0 < runtime <= deadline <= period, in nanoseconds"))
