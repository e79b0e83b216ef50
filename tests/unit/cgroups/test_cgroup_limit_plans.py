"""linux.resources as the writes they amount to."""

from __future__ import annotations

import pytest

from oci_runtime.errors import SpecError
from oci_runtime.linux.cgroups import limits_v1, limits_v2
from oci_runtime.linux.cgroups.limits import Write

GIB = 1 << 30


def shown(writes: list[Write]) -> list[tuple[str, str]]:
    return [(write.files[0], write.value) for write in writes]


def v1(**resources: object) -> list[tuple[str, str]]:
    return shown(limits_v1.plan(resources, "/p"))  # type: ignore[arg-type]


def v2(**resources: object) -> list[tuple[str, str]]:
    return shown(limits_v2.plan(resources, "/p"))  # type: ignore[arg-type]


ZEROS = {"limit": 0, "reservation": 0, "swap": 0, "kernel": 0, "kernelTCP": 0}


def test_nothing() -> None:
    assert v1() == v2() == []
    assert v1(memory=ZEROS, cpu={"shares": 0, "quota": 0, "period": 0}, blockIO={"weight": 0}) == []
    assert v2(memory=ZEROS, cpu={"shares": 0, "quota": 0, "period": 0}, blockIO={"weight": 0}) == []


@pytest.mark.parametrize(("limit", "value"), [(-1, "max"), (-5, "max"), (0, "1"), (1, "1"), (32771, "32771")])
def test_pids(limit: int, value: str) -> None:
    assert v1(pids={"limit": limit}) == v2(pids={"limit": limit}) == [("pids.max", value)]


@pytest.mark.parametrize(
    ("shares", "weight"), [(1, 1), (2, 1), (512, 59), (1024, 100), (2048, 174), (262144, 10000), (1 << 40, 10000)]
)
def test_shares_become_weight(shares: int, weight: int) -> None:
    assert v2(cpu={"shares": shares}) == [("cpu.weight", str(weight))]


def test_weights_grow_with_shares() -> None:
    weights = [limits_v2.shares_to_weight(shares) for shares in range(2, 262145, 97)]
    assert weights == sorted(weights)
    assert weights[0] == 1


@pytest.mark.parametrize(
    ("memory", "writes"),
    [
        ({"limit": GIB}, [("memory.max", str(GIB))]),
        ({"limit": -1}, [("memory.swap.max", "max"), ("memory.max", "max")]),
        ({"limit": GIB, "swap": GIB}, [("memory.swap.max", "0"), ("memory.max", str(GIB))]),
        ({"limit": GIB, "swap": 3 * GIB}, [("memory.swap.max", str(2 * GIB)), ("memory.max", str(GIB))]),
        ({"limit": GIB, "swap": -1}, [("memory.swap.max", "max"), ("memory.max", str(GIB))]),
        ({"limit": -1, "swap": GIB}, [("memory.swap.max", str(GIB)), ("memory.max", "max")]),
        ({"swap": -1}, [("memory.swap.max", "max")]),
        ({"reservation": GIB}, [("memory.low", str(GIB))]),
        ({"reservation": -1}, [("memory.low", "max")]),
        ({"kernel": -1, "kernelTCP": -1, "useHierarchy": True, "disableOOMKiller": False}, []),
        ({"swappiness": 0xFFFFFFFFFFFFFFFF}, []),
    ],
)
def test_memory_v2(memory: dict[str, object], writes: list[tuple[str, str]]) -> None:
    assert v2(memory=memory) == writes


@pytest.mark.parametrize(
    ("cpu", "writes"),
    [
        ({"quota": 50000}, [("cpu.max", "50000 100000")]),
        ({"quota": 50000, "period": 20000}, [("cpu.max", "50000 20000")]),
        ({"quota": -1}, [("cpu.max", "max 100000")]),
        ({"period": 20000}, [("cpu.max", "max 20000")]),
        ({"burst": 0}, [("cpu.max.burst", "0")]),
        ({"idle": 1, "shares": 1024}, [("cpu.weight", "100"), ("cpu.idle", "1")]),
        ({"idle": 0, "shares": 1024}, [("cpu.idle", "0"), ("cpu.weight", "100")]),
        ({"cpus": "0-1", "mems": "0"}, [("cpuset.cpus", "0-1"), ("cpuset.mems", "0")]),
        ({"cpus": "", "mems": ""}, []),
        ({"realtimeRuntime": 0, "realtimePeriod": 0}, []),
    ],
)
def test_cpu_v2(cpu: dict[str, object], writes: list[tuple[str, str]]) -> None:
    assert v2(cpu=cpu) == writes


def test_block_io_v2() -> None:
    device = {"major": 8, "minor": 16}
    block_io = {
        "weight": 500,
        "weightDevice": [{**device, "weight": 1000}],
        "throttleReadBpsDevice": [{**device, "rate": 1}],
        "throttleWriteBpsDevice": [{**device, "rate": 2}],
        "throttleReadIOPSDevice": [{**device, "rate": 3}],
        "throttleWriteIOPSDevice": [{**device, "rate": 0}],
    }
    writes = limits_v2.plan({"blockIO": block_io}, "/p")  # type: ignore[typeddict-item]
    assert shown(writes) == [
        ("io.bfq.weight", "500"),
        ("io.bfq.weight", "8:16 1000"),
        ("io.max", "8:16 rbps=1"),
        ("io.max", "8:16 wbps=2"),
        ("io.max", "8:16 riops=3"),
        ("io.max", "8:16 wiops=max"),
    ]
    assert writes[0].instead == ("io.weight", "4950")
    assert writes[1].instead == ("io.weight", "8:16 10000")
    assert writes[1].pointer == "/p/blockIO/weightDevice/0/weight"


def test_block_io_v1() -> None:
    device = {"major": 8, "minor": 16}
    block_io = {
        "weight": 500,
        "leafWeight": 300,
        "weightDevice": [{**device, "weight": 10, "leafWeight": 20}],
        "throttleReadBpsDevice": [{**device, "rate": 1}],
        "throttleWriteBpsDevice": [{**device, "rate": 2}],
        "throttleReadIOPSDevice": [{**device, "rate": 3}],
        "throttleWriteIOPSDevice": [{**device, "rate": 4}],
    }
    assert v1(blockIO=block_io) == [
        ("blkio.weight", "500"),
        ("blkio.leaf_weight", "300"),
        ("blkio.weight_device", "8:16 10"),
        ("blkio.leaf_weight_device", "8:16 20"),
        ("blkio.throttle.read_bps_device", "8:16 1"),
        ("blkio.throttle.write_bps_device", "8:16 2"),
        ("blkio.throttle.read_iops_device", "8:16 3"),
        ("blkio.throttle.write_iops_device", "8:16 4"),
    ]


def test_network_and_rdma() -> None:
    network = {"classID": 1048577, "priorities": [{"name": "eth0", "priority": 500}]}
    assert v1(network=network) == [("net_cls.classid", "1048577"), ("net_prio.ifpriomap", "eth0 500")]
    rdma = {"mlx5_1": {"hcaHandles": 3, "hcaObjects": 10000}, "a/b": {"hcaObjects": 7}}
    writes = [("rdma.max", "mlx5_1 hca_handle=3 hca_object=10000"), ("rdma.max", "a/b hca_object=7")]
    assert v1(rdma=rdma) == v2(rdma=rdma) == writes
    assert limits_v1.plan({"rdma": rdma}, "/p")[1].pointer == "/p/rdma/a~1b"  # type: ignore[typeddict-item]


def test_unified_is_written_line_by_line() -> None:
    assert v2(unified={"io.max": "8:0 rbps=1\n8:16 wbps=2", "cgroup.max.depth": "3"}) == [
        ("io.max", "8:0 rbps=1"),
        ("io.max", "8:16 wbps=2"),
        ("cgroup.max.depth", "3"),
    ]


@pytest.mark.parametrize(
    ("resources", "pointer"),
    [
        ({"memory": {"swap": GIB}}, "/p/memory/swap"),
        ({"memory": {"limit": 2 * GIB, "swap": GIB}}, "/p/memory/swap"),
        ({"memory": {"kernel": GIB}}, "/p/memory/kernel"),
        ({"memory": {"kernelTCP": GIB}}, "/p/memory/kernelTCP"),
        ({"memory": {"swappiness": 0}}, "/p/memory/swappiness"),
        ({"memory": {"disableOOMKiller": True}}, "/p/memory/disableOOMKiller"),
        ({"memory": {"useHierarchy": False}}, "/p/memory/useHierarchy"),
        ({"cpu": {"realtimeRuntime": 1}}, "/p/cpu/realtimeRuntime"),
        ({"cpu": {"realtimePeriod": 1}}, "/p/cpu/realtimePeriod"),
        ({"blockIO": {"leafWeight": 10}}, "/p/blockIO/leafWeight"),
        (
            {"blockIO": {"weightDevice": [{"major": 8, "minor": 0, "leafWeight": 5}]}},
            "/p/blockIO/weightDevice/0/leafWeight",
        ),
        ({"network": {"classID": 1}}, "/p/network/classID"),
        ({"network": {"priorities": [{"name": "a", "priority": 1}]}}, "/p/network/priorities"),
        ({"unified": {"a/b": "1"}}, "/p/unified/a~1b"),
        ({"unified": {"memory": "1"}}, "/p/unified/memory"),
    ],
)
def test_what_v2_cannot_do(resources: dict[str, object], pointer: str) -> None:
    with pytest.raises(SpecError) as caught:
        limits_v2.plan(resources, "/p")  # type: ignore[arg-type]
    assert [problem.pointer for problem in caught.value.problems] == [pointer]


@pytest.mark.parametrize(
    ("resources", "pointer"),
    [
        ({"unified": {"memory.max": "1"}}, "/p/unified"),
        ({"cpu": {"shares": 1}}, "/p/cpu/shares"),
        ({"cpu": {"shares": 262145}}, "/p/cpu/shares"),
        ({"memory": {"swappiness": 101}}, "/p/memory/swappiness"),
    ],
)
def test_what_v1_cannot_do(resources: dict[str, object], pointer: str) -> None:
    with pytest.raises(SpecError) as caught:
        limits_v1.plan(resources, "/p")  # type: ignore[arg-type]
    assert [problem.pointer for problem in caught.value.problems] == [pointer]
