"""The statistics of a container with cgroup v1: the kernel's admin-guide/cgroup-v1."""

from __future__ import annotations

from oci_runtime.linux.cgroups import stats, stats_v2
from oci_runtime.linux.cgroups.stats import listed, number, optional, pairs, without_zeros

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from oci_runtime.linux.cgroups.cgroup import Cgroup
    from oci_runtime.linux.cgroups.stats import Stats

    Collect = Callable[[int, Stats], None]

_TICK = 10_000_000  # ns: the 1/100 s of cpuacct.stat, whatever the kernel's own HZ

#: Of these sets of files the first that has anything to say counts. Which one depends on the I/O scheduler, and bfq has
#: all of them only when the kernel was built to debug it.
_BLKIO: tuple[tuple[tuple[str, str], ...], ...] = (
    (
        ("sectorsRecursive", "bfq.sectors_recursive"),
        ("ioServiceTimeRecursive", "bfq.io_service_time_recursive"),
        ("ioWaitTimeRecursive", "bfq.io_wait_time_recursive"),
        ("ioMergedRecursive", "bfq.io_merged_recursive"),
        ("ioQueueRecursive", "bfq.io_queued_recursive"),
        ("ioTimeRecursive", "bfq.time_recursive"),
        ("ioServicedRecursive", "bfq.io_serviced_recursive"),
        ("ioServiceBytesRecursive", "bfq.io_service_bytes_recursive"),
    ),
    (
        ("ioServicedRecursive", "bfq.io_serviced_recursive"),
        ("ioServiceBytesRecursive", "bfq.io_service_bytes_recursive"),
    ),
    (
        ("sectorsRecursive", "sectors_recursive"),
        ("ioServiceTimeRecursive", "io_service_time_recursive"),
        ("ioWaitTimeRecursive", "io_wait_time_recursive"),
        ("ioMergedRecursive", "io_merged_recursive"),
        ("ioQueueRecursive", "io_queued_recursive"),
        ("ioTimeRecursive", "time_recursive"),
        ("ioServicedRecursive", "io_serviced_recursive"),
        ("ioServiceBytesRecursive", "io_service_bytes_recursive"),
    ),
    (
        ("ioServicedRecursive", "throttle.io_serviced_recursive"),
        ("ioServiceBytesRecursive", "throttle.io_service_bytes_recursive"),
    ),
    (
        ("ioServicedRecursive", "throttle.io_serviced"),
        ("ioServiceBytesRecursive", "throttle.io_service_bytes"),
    ),
)


def collect(find: Callable[[str], Cgroup | None], unified: Cgroup | None) -> Stats:
    """All there is to know, from the cgroups that `find` gives for a controller, and on a hybrid host from the one in
    the v2 tree. Raises OSError."""
    found = stats.empty()

    there = -1 if unified is None else unified.open()

    def look(controller: str, v1: Collect, v2: Collect) -> None:
        cgroup = find(controller)
        if cgroup is None:
            if there >= 0:
                v2(there, found)
        elif (directory := cgroup.open()) >= 0:
            v1(directory, found)

    look("cpuset", _cpuset, stats_v2.cpuset)
    look("memory", _memory, stats_v2.memory)
    look("cpuacct", _cpuacct, stats_v2.cpu_usage)
    look("cpu", _cpu, stats_v2.cpu_throttling)
    look("pids", stats.pids, stats_v2.pids)
    look("blkio", _blkio, stats_v2.io)
    look("hugetlb", _hugetlb, stats.hugetlb_v2)
    if there >= 0:
        stats.add_pressure(there, found)
    return found


def _cpuset(directory: int, found: Stats) -> None:
    cpuset = found["cpuset"]
    for name in cpuset:
        text = optional(directory, "cpuset." + name)
        cpuset[name] = int(text or 0)  # sched_relax_domain_level may be -1
    lists = {name: listed(optional(directory, "cpuset." + name)) for name in ("cpus", "mems")}
    cpuset.update(without_zeros(lists))


def _cpu(directory: int, found: Stats) -> None:
    there = pairs(optional(directory, "cpu.stat"))
    names = {"periods": "nr_periods", "throttledPeriods": "nr_throttled", "throttledTime": "throttled_time"}
    found["cpu"]["throttling"] = without_zeros({name: there.get(file, 0) for name, file in names.items()})


def _cpuacct(directory: int, found: Stats) -> None:
    modes = pairs(optional(directory, "cpuacct.stat"))
    _, *by_cpu = optional(directory, "cpuacct.usage_all").splitlines() or [""]  # cpu user system
    columns = [line.split() for line in by_cpu]
    usage = {
        "total": number(optional(directory, "cpuacct.usage")),
        "percpu": [int(value) for value in optional(directory, "cpuacct.usage_percpu").split()],
        "percpu_kernel": [int(column[2]) for column in columns],
        "percpu_user": [int(column[1]) for column in columns],
        "kernel": modes.get("system", 0) * _TICK,
        "user": modes.get("user", 0) * _TICK,
    }
    found["cpu"]["usage"] = without_zeros(usage, "kernel", "user")


def _memory(directory: int, found: Stats) -> None:
    memory, raw = found["memory"], pairs(optional(directory, "memory.stat"))
    memory["usage"] = _memory_entry(directory, "memory.")
    memory["swap"] = _memory_entry(directory, "memory.memsw.")
    memory["kernel"] = _memory_entry(directory, "memory.kmem.")
    memory["kernelTCP"] = _memory_entry(directory, "memory.kmem.tcp.")
    memory.update(without_zeros({"cache": raw.get("cache", 0), "raw": raw}))


def _memory_entry(directory: int, prefix: str) -> Stats:
    files = {"limit": "limit_in_bytes", "usage": "usage_in_bytes", "max": "max_usage_in_bytes", "failcnt": "failcnt"}
    values = {name: number(optional(directory, prefix + file)) for name, file in files.items()}
    return without_zeros(values, "limit", "failcnt")


def _blkio(directory: int, found: Stats) -> None:
    for group in _BLKIO:
        for index, (name, file) in enumerate(group):
            entries = _blkio_entries(optional(directory, "blkio." + file))
            if not entries:
                if index:
                    return
                break
            found["blkio"][name] = entries
        else:
            return


def _blkio_entries(text: str) -> list[Stats]:
    """Lines MAJOR:MINOR [OPERATION] VALUE; the one that begins with Total is a sum."""
    entries = []
    for line in text.splitlines():
        device, *operation, value = line.split()
        if device != "Total":
            major, _, minor = device.partition(":")
            entry: dict[str, Any] = {"major": int(major), "minor": int(minor), "op": "".join(operation)}
            entries.append(without_zeros({**entry, "value": number(value)}))
    return entries


def _hugetlb(directory: int, found: Stats) -> None:
    for size in stats.page_sizes():
        prefix = f"hugetlb.{size}.rsvd."
        usage = optional(directory, prefix + "usage_in_bytes")
        if not usage:
            prefix = f"hugetlb.{size}."
            usage = optional(directory, prefix + "usage_in_bytes")
        if usage:
            most = number(optional(directory, prefix + "max_usage_in_bytes"))
            failures = number(optional(directory, prefix + "failcnt"))
            values = {"usage": number(usage), "max": most, "failcnt": failures}
            found["hugetlb"][size] = without_zeros(values, "failcnt")
