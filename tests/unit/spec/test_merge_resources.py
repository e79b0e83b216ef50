"""What `update` makes of a container's resources."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from oci_runtime.spec.merge_resources import completed, merged

PRESENT: dict[str, Any] = {
    "devices": [{"allow": False}],
    "cpu": {"shares": 100, "quota": 50000, "period": 100000, "cpus": "0"},
    "memory": {"limit": 1000, "swap": 3000, "checkBeforeUpdate": False},
    "blockIO": {
        "weight": 10,
        "weightDevice": [{"major": 8, "minor": 0, "weight": 20, "leafWeight": 30}],
        "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1}, {"major": 8, "minor": 0, "rate": 2}],
    },
    "hugepageLimits": [{"pageSize": "2MB", "limit": 1}],
    "network": {"classID": 5, "priorities": [{"name": "lo", "priority": 1}]},
    "rdma": {"a": {"hcaHandles": 1, "hcaObjects": 2}},
    "unified": {"memory.high": "5"},
}


def with_changes(**sections: dict[str, Any]) -> dict[str, Any]:
    """PRESENT with some properties replaced; None takes them out."""
    result = copy.deepcopy(PRESENT)
    for section, changes in sections.items():
        for key, value in changes.items():
            if value is None:
                del result[section][key]
            else:
                result[section][key] = value
    return result


@pytest.mark.parametrize(
    ("update", "expected"),
    [
        ({}, PRESENT),
        ({"devices": [{"allow": True}]}, PRESENT),
        ({"cpu": {"shares": 0, "quota": 0, "period": 0, "cpus": "", "mems": ""}}, PRESENT),
        ({"memory": {"limit": 0, "swap": 0, "checkBeforeUpdate": True, "kernel": 5, "kernelTCP": 6}}, PRESENT),
        ({"blockIO": {"weight": 0}, "network": {"classID": 0}}, PRESENT),
        ({"cpu": {"quota": -1, "burst": 0, "cpus": "1"}}, with_changes(cpu={"quota": -1, "burst": 0, "cpus": "1"})),
        ({"cpu": {"idle": 1}}, with_changes(cpu={"idle": 1, "shares": None})),
        ({"cpu": {"idle": 0, "shares": 7}}, with_changes(cpu={"idle": 0, "shares": 7})),
        ({"memory": {"limit": 2000}}, with_changes(memory={"limit": 2000})),
        ({"memory": {"limit": -1}}, with_changes(memory={"limit": -1, "swap": None})),
        ({"memory": {"limit": -1, "swap": 9}}, with_changes(memory={"limit": -1, "swap": 9})),
        (
            {"memory": {"swappiness": 0, "disableOOMKiller": False}},
            with_changes(memory={"swappiness": 0, "disableOOMKiller": False}),
        ),
        ({"unified": {"pids.max": "1"}}, with_changes(unified={"pids.max": "1"})),
        ({"rdma": {"a": {"hcaHandles": 7}}}, with_changes(rdma={"a": {"hcaHandles": 7, "hcaObjects": 2}})),
        ({"rdma": {"b": {"hcaHandles": 7}}}, with_changes(rdma={"b": {"hcaHandles": 7}})),
        (
            {"network": {"priorities": [{"name": "lo", "priority": 2}]}},
            with_changes(network={"priorities": [{"name": "lo", "priority": 2}]}),
        ),
        (
            {"hugepageLimits": [{"pageSize": "2MB", "limit": 2}, {"pageSize": "1GB", "limit": 3}]},
            {**PRESENT, "hugepageLimits": [{"pageSize": "2MB", "limit": 2}, {"pageSize": "1GB", "limit": 3}]},
        ),
        (
            {
                "blockIO": {
                    "weightDevice": [{"major": 8, "minor": 0, "weight": 21}, {"major": 8, "minor": 1, "weight": 9}]
                }
            },
            with_changes(
                blockIO={
                    "weightDevice": [
                        {"major": 8, "minor": 0, "weight": 21, "leafWeight": 30},
                        {"major": 8, "minor": 1, "weight": 9},
                    ]
                }
            ),
        ),
        (
            {"blockIO": {"throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 3}]}},  # of duplicates the last one
            with_changes(
                blockIO={
                    "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1}, {"major": 8, "minor": 0, "rate": 3}]
                }
            ),
        ),
    ],
)
def test_merged(update: dict[str, Any], expected: dict[str, Any]) -> None:
    before = copy.deepcopy(PRESENT)
    assert merged(PRESENT, update) == expected  # type: ignore[arg-type]
    assert before == PRESENT


def test_merged_with_nothing_present() -> None:
    update: Any = {"pids": {"limit": 0}, "memory": {"limit": 5}, "hugepageLimits": [{"pageSize": "2MB", "limit": 2}]}
    assert merged({}, update) == update


@pytest.mark.parametrize(
    ("update", "expected"),
    [
        ({"pids": {"limit": 1}}, {"pids": {"limit": 1}}),
        ({"cpu": {"shares": 5}}, {"cpu": {"shares": 5}}),
        ({"cpu": {"quota": 5}}, {"cpu": {"quota": 5, "period": 100000}}),
        ({"cpu": {"quota": 0, "period": 5}}, {"cpu": {"quota": 50000, "period": 5}}),
        ({"cpu": {"quota": 4, "period": 5}}, {"cpu": {"quota": 4, "period": 5}}),
        ({"memory": {"limit": 5}}, {"memory": {"limit": 5, "swap": 3000}}),
        ({"memory": {"limit": 5, "swap": 0}}, {"memory": {"limit": 5, "swap": 3000}}),
        ({"memory": {"limit": -1}}, {"memory": {"limit": -1}}),
        ({"memory": {"swap": 5000}}, {"memory": {"limit": 1000, "swap": 5000}}),
        ({"memory": {"swap": -1, "limit": 7}}, {"memory": {"swap": -1, "limit": 7}}),
        ({"memory": {"reservation": 7}}, {"memory": {"reservation": 7}}),
    ],
)
def test_completed(update: dict[str, Any], expected: dict[str, Any]) -> None:
    assert completed(update, PRESENT) == expected  # type: ignore[arg-type]
    assert completed(update, {}) == update  # type: ignore[arg-type]
