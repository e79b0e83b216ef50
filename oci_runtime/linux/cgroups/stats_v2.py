"""The statistics of a container with cgroup v2, under the names of v1: the kernel's admin-guide/cgroup-v2."""

from __future__ import annotations

from errno import EOPNOTSUPP

from oci_runtime.linux.cgroups import _fs, stats
from oci_runtime.linux.cgroups.stats import UNLIMITED, listed, number, optional, pairs, without_zeros

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.linux.cgroups.stats import Stats

_IO = {
    "rbytes": ("ioServiceBytesRecursive", "Read"),
    "wbytes": ("ioServiceBytesRecursive", "Write"),
    "rios": ("ioServicedRecursive", "Read"),
    "wios": ("ioServicedRecursive", "Write"),
}


def collect(directory: int) -> Stats:
    """All there is to know of the cgroup. Raises OSError."""
    found = stats.empty()
    for add in (cpu_usage, cpu_throttling, cpuset, memory, io, pids, stats.hugetlb_v2, stats.add_pressure):
        add(directory, found)
    return found


def cpu_usage(directory: int, found: Stats) -> None:
    """Every cgroup counts it, whether it has the controller or not."""
    there = pairs(optional(directory, "cpu.stat"))
    usage = {"total": "usage_usec", "kernel": "system_usec", "user": "user_usec"}
    values = {name: there.get(file, 0) * 1000 for name, file in usage.items()}
    found["cpu"]["usage"] = without_zeros(values, "kernel", "user")


def cpu_throttling(directory: int, found: Stats) -> None:
    there = pairs(optional(directory, "cpu.stat"))
    throttling = {
        "periods": there.get("nr_periods", 0),
        "throttledPeriods": there.get("nr_throttled", 0),
        "throttledTime": there.get("throttled_usec", 0) * 1000,
    }
    found["cpu"]["throttling"] = without_zeros(throttling)


def cpuset(directory: int, found: Stats) -> None:
    cpus, mems = (listed(optional(directory, f"cpuset.{name}.effective")) for name in ("cpus", "mems"))
    found["cpuset"].update(without_zeros({"cpus": cpus, "mems": mems}))


def memory(directory: int, found: Stats) -> None:
    entries, raw = found["memory"], pairs(optional(directory, "memory.stat"))
    if not raw:
        return
    usage = _memory_entry(directory, "memory.")
    swap = _memory_entry(directory, "memory.swap.")
    # v1 accounts memory and swap together, of which there is no greatest value
    swap["usage"] += usage["usage"]
    swap["limit"] = UNLIMITED if UNLIMITED in (usage["limit"], swap["limit"]) else usage["limit"] + swap["limit"]
    swap["max"] = 0
    entries["usage"] = without_zeros(usage, "limit", "failcnt")
    entries["swap"] = without_zeros(swap, "limit", "failcnt")
    entries.update(without_zeros({"cache": raw.get("file", 0), "raw": raw}))


def _memory_entry(directory: int, prefix: str) -> dict[str, int]:
    files = {"limit": "max", "usage": "current", "max": "peak"}
    values = {name: number(optional(directory, prefix + file)) for name, file in files.items()}
    return {**values, "failcnt": 0}


def io(directory: int, found: Stats) -> None:
    for line in optional(directory, "io.stat").splitlines():
        device, *fields = line.split()
        major, _, minor = device.partition(":")
        for field in fields:
            key, _, value = field.partition("=")
            if key in _IO:
                name, operation = _IO[key]
                entry = {"major": int(major), "minor": int(minor), "op": operation, "value": number(value)}
                found["blkio"].setdefault(name, []).append(without_zeros(entry))


def pids(directory: int, found: Stats) -> None:
    stats.pids(directory, found)
    if not found["pids"]:
        found["pids"] = {"current": _count(directory)}


def _count(directory: int) -> int:
    """How many processes there are, or threads in a threaded cgroup, where the pids controller does not count them."""
    try:
        return len(_fs.read(directory, "cgroup.procs").split())
    except OSError as error:
        if error.errno != EOPNOTSUPP:
            raise
        return len(_fs.read(directory, "cgroup.threads").split())
