"""Which faults are tried, the expectations, and the table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from faults import calls, expectations, run, table
from faults.calls import Call, Case
from faults.errors import CannotInject

HERE = Path(__file__).resolve().parent


def recorded(*made: str) -> str:
    """What the injector writes of calls of process 0; "1:name" is one of its first child."""
    lines = []
    for each in made:
        process, _, words = each.rpartition(":")
        name, _, path = words.partition(" ")
        lines.append(f"{process or 0} {calls.number(name)} {path}")
    return "\n".join(lines) + "\n"


def test_a_recording_begins_with_the_first_call_of_our_own() -> None:
    text = recorded("execve", "fcntl", "read", "fcntl", "fcntl", "fcntl", "openat /etc/x y", "1:close", "write")
    own = calls.parse(text)
    assert own[3] == Call(0, 6, "openat", "/etc/x y")
    assert own[4:] == [Call(1, 0, "close"), Call(0, 7, "write")]
    assert own[0].at == 3


def test_a_recording_without_it() -> None:
    with pytest.raises(CannotInject, match="first call"):
        calls.parse(recorded("execve", "read"))


@pytest.mark.parametrize(
    ("name", "faults"),
    [
        ("openat", list(calls.FAULTS)),
        ("fstat", list(calls.ERRORS)),
        ("mmap", ["ENOMEM"]),
        ("getpid", []),
        ("exit_group", ["KILL"]),
    ],
)
def test_faults_that_are_worth_trying(name: str, faults: list[str]) -> None:
    assert calls.faults_at(Call(0, 0, name)) == faults


def test_slices_are_a_partition_and_always_the_same() -> None:
    cases = list(calls.cases("create", [Call(0, at, "openat") for at in range(7)]))
    assert len(cases) == 42
    assert calls.slice_of(cases, 1) == cases
    assert calls.slice_of(cases, 5) == calls.slice_of(cases, 5) == cases[2::5]


def test_a_case_is_named() -> None:
    assert Case("create", Call(1, 7, "openat", "x"), "EIO").key == "create:1:7:EIO"


def test_expectations_are_about_scenarios_and_calls_that_there_are() -> None:
    for entry in expectations.load():
        assert entry["reason"]
        assert any(
            expectations.allowed([entry], Case(name, Call(0, 0, call, "pyvenv.cfg"), "EIO"), entry["verdicts"][0])
            for name in run.BY_NAME
            for call in calls.names().values()
        )


def test_an_expectation_is_about_nothing_else(tmp_path: Path) -> None:
    entry = {"scenarios": ["start*"], "call": "read", "path": "^$", "faults": ["EIO"], "verdicts": ["untold"]}
    file = tmp_path / "expected.json"
    file.write_text(json.dumps([entry]))
    entries = expectations.load(file)
    case = Case("start-user", Call(0, 0, "read"), "EIO")
    assert expectations.allowed(entries, case, "untold")
    assert not expectations.allowed(entries, case, "lie")
    assert not expectations.allowed(entries, case._replace(scenario="run"), "untold")
    assert not expectations.allowed(entries, case._replace(fault="EINTR"), "untold")
    assert not expectations.allowed(entries, case._replace(call=Call(0, 0, "read", "x")), "untold")
    assert not expectations.allowed(entries, case._replace(call=Call(0, 0, "pread64")), "untold")


def test_the_table_counts_and_tells() -> None:
    good, bad = (Case("create", Call(0, at, "openat", "x"), "EIO") for at in (1, 2))
    moved = Case("start", Call(0, 3, "read"), "EIO")
    results = [(good, []), (bad, [("lie", "it is stopped"), ("remains", "process 7")]), (moved, [("moved", "")])]
    text = table.text(results, [])
    assert text.splitlines()[0].split() == ["scenario", "faults", "good", "allowed", "lie", "remains", "moved"]
    assert text.splitlines()[1].split() == ["create", "2", "1", "0", "1", "1", "0"]
    assert text.splitlines()[-1].split() == ["all", "3", "1", "0", "1", "1", "1"]
    assert table.surprises(results, []) == [
        "lie create:0:2:EIO (openat x): it is stopped",
        "remains create:0:2:EIO (openat x): process 7",
    ]


def test_every_command_that_does_something_is_tried() -> None:
    from oci_runtime.cli.main import COMMANDS

    tried = {name.partition("-")[0] for name in run.BY_NAME}
    assert set(COMMANDS) - tried == {"plan"}  # which reads a configuration, as create does
