"""What a container has used, in the shape of runc's `events --stats`: what stats_v1 and stats_v2 share.

As in runc numbers that are 0 are left out, but for those that say a limit, a failure count, or a flag of cpusets.
"""

from __future__ import annotations

from errno import ENOENT, EOPNOTSUPP

from oci_runtime.linux.cgroups import _fs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    Stats = dict[str, Any]

#: What "max" is as a number, runc's too.
UNLIMITED = 0xFFFFFFFFFFFFFFFF

#: The fields of "cpuset" that are there even when they are 0; all but the last two are v1's flags.
_CPUSET = (
    "cpu_exclusive",
    "mem_hardwall",
    "mem_exclusive",
    "memory_migrate",
    "memory_spread_page",
    "memory_spread_slab",
    "memory_pressure",
    "sched_load_balance",
    "sched_relax_domain_level",
)


def empty() -> Stats:
    """The statistics of a container that no controller knows anything of."""
    return {
        "cpu": {"usage": {"kernel": 0, "user": 0}, "throttling": {}},
        "cpuset": dict.fromkeys(_CPUSET, 0),
        "memory": {name: {"limit": 0, "failcnt": 0} for name in ("usage", "swap", "kernel", "kernelTCP")},
        "pids": {},
        "blkio": {},
        "hugetlb": {},
        "intel_rdt": {},
        "network_interfaces": None,
    }


def optional(directory: int, name: str) -> str:
    """A control file; '' when this kernel or this cgroup does not have it. Raises OSError."""
    try:
        return _fs.read(directory, name)
    except OSError as error:
        if error.errno != ENOENT:
            raise
        return ""


def number(text: str) -> int:
    """The number that a control file holds; 0 for one that is absent, and for the negative ones of kernel bugs."""
    text = text.strip()
    if text == "max":
        return UNLIMITED
    return max(int(text), 0) if text else 0


def pairs(text: str) -> dict[str, int]:
    """Lines of a name and a number."""
    found = {}
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        found[name] = number(value)
    return found


def without_zeros(values: Mapping[str, Any], *kept: str) -> Stats:
    """`values` but for those that are 0 or empty, unless `kept` names them."""
    return {name: value for name, value in values.items() if value or name in kept}


def listed(text: str) -> list[int]:
    """The numbers of a list such as 0-2,7."""
    found: list[int] = []
    for part in text.strip().split(","):
        if part:
            first, _, last = part.partition("-")
            found += range(int(first), int(last or first) + 1)
    return found


def pids(directory: int, found: Stats) -> None:
    """The member "pids", in v1 and v2 alike; a limit of 0 is none."""
    limit = number(optional(directory, "pids.max"))
    current = number(optional(directory, "pids.current"))
    found["pids"] = without_zeros({"current": current, "limit": 0 if limit == UNLIMITED else limit})


def hugetlb_v2(directory: int, found: Stats) -> None:
    """The member "hugetlb" of a cgroup in the v2 tree: of each page size what is reserved, or used on a kernel that
    does not account reservations."""
    for size in page_sizes():
        usage = optional(directory, f"hugetlb.{size}.rsvd.current") or optional(directory, f"hugetlb.{size}.current")
        if usage:
            failures = pairs(optional(directory, f"hugetlb.{size}.events")).get("max", 0)
            found["hugetlb"][size] = without_zeros({"usage": number(usage), "failcnt": failures}, "failcnt")


def page_sizes() -> list[str]:
    """The huge page sizes of this machine as the controller calls them, such as 2MB."""
    from posix import listdir

    try:
        names = listdir("/sys/kernel/mm/hugepages")
    except OSError:  # built without hugetlbfs
        return []
    found = []
    for name in names:
        size = int(name.removeprefix("hugepages-").removesuffix("kB"))
        unit, shift = ("GB", 20) if size >= 1 << 20 else ("MB", 10) if size >= 1 << 10 else ("KB", 0)
        found.append(f"{size >> shift}{unit}")
    return found


def add_pressure(directory: int, into: Stats) -> None:
    """The members "psi" of cpu, memory and blkio: percentages, and in total microseconds (accounting/psi)."""
    for key, file in (("cpu", "cpu.pressure"), ("memory", "memory.pressure"), ("blkio", "io.pressure")):
        if found := _pressure(directory, file):
            into[key]["psi"] = found


def _pressure(directory: int, file: str) -> Stats:
    """Empty where the kernel or the cgroup does not account it."""
    try:
        text = optional(directory, file)
    except OSError as error:
        if error.errno != EOPNOTSUPP:  # built in but switched off
            raise
        return {}
    if not text:
        return {}
    nothing = {"avg10": 0, "avg60": 0, "avg300": 0, "total": 0}
    found: Stats = {"some": dict(nothing), "full": dict(nothing)}
    for line in text.splitlines():
        kind, *fields = line.split()
        if kind in found:
            for field in fields:
                name, _, value = field.partition("=")
                found[kind][name] = _decimal(value)
    return found


def _decimal(text: str) -> float:
    value = float(text) if "." in text else int(text)
    return int(value) if value == int(value) else value
