"""Changes of linux.resources and cgroupsPath."""

from __future__ import annotations

from typing import Any

from differential.draw import strategies as st
from differential.draw.change import Change, Config, entries, section
from differential.draw.strategies import Draw

_MIB = 1 << 20
_VALUES: dict[str, list[dict[str, Any]]] = {
    "memory": [
        {"limit": 64 * _MIB},
        {"limit": 64 * _MIB, "swap": 128 * _MIB},
        {"limit": 64 * _MIB, "reservation": 32 * _MIB},
        {"limit": -1, "swap": -1},
        {"limit": 64 * _MIB, "swap": -1},
        {"limit": 0, "swap": 0, "reservation": 0},
        {"limit": 128 * _MIB, "swap": 64 * _MIB},
        {"swappiness": 30},
        {"swappiness": 101},
        {"limit": 64 * _MIB, "disableOOMKiller": True},
        {"kernel": 32 * _MIB},
        {"kernelTCP": 32 * _MIB},
        {"limit": 64 * _MIB, "useHierarchy": True, "checkBeforeUpdate": True},
        {"limit": 12345},
    ],
    "cpu": [
        {"shares": 1024},
        {"shares": 2},
        {"shares": 0},
        {"shares": 1},
        {"shares": 262144},
        {"shares": 300000},
        {"quota": 50000, "period": 100000},
        {"quota": -1},
        {"quota": 0},
        {"period": 50000},
        {"quota": 1},
        {"quota": 50000, "burst": 1000},
        {"cpus": "0"},
        {"cpus": "0-1", "mems": "0"},
        {"cpus": "0-77"},
        {"cpus": ""},
        {"mems": "9"},
        {"idle": 1},
        {"realtimeRuntime": 0, "realtimePeriod": 1000000},
    ],
    "pids": [{"limit": 100}, {"limit": 0}, {"limit": -1}, {"limit": 1 << 40}, {}],
    "blockIO": [
        {},
        {"weight": 0},
        {"weight": 500},
        {"weight": 5},
        {"leafWeight": 10},
        {"throttleReadBpsDevice": [{"major": 254, "minor": 0, "rate": _MIB}]},
        {"throttleWriteIOPSDevice": [{"major": 254, "minor": 0, "rate": 100}]},
        {"throttleReadIOPSDevice": [{"major": 999, "minor": 7, "rate": 100}]},
        {"weightDevice": [{"major": 254, "minor": 0, "weight": 300}]},
    ],
    "network": [{}, {"classID": 1048577}, {"priorities": [{"name": "lo", "priority": 3}]}],
}
_LISTS: dict[str, list[Any]] = {
    "hugepageLimits": [
        [],
        [{"pageSize": "2MB", "limit": 4 * _MIB}],
        [{"pageSize": "3MB", "limit": 1}],
        [{"pageSize": "1GB", "limit": 0}],
    ],
    "rdma": [{}, {"mlx5_0": {"hcaHandles": 3}}],
    "unified": [
        {},
        {"hugetlb.2MB.max": "2097152"},
        {"pids.max": "10"},
        {"no.such": "1"},
        {"../x": "1"},
        {"cgroup.max.depth": "3"},
    ],
}
_RULES: list[dict[str, Any]] = [
    {"allow": False, "access": "rwm"},
    {"allow": True, "access": "rwm"},
    {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rw"},
    {"allow": True, "type": "c", "major": 1, "access": "r"},
    {"allow": False, "type": "c", "major": 1, "minor": 5, "access": "w"},
    {"allow": True, "type": "b", "access": "rwm"},
    {"allow": False, "type": "c", "major": 1, "minor": 3, "access": "rwm"},
    {"allow": True, "type": "a", "access": "m"},
    {"allow": True, "type": "c", "major": -1, "minor": -1, "access": "rwm"},
    {"allow": True, "type": "c", "major": 1, "minor": 11},
    {"allow": True, "type": "c", "major": 1, "minor": 11, "access": "x"},
    {"allow": True, "type": "p", "access": "r"},
    {"access": "rwm"},
]
# "@" becomes the container's name.
_PATHS = [
    "@-relative/c",
    "/@-deep/a/b/c",
    "/@-dots/../@-dots/c",
    "",
    None,
    "/@//slashes/",
    "../@-up",
    "/@-with space/c",
    "@.slice:runc:c",
]


def controller(draw: Draw, config: Config) -> None:
    name = draw(st.sampled_from(list(_VALUES)))
    found = section(config, "linux", "resources")
    value = draw(st.sampled_from([*_VALUES[name], None]))
    if isinstance(found.get(name), dict) and value and draw(st.booleans()):
        found[name] = {**found[name], **value}
    else:
        found[name] = value


def more(draw: Draw, config: Config) -> None:
    name = draw(st.sampled_from(list(_LISTS)))
    section(config, "linux", "resources")[name] = draw(st.sampled_from([*_LISTS[name], None]))


def devices(draw: Draw, config: Config) -> None:
    found = section(config, "linux", "resources")
    rules = draw(st.lists(st.sampled_from(_RULES), min_size=1, max_size=3))
    if draw(st.booleans()):
        found["devices"] = [dict(rule) for rule in rules]
    else:
        entries(found, "devices").extend(dict(rule) for rule in rules)


def no_devices(draw: Draw, config: Config) -> None:
    section(config, "linux", "resources")["devices"] = draw(st.sampled_from([[], None]))


def none(draw: Draw, config: Config) -> None:
    section(config, "linux")["resources"] = draw(st.sampled_from([None, {}]))


def path(draw: Draw, config: Config) -> None:
    chosen = draw(st.sampled_from(_PATHS))
    section(config, "linux")["cgroupsPath"] = chosen


CHANGES: list[Change] = [controller, controller, controller, controller, more, devices, devices, no_devices, none, path]
