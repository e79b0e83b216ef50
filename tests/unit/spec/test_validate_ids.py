"""The rules that need both a process and a container, for `exec`; and helpers that other layers use."""

from __future__ import annotations

from typing import Any

import pytest

from oci_runtime.errors import Problem
from oci_runtime.paths import clean
from oci_runtime.spec.validate import validate_ids
from oci_runtime.spec.validate_scheduling import parse_list
from oci_runtime.spec.validate_sysctl import components

MAPPINGS: Any = [{"containerID": 0, "hostID": 1000, "size": 10}, {"containerID": 20, "hostID": 5000, "size": 10}]


@pytest.mark.parametrize(
    ("user", "pointers"),
    [
        ({}, []),
        ({"uid": 9, "gid": 29, "additionalGids": [0, 20]}, []),
        ({"uid": 10, "gid": 30, "additionalGids": [5, 15]}, ["/user/uid", "/user/gid", "/user/additionalGids/1"]),
    ],
)
def test_ids_must_be_mapped(user: Any, pointers: list[str]) -> None:
    linux: Any = {"namespaces": [{"type": "user"}], "uidMappings": MAPPINGS, "gidMappings": MAPPINGS}
    problems: list[Problem] = []
    validate_ids({"cwd": "/", "args": ["x"], "user": user}, "", linux, problems)
    assert [problem.pointer for problem in problems] == pointers


def test_ids_of_other_namespaces_are_not_ours_to_judge() -> None:
    problems: list[Problem] = []
    validate_ids({"cwd": "/", "args": ["x"], "user": {"uid": 99}}, "", {}, problems)
    validate_ids(
        {"cwd": "/", "args": ["x"], "user": {"uid": 99}}, "", {"namespaces": [{"type": "user", "path": "/x"}]}, problems
    )
    assert problems == []


@pytest.mark.parametrize(
    ("path", "expected"),
    [("", "/"), ("/", "/"), ("a", "/a"), ("/a//b/.", "/a/b"), ("../../x", "/x"), ("/a/../../b/", "/b")],
)
def test_clean(path: str, expected: str) -> None:
    assert clean(path) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0-3,7", [(0, 3), (7, 7)]),
        (" 1 , ,2-2", [(1, 1), (2, 2)]),
        ("", []),
        (",", []),
        ("3-1", []),
        ("1-", []),
        ("-1", []),
        ("1 2", []),
        ("65537", []),
        ("\u0661", []),
        ("9999999999999", []),
    ],
)
def test_parse_list(text: str, expected: list[tuple[int, int]]) -> None:
    assert parse_list(text) == expected


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("net.ipv4.ip_forward", ["net", "ipv4", "ip_forward"]),
        ("net/ipv4/ip_forward", ["net", "ipv4", "ip_forward"]),
        ("net.ipv4.conf.eno2/100.rp_filter", ["net", "ipv4", "conf", "eno2.100", "rp_filter"]),
        ("net/ipv4/conf/eno2.100/rp_filter", ["net", "ipv4", "conf", "eno2.100", "rp_filter"]),
        ("x", ["x"]),
    ],
)
def test_sysctl_components(key: str, expected: list[str]) -> None:
    assert components(key) == expected
