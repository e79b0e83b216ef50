"""Statistics from control files as kernels write them, in directories that stand in for cgroups."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from oci_runtime.linux.cgroups import stats, stats_v1, stats_v2
from oci_runtime.linux.cgroups.cgroup import Cgroup

if TYPE_CHECKING:
    from oci_runtime.linux.cgroups.stats import Stats

Make = Callable[[dict[str, str]], int]


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Make]:
    """Makes a directory with files and opens it."""
    opened: list[int] = []

    def make(contents: dict[str, str]) -> int:
        for name, text in contents.items():
            (tmp_path / name).write_text(text)
        opened.append(os.open(tmp_path, os.O_PATH | os.O_DIRECTORY))
        return opened[-1]

    yield make
    for directory in opened:
        os.close(directory)


def collect_v1(directory: int) -> Stats:
    """As if all controllers were mounted together."""
    cgroup = Cgroup(1, ("all",), "/nowhere", "all")
    cgroup.dir = directory
    return stats_v1.collect(lambda _: cgroup, None)


def test_nothing_is_known(files: Make) -> None:
    """The objects that runc always shows are there."""
    nothing = stats.empty()
    directory = files({"cgroup.procs": "1\n2\n"})
    assert collect_v1(directory) == nothing
    assert stats_v1.collect(lambda _: None, None) == nothing
    assert stats_v2.collect(directory) == {**nothing, "pids": {"current": 2}}


def test_cpu_v1(files: Make) -> None:
    directory = files(
        {
            "cpu.stat": "nr_periods 5\nnr_throttled 2\nthrottled_time 7000\nnr_bursts 1\nburst_time 9\n",
            "cpuacct.stat": "user 3\nsystem 4\n",
            "cpuacct.usage": "81\n",
            "cpuacct.usage_percpu": "30 51 \n",
            "cpuacct.usage_all": "cpu user system\n0 10 20\n1 25 26\n",
        }
    )
    assert collect_v1(directory)["cpu"] == {
        "usage": {
            "total": 81,
            "percpu": [30, 51],
            "percpu_kernel": [20, 26],
            "percpu_user": [10, 25],
            "kernel": 40_000_000,
            "user": 30_000_000,
        },
        "throttling": {"periods": 5, "throttledPeriods": 2, "throttledTime": 7000},
    }


def test_cpu_v2_is_in_nanoseconds_too(files: Make) -> None:
    text = "usage_usec 9\nuser_usec 4\nsystem_usec 5\nnr_periods 3\nnr_throttled 1\nthrottled_usec 6\n"
    assert stats_v2.collect(files({"cpu.stat": text, "cgroup.procs": ""}))["cpu"] == {
        "usage": {"total": 9000, "kernel": 5000, "user": 4000},
        "throttling": {"periods": 3, "throttledPeriods": 1, "throttledTime": 6000},
    }


def test_cpuset_v1(files: Make) -> None:
    flags = dict.fromkeys(stats.empty()["cpuset"], "0\n")
    flags |= {"sched_relax_domain_level": "-1\n", "cpu_exclusive": "1\n", "cpus": "0-2,5\n", "mems": "\n"}
    found = collect_v1(files({f"cpuset.{name}": text for name, text in flags.items()}))["cpuset"]
    assert found == {
        **stats.empty()["cpuset"],
        "sched_relax_domain_level": -1,
        "cpu_exclusive": 1,
        "cpus": [0, 1, 2, 5],
    }


def test_memory_v1(files: Make) -> None:
    directory = files(
        {
            "memory.stat": "cache 10\nrss 5\ntotal_cache -3\n",
            "memory.usage_in_bytes": "15\n",
            "memory.max_usage_in_bytes": "20\n",
            "memory.failcnt": "2\n",
            "memory.limit_in_bytes": "9223372036854771712\n",
            "memory.kmem.usage_in_bytes": "1\n",
        }
    )
    nothing = {"limit": 0, "failcnt": 0}
    assert collect_v1(directory)["memory"] == {
        "cache": 10,
        "usage": {"limit": 9223372036854771712, "usage": 15, "max": 20, "failcnt": 2},
        "swap": nothing,
        "kernel": {"limit": 0, "usage": 1, "failcnt": 0},
        "kernelTCP": nothing,
        "raw": {"cache": 10, "rss": 5, "total_cache": 0},
    }


@pytest.mark.parametrize(
    ("limit", "swap_limit", "both"),
    [("100\n", "50\n", 150), ("100\n", "max\n", stats.UNLIMITED), ("max\n", "50\n", stats.UNLIMITED)],
)
def test_memory_v2(files: Make, limit: str, swap_limit: str, both: int) -> None:
    """Swap is that of v1, memory and swap together."""
    directory = files(
        {
            "memory.stat": "anon 5\nfile 10\n",
            "memory.current": "15\n",
            "memory.peak": "20\n",
            "memory.max": limit,
            "memory.swap.current": "7\n",
            "memory.swap.max": swap_limit,
            "memory.swap.peak": "8\n",
            "cgroup.procs": "",
        }
    )
    found = stats_v2.collect(directory)["memory"]
    assert found["usage"] == {"limit": stats.number(limit), "usage": 15, "max": 20, "failcnt": 0}
    assert found["swap"] == {"limit": both, "usage": 22, "failcnt": 0}
    assert (found["cache"], found["raw"]) == (10, {"anon": 5, "file": 10})


@pytest.mark.parametrize(("limit", "shown"), [("max\n", {}), ("7\n", {"limit": 7})])
def test_pids(files: Make, limit: str, shown: dict[str, int]) -> None:
    directory = files({"pids.current": "3\n", "pids.max": limit, "cgroup.procs": ""})
    for found in (collect_v1(directory), stats_v2.collect(directory)):
        assert found["pids"] == {"current": 3, **shown}


BYTES = "7:0 Read 100\n7:0 Write 0\n7:0 Total 100\nTotal 100\n"
BYTES_SHOWN = [
    {"major": 7, "op": "Read", "value": 100},
    {"major": 7, "op": "Write"},
    {"major": 7, "op": "Total", "value": 100},
]


def test_the_first_scheduler_that_says_something_counts(files: Make) -> None:
    directory = files(
        {
            "blkio.bfq.io_serviced_recursive": "Total 0\n",
            "blkio.throttle.io_serviced_recursive": "8:1 Read 2\nTotal 2\n",
            "blkio.throttle.io_service_bytes_recursive": BYTES,
            "blkio.throttle.io_serviced": "8:1 Read 99\nTotal 99\n",
        }
    )
    assert collect_v1(directory)["blkio"] == {
        "ioServicedRecursive": [{"major": 8, "minor": 1, "op": "Read", "value": 2}],
        "ioServiceBytesRecursive": BYTES_SHOWN,
    }


def test_what_bfq_has_when_built_to_debug_it(files: Make) -> None:
    there = {f"blkio.{file}": BYTES for _, file in stats_v1._BLKIO[0]}
    there["blkio.bfq.sectors_recursive"] = "8:0 30\n"
    found = collect_v1(files(there))["blkio"]
    assert found.keys() == {name for name, _ in stats_v1._BLKIO[0]}
    assert found["sectorsRecursive"] == [{"major": 8, "value": 30}]
    assert found["ioQueueRecursive"] == BYTES_SHOWN


def test_io_v2(files: Make) -> None:
    text = "8:16 rbytes=1 wbytes=2 rios=3 wios=0 dbytes=5 dios=6\n7:0 \n9:1 rbytes=4 cost.usage=7\n"
    device = {"major": 8, "minor": 16}
    assert stats_v2.collect(files({"io.stat": text, "cgroup.procs": ""}))["blkio"] == {
        "ioServiceBytesRecursive": [
            {**device, "op": "Read", "value": 1},
            {**device, "op": "Write", "value": 2},
            {"major": 9, "minor": 1, "op": "Read", "value": 4},
        ],
        "ioServicedRecursive": [{**device, "op": "Read", "value": 3}, {**device, "op": "Write"}],
    }


@pytest.mark.parametrize("reserved", [True, False])
def test_huge_pages(files: Make, monkeypatch: pytest.MonkeyPatch, reserved: bool) -> None:
    """Reservations where they are accounted."""
    monkeypatch.setattr(stats, "page_sizes", lambda: ["2MB", "1GB"])
    v1 = {
        "hugetlb.2MB.usage_in_bytes": "1\n",
        "hugetlb.2MB.max_usage_in_bytes": "2\n",
        "hugetlb.2MB.failcnt": "3\n",
    }
    v2 = {"hugetlb.2MB.current": "1\n", "hugetlb.2MB.events": "max 3\n", "cgroup.procs": ""}
    if reserved:
        v1 |= {name.replace("2MB", "2MB.rsvd"): text.replace("1", "5") for name, text in v1.items()}
        v2 |= {"hugetlb.2MB.rsvd.current": "5\n"}
    directory = files({**v1, **v2})
    usage = 5 if reserved else 1
    assert collect_v1(directory)["hugetlb"] == {"2MB": {"usage": usage, "max": 2, "failcnt": 3}}
    assert stats_v2.collect(directory)["hugetlb"] == {"2MB": {"usage": usage, "failcnt": 3}}


def test_page_sizes_are_named_as_the_controller_does(monkeypatch: pytest.MonkeyPatch) -> None:
    import posix

    there = ["hugepages-64kB", "hugepages-2048kB", "hugepages-1048576kB", "hugepages-16777216kB"]
    monkeypatch.setattr(posix, "listdir", lambda _: there)
    assert stats.page_sizes() == ["64KB", "2MB", "1GB", "16GB"]


def test_pressure(files: Make) -> None:
    text = "some avg10=1.50 avg60=0.00 avg300=0.07 total=123\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=4\n"
    found = stats_v2.collect(files({"io.pressure": text, "cpu.pressure": text.splitlines()[0], "cgroup.procs": ""}))
    assert found["blkio"]["psi"] == {
        "some": {"avg10": 1.5, "avg60": 0, "avg300": 0.07, "total": 123},
        "full": {"avg10": 0, "avg60": 0, "avg300": 0, "total": 4},
    }
    assert found["cpu"]["psi"]["full"] == {"avg10": 0, "avg60": 0, "avg300": 0, "total": 0}
    assert "psi" not in found["memory"]
