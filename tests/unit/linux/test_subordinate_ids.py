from __future__ import annotations

import os
import posix
from pathlib import Path

import pytest

from oci_runtime.errors import PyociError
from oci_runtime.linux import subordinate_ids


@pytest.fixture
def path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The one directory of $PATH; `set_path` of the tests changes it."""
    monkeypatch.setitem(posix.environ, b"PATH", os.fsencode(tmp_path))
    monkeypatch.setattr(subordinate_ids, "DIRECTORIES", ())
    return tmp_path


def program(path: Path, text: str, mode: int = 0o755) -> str:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(mode)
    return str(path)


def test_the_first_in_path_is_taken(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(path / "helper", "", 0o644)
    wanted = program(path / "more/helper", "")
    program(path / "last/helper", "")
    value = os.fsencode(f"{path}/none:{path}:{path}/more:{path}/last")
    monkeypatch.setitem(posix.environ, b"PATH", value)
    assert subordinate_ids.find_program("helper") == wanted


@pytest.mark.parametrize("value", ["", ".", ":", "bin", "./bin:", "../x"])
def test_a_relative_directory_is_none(path: Path, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    program(path / "helper", "")
    program(path / "bin/helper", "")
    monkeypatch.chdir(path)
    monkeypatch.setitem(posix.environ, b"PATH", value.encode())
    assert subordinate_ids.find_program("helper") == ""
    monkeypatch.setattr(subordinate_ids, "DIRECTORIES", (str(path),))
    assert subordinate_ids.find_program("helper") == f"{path}/helper"


def test_what_the_helper_is_told(path: Path) -> None:
    """newuidmap(1): process, then inside, outside, how many; and nothing of the environment."""
    program(path / "helper", f'echo "$@" > {path}/told; set | grep -E "^(PATH|HOME|USER)=" >> {path}/told; exit 0')
    mappings = [{"containerID": 0, "hostID": 1000, "size": 1}, {"containerID": 1, "hostID": 100000, "size": 65536}]
    subordinate_ids.run_helper("helper", 42, mappings, "/linux/uidMappings")  # type: ignore[arg-type]
    first, *rest = (path / "told").read_text().splitlines()
    assert first == "42 0 1000 1 1 100000 65536"
    assert "HOME" not in "".join(rest)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo helper: not allowed >&2; exit 1", "helper: not allowed (/linux/uidMappings); see subuid(5)"),
        ("exit 3", "helper: exit status 3 (/linux/uidMappings); see subuid(5)"),
        ("echo first; echo second >&2; exit 1", "first second (/linux/uidMappings)"),
        ("head -c 100000 /dev/zero | tr '\\0' x; exit 1", "x (/linux/uidMappings)"),
    ],
)
def test_what_it_answers(path: Path, script: str, words: str) -> None:
    program(path / "helper", f"PATH=/usr/bin:/bin; {script}")
    with pytest.raises(PyociError) as caught:
        subordinate_ids.run_helper("helper", 42, [], "/linux/uidMappings")
    assert words in str(caught.value)
    assert len(str(caught.value)) < 1100


def test_without_one(path: Path) -> None:
    with pytest.raises(PyociError, match=r"only helper \(package uidmap\) could map"):
        subordinate_ids.run_helper("helper", 42, [], "/linux/uidMappings")


@pytest.mark.parametrize(
    ("mappings", "denied"),
    [
        ([(0, 0, 1)], True),
        ([(7, 0, 1)], True),
        ([(0, 0, 2)], False),
        ([(0, 1, 1)], False),
        ([(0, 0, 1), (1, 100000, 1)], False),
        ([], False),
    ],
)
def test_for_which_mappings_setgroups_is_given_up(mappings: list[tuple[int, int, int]], denied: bool) -> None:
    """`outside` is relative to our own group."""
    own = posix.getegid()
    found = [{"containerID": inside, "hostID": own + outside, "size": size} for inside, outside, size in mappings]
    assert subordinate_ids.groups_are_denied(found) == denied  # type: ignore[arg-type]
