"""What of the resources goes to the v1 hierarchies of a host, and what to the v2 tree beside them."""

from __future__ import annotations

from typing import Any

import pytest

from oci_runtime.linux.cgroups.hybrid import split

EVERYTHING: dict[str, Any] = {
    "memory": {"limit": 1},
    "cpu": {"shares": 2, "idle": 0, "cpus": "0", "mems": "0"},
    "pids": {"limit": 3},
    "blockIO": {"weight": 10},
    "hugepageLimits": [{"pageSize": "2MB", "limit": 0}],
    "rdma": {"mlx": {"hcaHandles": 1}},
    "network": {"classID": 1},
    "unified": {},
}
V1 = ("memory", "cpu", "cpuset", "pids", "blkio", "hugetlb", "rdma", "net_cls")


def test_v1_keeps_what_it_has() -> None:
    assert split(EVERYTHING, V1.__contains__, lambda: ["memory", "io"]) == (EVERYTHING, {})  # type: ignore[arg-type]


def test_what_neither_has_stays_to_be_refused() -> None:
    assert split(EVERYTHING, lambda _: False, list) == (EVERYTHING, {})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("missing", "controller", "moved"),
    [
        ("memory", "memory", {"memory": {"limit": 1}}),
        ("cpu", "cpu", {"cpu": {"shares": 2, "idle": 0}}),
        ("cpuset", "cpuset", {"cpu": {"cpus": "0", "mems": "0"}}),
        ("pids", "pids", {"pids": {"limit": 3}}),
        ("blkio", "io", {"blockIO": {"weight": 10}}),
        ("hugetlb", "hugetlb", {"hugepageLimits": [{"pageSize": "2MB", "limit": 0}]}),
        ("rdma", "rdma", {"rdma": {"mlx": {"hcaHandles": 1}}}),
    ],
)
def test_what_only_v2_has_goes_there(missing: str, controller: str, moved: dict[str, Any]) -> None:
    before = repr(EVERYTHING)
    there, here = split(EVERYTHING, lambda name: name in V1 and name != missing, lambda: [controller])  # type: ignore[arg-type]
    assert here == moved
    for name, value in EVERYTHING.items():
        kept = there.get(name)
        if name not in moved:
            assert kept == value
        elif name == "cpu":
            assert kept == {key: value[key] for key in value.keys() - moved["cpu"].keys()}
        else:
            assert name not in there
    assert repr(EVERYTHING) == before


def test_cpu_and_cpuset_may_both_go() -> None:
    there, here = split(EVERYTHING, lambda name: not name.startswith("cpu"), lambda: ["cpu", "cpuset"])  # type: ignore[arg-type]
    assert here == {"cpu": EVERYTHING["cpu"]}
    assert there.get("cpu") == {}
