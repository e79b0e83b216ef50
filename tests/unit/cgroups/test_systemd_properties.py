"""linux.resources and annotations as properties of a unit."""

from __future__ import annotations

from typing import Any

import pytest

from oci_runtime.errors import SpecError
from oci_runtime.linux.cgroups import systemd_properties as properties
from oci_runtime.linux.cgroups.systemd_properties import INFINITY, Property

NEW, OLD = (lambda: 257), (lambda: 250)


def shown(found: list[Property]) -> list[tuple[str, Any]]:
    return [(each.name, each.value) for each in found]


def v2(version: Any = NEW, bfq: bool = False, **resources: Any) -> list[tuple[str, Any]]:
    return shown(properties.for_v2(resources, "/r", version, bfq=bfq))  # type: ignore[arg-type]


def v1(**resources: Any) -> list[tuple[str, Any]]:
    return shown(properties.for_v1(resources, "/r"))  # type: ignore[arg-type]


def refused(caught: pytest.ExceptionInfo[SpecError]) -> list[str]:
    return [problem.pointer for problem in caught.value.problems]


def test_nothing() -> None:
    zeros: Any = {
        "memory": {"limit": 0, "swap": 0},
        "cpu": {"shares": 0, "quota": 0, "period": 0},
        "blockIO": {"weight": 0},
    }
    assert v2() == v1() == v2(**zeros) == v1(**zeros) == []


def test_memory() -> None:
    assert v2(memory={"limit": 100, "reservation": 50, "swap": 300}) == [
        ("MemoryMax", 100),
        ("MemoryLow", 50),
        ("MemorySwapMax", 200),
    ]
    assert v2(memory={"limit": -1}) == [("MemoryMax", INFINITY), ("MemorySwapMax", INFINITY)]
    assert v1(memory={"limit": 100, "reservation": 50, "swap": 300}) == [("MemoryLimit", 100)]
    assert v1(memory={"limit": -1}) == [("MemoryLimit", INFINITY)]
    with pytest.raises(SpecError) as caught:
        v2(memory={"limit": 100, "swap": 50})
    assert refused(caught) == ["/r/memory/swap"]


def test_cpu() -> None:
    assert v2(cpu={"shares": 1024}) == [("CPUWeight", 100)]
    assert v1(cpu={"shares": 1024}) == [("CPUShares", 1024)]
    assert v2(cpu={"idle": 1, "shares": 1024}) == [("CPUWeight", 0)]
    assert v2(OLD, cpu={"idle": 1, "shares": 1024}) == [("CPUWeight", 100)]
    assert v2(cpu={"idle": 0, "shares": 1024}) == [("CPUWeight", 100)]


@pytest.mark.parametrize(
    ("quota", "period", "expected"),
    [
        (50000, 100000, [("CPUQuotaPeriodUSec", 100000), ("CPUQuotaPerSecUSec", 500000)]),
        (50000, 0, [("CPUQuotaPerSecUSec", 500000)]),
        (-1, 100000, [("CPUQuotaPeriodUSec", 100000), ("CPUQuotaPerSecUSec", INFINITY)]),
        (-1, 0, [("CPUQuotaPerSecUSec", INFINITY)]),
        (0, 50000, [("CPUQuotaPeriodUSec", 50000), ("CPUQuotaPerSecUSec", INFINITY)]),
        (64321, 100000, [("CPUQuotaPeriodUSec", 100000), ("CPUQuotaPerSecUSec", 650000)]),
    ],
)
def test_quota(quota: int, period: int, expected: list[tuple[str, int]]) -> None:
    assert v2(cpu={"quota": quota, "period": period}) == v1(cpu={"quota": quota, "period": period}) == expected


@pytest.mark.parametrize(
    ("quota", "period", "expected"),
    [(64321, 100000, 65000), (65000, 100000, 65000), (1000, 300000, 3000), (-1, 100000, -1), (33333, None, 34000)],
)
def test_the_cgroup_gets_the_quota_that_systemd_has(quota: int, period: int | None, expected: int) -> None:
    cpu: Any = {"quota": quota, "shares": 5} | ({"period": period} if period else {})
    found = properties.rounded({"cpu": cpu, "pids": {"limit": 1}})
    assert found == {"cpu": cpu | {"quota": expected}, "pids": {"limit": 1}}
    assert properties.rounded(found) == found
    assert cpu["quota"] == quota  # what was given is not changed


@pytest.mark.parametrize(("limit", "value"), [(-1, INFINITY), (0, 1), (1, 1), (77, 77)])
def test_pids(limit: int, value: int) -> None:
    assert v2(pids={"limit": limit}) == v1(pids={"limit": limit}) == [("TasksMax", value)]


@pytest.mark.parametrize(
    ("text", "mask"),
    [("0", b"\x01"), ("0-2,7", b"\x87"), (" 1 , 3-5,", b"\x3a"), ("8", b"\0\x01"), ("0-15", b"\xff\xff")],
)
def test_cpusets(text: str, mask: bytes) -> None:
    assert v2(cpu={"cpus": text, "mems": "0"}) == [("AllowedCPUs", mask), ("AllowedMemoryNodes", b"\x01")]
    assert v1(cpu={"cpus": text}) == [("AllowedCPUs", mask)]


@pytest.mark.parametrize("text", ["a", "2-1", "-", "1-", "-1", ",", "0-99999999999", "1-2-3", "\u0661"])
def test_what_is_no_cpuset(text: str) -> None:
    with pytest.raises(SpecError) as caught:
        v2(cpu={"cpus": text})
    assert refused(caught) == ["/r/cpu/cpus"]
    with pytest.raises(SpecError) as caught:
        v1(cpu={"mems": text})
    assert refused(caught) == ["/r/cpu/mems"]


@pytest.mark.parametrize(
    ("weight", "plain", "bfq"), [(10, 1, 10), (100, 910, 100), (500, 4950, 4500), (1000, 10000, 10000)]
)
def test_io_weight(weight: int, plain: int, bfq: int) -> None:
    assert v2(blockIO={"weight": weight}) == [("IOWeight", plain)]
    assert v2(bfq=True, blockIO={"weight": weight}) == [("IOWeight", bfq)]
    assert v1(blockIO={"weight": weight}) == [("BlockIOWeight", weight)]


def test_systemd_makes_the_same_bfq_weight_of_it() -> None:
    """BFQ_WEIGHT() of systemd's cgroup-setup."""
    for weight in range(10, 1001):
        given = properties.io_weight(weight, True)
        assert (given if given <= 100 else 100 + (given - 100) * 900 // 9900) == weight


def test_io_of_devices() -> None:
    device = {"major": 8, "minor": 16}
    block_io = {
        "weightDevice": [{**device, "weight": 100}, {**device, "leafWeight": 5}],
        "throttleReadBpsDevice": [{**device, "rate": 1000}],
        "throttleWriteBpsDevice": [{**device, "rate": 0}],
        "throttleReadIOPSDevice": [{**device, "rate": 3}],
        "throttleWriteIOPSDevice": [{**device, "rate": 4}],
    }
    assert v2(blockIO=block_io) == [
        ("IODeviceWeight", [("/dev/block/8:16", 910)]),
        ("IOReadBandwidthMax", [("/dev/block/8:16", 1000)]),
        ("IOWriteBandwidthMax", [("/dev/block/8:16", INFINITY)]),
        ("IOReadIOPSMax", [("/dev/block/8:16", 3)]),
        ("IOWriteIOPSMax", [("/dev/block/8:16", 4)]),
    ]
    assert v1(blockIO=block_io) == [
        ("BlockIODeviceWeight", [("/dev/block/8:16", 100)]),
        ("BlockIOReadBandwidth", [("/dev/block/8:16", 1000)]),
        ("BlockIOWriteBandwidth", [("/dev/block/8:16", INFINITY)]),
    ]


def test_unified() -> None:
    unified = {
        "cpu.max": "20000 100000",
        "cpu.weight": " 33 ",
        "cpuset.cpus": "0-1",
        "cpuset.mems": "0",
        "io.weight": "default 70",
        "memory.high": "max",
        "memory.min": "5",
        "memory.low": "6",
        "memory.max": "7",
        "memory.swap.max": "8",
        "memory.zswap.max": "9",
        "pids.max": "0",
        "hugetlb.2MB.max": "10",
        "memory.oom.group": "1",
    }
    assert v2(unified=unified) == [
        ("CPUQuotaPeriodUSec", 100000),
        ("CPUQuotaPerSecUSec", 200000),
        ("CPUWeight", 33),
        ("AllowedCPUs", b"\x03"),
        ("AllowedMemoryNodes", b"\x01"),
        ("IOWeight", 70),
        ("MemoryHigh", INFINITY),
        ("MemoryMin", 5),
        ("MemoryLow", 6),
        ("MemoryMax", 7),
        ("MemorySwapMax", 8),
        ("MemoryZSwapMax", 9),
        ("TasksMax", 1),
    ]
    assert "MemoryZSwapMax" not in dict(v2(OLD, unified=unified))
    assert v2(unified={"cpu.max": "max"}) == [("CPUQuotaPeriodUSec", 100000), ("CPUQuotaPerSecUSec", INFINITY)]
    assert v2(unified={"cpu.idle": "1", "cpu.weight": "5"}) == [("CPUWeight", 0)]
    # what is wrong is left to the kernel, which says why
    assert v2(unified={"memory.max": "a lot", "pids.max": "-5", "cpu.max": "x y", "cpu.weight": "9" * 30}) == []


def test_oom_policy_only_when_the_unit_is_made() -> None:
    def policy(value: str, version: Any = NEW) -> list[tuple[str, Any]]:
        return shown(properties.oom_policy({"unified": {"memory.oom.group": value}}, version))

    assert policy("1") == [("OOMPolicy", "kill")]
    assert policy("0\n") == [("OOMPolicy", "continue")]
    assert policy("1", OLD) == policy("2") == []
    assert properties.oom_policy({}, NEW) == []


def test_devices() -> None:
    rules: Any = [
        {"allow": False, "access": "rwm"},
        {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rw"},
        {"allow": True, "type": "b", "major": 8, "access": "r"},
        {"allow": True, "type": "c", "minor": 5, "access": "r"},
    ]
    empty, policy, allowed = properties.for_devices({"devices": rules}, "/r")
    assert (empty.name, empty.value, policy.name, policy.value) == ("DeviceAllow", [], "DevicePolicy", "strict")
    entries = dict(allowed.value)
    assert entries["/dev/char/10:229"] == "rw"
    assert entries["block-8"] == "r"
    assert (entries["char-*"], entries["block-*"]) == ("m", "m")
    assert entries["/dev/char/1:3"] == entries["char-136"] == "rwm"
    assert len(entries) == 13  # c *:5 cannot be said to systemd


def test_all_devices() -> None:
    found = properties.for_devices({"devices": [{"allow": True, "access": "rwm"}]}, "/r")
    assert shown(found) == [("DeviceAllow", []), ("DevicePolicy", "auto")]
    but_one: Any = [
        {"allow": True, "access": "rwm"},
        {"allow": False, "type": "c", "major": 10, "minor": 5, "access": "w"},
    ]
    found = properties.for_devices({"devices": but_one}, "/r")
    assert shown(found) == [("DeviceAllow", []), ("DevicePolicy", "strict"), ("DeviceAllow", [])]


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("TimeoutStopUSec", "uint64 123456789", ("TimeoutStopUSec", "t", 123456789)),
        ("TimeoutStopSec", "456", ("TimeoutStopUSec", "t", 456000000)),
        ("TimeoutStopSec", "byte 234", ("TimeoutStopUSec", "t", 234000000)),
        ("TimeoutStopSec", "234.789", ("TimeoutStopUSec", "t", 234789000)),
        ("FOOSec", "123", ("FOOSec", "i", 123)),
        ("Sec", "123", ("Sec", "i", 123)),
        ("CollectMode", "'inactive-or-failed'", ("CollectMode", "s", "inactive-or-failed")),
        ("After", "['a.service']", ("After", "as", ["a.service"])),
    ],
)
def test_annotations(name: str, text: str, expected: tuple[str, str, Any]) -> None:
    (found,) = properties.from_annotations({"org.systemd.property." + name: text, "other": "x"})
    assert (found.name, found.signature, found.value) == expected


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("", "1", "no name of a property"),
        ("Xo", "1", "no name of a property"),
        ("Number1", "1", "no name of a property"),
        ("a/b~c", "1", "no name of a property"),
        ("PIDs", "[uint32 1]", "cannot be set by an annotation"),
        ("Slice", "'system.slice'", "cannot be set by an annotation"),
        ("ValidName", "invalid-value", "no value in the text format of GVariant"),
        ("TimeoutStopSec", "'covfefe'", "not a number"),
        ("TimeoutStopSec", "false", "not a number"),
        ("TimeoutStopSec", "-5", "out of range"),
        ("TimeoutStopSec", "1e300", "out of range"),
        ("TimeoutStopSec", "uint64 18446744073709551615", "out of range"),
    ],
)
def test_annotations_that_are_refused(name: str, text: str, reason: str) -> None:
    with pytest.raises(SpecError) as caught:
        properties.from_annotations({"org.systemd.property." + name: text})
    escaped = name.replace("~", "~0").replace("/", "~1")
    assert refused(caught) == ["/annotations/org.systemd.property." + escaped]
    assert reason in str(caught.value)
