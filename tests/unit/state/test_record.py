"""Every field of a record is checked when it is read: what can be wrong with one is DamagedState, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oci_runtime.state.record import VERSION, DamagedState, date, parse, salvage

CGROUPS = [[1, "cpu,cpuacct", "/sys/fs/cgroup/cpu", "a/box", 1], [2, "", "/sys/fs/cgroup/unified", "a/box", 1]]
UNIT = {"name": "pyoci-box.scope", "slice": "system.slice", "manager": "unix:path=/run/systemd/private", "slices": []}
GOOD: dict[str, Any] = {
    "version": VERSION,
    "ociVersion": "1.2.0",
    "id": "box",
    "bundle": "/bundle",
    "rootfs": "/bundle/rootfs",
    "annotations": {"a": "b"},
    "status": "running",
    "pid": 5,
    "start_time": 1234,
    "created": date(1700000000123456789),
    "owner": 0,
    "namespaces": ["pid", "mount"],
    "cgroups": {"driver": "cgroupfs", "cgroups": CGROUPS},
    "resctrl": {"group": "/sys/fs/resctrl/box", "own": "/sys/fs/resctrl/box", "monitoring": ""},
    "hooks": ["poststop"],
    "operations": "[40]",
    "paused": False,
    "rootless": False,
    "keyring": "_ses.box-1",
    "own_pids": True,
    "start_descriptor": 0,
    "hooks_told": True,
}
LATER = {"keyring": "_ses.box", "own_pids": True, "start_descriptor": 0, "hooks_told": False}
JUNK: list[Any] = [None, True, 0, -1, 3, 2**64, 1e308, "", "x", "/", "..", "\ud800", "\0", "/\0", "y" * 5000]
JUNK += [[], {}, [[]], [None], [{}], {"": None}, {"cgroups": []}, {"driver": "cgroupfs", "cgroups": [[]]}]
JUNK += [json.loads("[" * 200 + "]" * 200), ["pid", 5], ["poststop", []], [1, 2, 3, 4, 5]]
# What a field may be besides what it is above.
FINE: dict[str, list[Any]] = {
    "ociVersion": ["", "x", "/", "..", "\ud800", "\0", "/\0", "y" * 5000],
    "operations": ["", "x", "/", "..", "\ud800", "\0", "/\0", "y" * 5000],
    "bundle": ["/"],
    "rootfs": ["/"],
    "annotations": [{}],
    "pid": [0, 3],
    "start_time": [0, 3],
    "owner": [0, 3],
    "namespaces": [[]],
    "hooks": [[]],
    "cgroups": [None],
    "resctrl": [None],
    "paused": [True],
    "rootless": [True],
    "keyring": ["", "x", "/", ".."],
    "own_pids": [True],
    "start_descriptor": [0, 3],
    "hooks_told": [True],
}


def read(record: Any) -> Any:
    return parse(json.dumps(record).encode(), "/root/box/state.json", "box")


def test_a_good_record() -> None:
    assert read(GOOD) == GOOD
    systemd = {**GOOD, "cgroups": {"driver": "systemd", "unit": UNIT, "cgroups": CGROUPS[1:]}}
    assert read(systemd) == systemd
    assert salvage(json.dumps(GOOD).encode()) == {key: value for key, value in GOOD.items() if key != "version"}


@pytest.mark.parametrize("field", GOOD)
def test_each_field(field: str) -> None:
    for value in JUNK:
        changed = {**GOOD, field: value}
        if any(value == fine and type(value) is type(fine) for fine in FINE.get(field, [])):
            assert read(changed) == changed
        else:
            with pytest.raises(DamagedState, match=rf"/{field} |version"):
                read(changed)
    del changed[field]
    if field in LATER:  # containers of an older pyoci live on
        assert read(changed) == {**GOOD, field: LATER[field]}
        return
    with pytest.raises(DamagedState, match=f"/{field} "):
        read(changed)


def parts(value: Any) -> Iterator[tuple[list[Any], Any]]:
    """Every value inside of one, with the way to it."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield [key], inner
        for way, innermost in parts(inner):
            yield [key, *way], innermost


def changed(value: Any, way: list[Any], new: Any) -> Any:
    if not way:
        return new
    copy = value.copy()
    copy[way[0]] = changed(value[way[0]], way[1:], new)
    return copy


DRIVERS = [GOOD["cgroups"], {"driver": "systemd", "unit": UNIT, "cgroups": CGROUPS}]


@pytest.mark.parametrize("cgroups", DRIVERS, ids=["cgroupfs", "systemd"])
def test_each_part_of_cgroups(cgroups: Any) -> None:
    """What passes is of the type that managers rely on, and leads nowhere but below a mount."""
    from oci_runtime.linux.cgroups.manager import from_state

    for way, _ in parts(cgroups):
        for value in JUNK:
            record = {**GOOD, "cgroups": changed(cgroups, way, value)}
            try:
                read(record)
            except DamagedState as error:
                assert "/cgroups " in str(error)  # noqa: PT017
                continue
            manager = from_state(record["cgroups"])
            for cgroup in manager._cgroups():
                assert ".." not in cgroup.path.split("/")
                assert cgroup.mount[0] == "/"
                assert cgroup.version == 2 or cgroup.controllers


LONGEST = "n" * 255


@pytest.mark.parametrize("path", ["a", "a/b", ".a/..b/c.", f"{LONGEST}/{LONGEST}", "a/..."])
def test_paths_below_a_mount(path: str) -> None:
    assert read({**GOOD, "cgroups": {"driver": "cgroupfs", "cgroups": [[*CGROUPS[0][:3], path, 0]]}})


@pytest.mark.parametrize(
    "path", ["", "/a", "a/", "a//b", ".", "..", "./a", "a/.", "a/..", "a/../b", f"a/{LONGEST}n", "a\0"]
)
def test_paths_that_are_not_below_a_mount(path: str) -> None:
    with pytest.raises(DamagedState, match="/cgroups must be"):
        read({**GOOD, "cgroups": {"driver": "cgroupfs", "cgroups": [[*CGROUPS[0][:3], path, 0]]}})


def test_salvage_keeps_what_is_whole() -> None:
    cgroups = {"driver": 5, "cgroups": [CGROUPS[0], [], CGROUPS[1]]}
    found = salvage(json.dumps({**GOOD, "cgroups": cgroups, "owner": -1}).encode())
    assert found["cgroups"] == {"driver": "cgroupfs", "cgroups": CGROUPS}
    assert found["pid"] == 5
    assert "owner" not in found
    for text in (b"", b"{", b"[]", b"\xff", b"[" * 100000):
        assert salvage(text) == {}


def test_of_another_container() -> None:
    with pytest.raises(DamagedState, match="/id is that of another container"):
        parse(json.dumps(GOOD).encode(), "/root/other/state.json", "other")


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.sampled_from([*GOOD, "driver", "unit"]), inner),
    max_leaves=20,
)


@given(_JSON, st.sampled_from(list(GOOD)))
def test_whatever_it_is(value: Any, field: str) -> None:
    for record in (value, {**GOOD, field: value}):
        data = json.dumps(record).encode()
        try:
            parse(data, "/root/box/state.json", "box")
        except DamagedState:
            pass
        salvage(data)


@given(st.binary())
def test_whatever_bytes(data: bytes) -> None:
    with pytest.raises(DamagedState):
        parse(data, "/root/box/state.json", "box")
    assert salvage(data) == {}
