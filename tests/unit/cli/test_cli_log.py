"""Log records and tables have the look of runc's."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import pyoci

from oci_runtime.cli.log import quoted, timestamp
from oci_runtime.cli.table import table

_TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)"


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    yield monkeypatch
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("zone_name", "expected"),
    [
        ("UTC", "2023-11-14T22:13:20Z"),
        ("XXX-5:45", "2023-11-15T03:58:20+05:45"),
        ("XXX3:30", "2023-11-14T18:43:20-03:30"),
    ],
)
def test_time_is_local_rfc_3339(zone: pytest.MonkeyPatch, zone_name: str, expected: str) -> None:
    zone.setenv("TZ", zone_name)
    time.tzset()
    assert timestamp(1700000000) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain-1.0_/@^+", "plain-1.0_/@^+"),
        ("", '""'),
        ("two words", '"two words"'),
        ('a "b" \\', '"a \\"b\\" \\\\"'),
        ("a\nb\t\x1b\x7f", '"a\\nb\\t\\x1b\\x7f"'),
        ("é\u200b\U000e0001", '"é\\u200b\\U000e0001"'),
    ],
)
def test_values_are_quoted_as_in_go(text: str, expected: str) -> None:
    assert quoted(text) == expected


def test_an_error_is_a_record_on_standard_error() -> None:
    done = pyoci("state", "a/b")
    assert done.returncode == 1
    assert done.stdout == b""
    assert re.fullmatch(rf'time="{_TIME}" level=error msg="invalid container ID format: .*"\n', done.stderr.decode())


def test_an_error_is_json_on_standard_error_when_asked_for() -> None:
    done = pyoci("--log-format", "json", "state", "a/b")
    (line,) = done.stderr.splitlines()
    record = json.loads(line)
    assert list(record) == ["level", "msg", "time"]
    assert record["level"] == "error"
    assert record["msg"].startswith("invalid container ID format")
    assert re.fullmatch(_TIME, record["time"])


def test_with_a_log_standard_error_gets_the_message_and_the_log_the_record(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("before\n")
    for _ in range(2):
        done = pyoci("--log", str(log), "--log-format=json", "kill", "a", "FOO")
        assert done.stderr.startswith(b"unknown signal 'FOO'")
        assert done.stderr.count(b"\n") == 1
    before, *records = log.read_text().splitlines()
    assert before == "before"
    assert [json.loads(record)["msg"] for record in records] == [done.stderr.decode().rstrip("\n")] * 2


def test_a_log_in_text(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert pyoci("--log", str(log), "state", shell="").returncode == 1
    assert re.fullmatch(rf'time="{_TIME}" level=error msg="\\"state\\" requires exactly 1 .*"\n', log.read_text())
    assert log.stat().st_mode & 0o777 == 0o644


def test_several_problems_are_several_lines_and_one_json_record(tmp_path: Path) -> None:
    fake = """
import types
from oci_runtime.errors import SpecError
def create(request, warn):
    raise SpecError("config.json has 2 problems\\nfirst\\nsecond")
module = types.ModuleType("oci_runtime.lifecycle.create")
module.create = create
sys.modules[module.__name__] = module
"""
    log = tmp_path / "log"
    done = pyoci("--log", str(log), "--log-format", "json", "create", "a", fake=fake)
    assert done.stderr == b"pyoci create failed: config.json has 2 problems\nfirst\nsecond\n"
    (record,) = map(json.loads, log.read_text().splitlines())
    assert record["msg"] == "pyoci create failed: config.json has 2 problems: first; second"
    done = pyoci("create", "a", fake=fake)
    assert [line.partition(b"msg=")[2] for line in done.stderr.splitlines()] == [
        b'"pyoci create failed: config.json has 2 problems"',
        b"first",
        b"second",
    ]


@pytest.mark.parametrize("end", ["\n", "\r", "\x0b", "\x0c", "\x1c", "\x1e", "\x85", "\u2028", "\u2029"])
def test_a_value_does_not_end_a_record(tmp_path: Path, end: str) -> None:
    """What str.splitlines() takes for the end of a line, and a reader of the log may."""
    log = tmp_path / "log"
    forged = f'x{end}time="2023-11-14T22:13:20Z" level=error msg=forged'
    for options in ([], ["--log", str(log)], ["--log", str(log), "--log-format=json"]):
        log.write_text("")
        done = pyoci(*options, forged)  # told as it is: no such command
        assert done.returncode == 3
        for text in (done.stderr.decode(), log.read_text()):
            assert len(text.splitlines()) == (text != "")
            assert text.replace("\n", "").isprintable()


def test_a_message_cannot_command_the_terminal(tmp_path: Path) -> None:
    done = pyoci("--log", str(tmp_path / "log"), "\x1b]0;title\x07")
    assert b"\x1b" not in done.stderr
    assert b"\\x1b" in done.stderr


@pytest.mark.parametrize("descriptor", ["/dev/fd/2", "/dev/stderr", "/proc/self/fd/2"])
def test_the_log_may_be_a_descriptor(descriptor: str) -> None:
    done = pyoci("--log", descriptor, "--log-format", "json", "state")
    message, record = done.stderr.decode().splitlines()
    assert json.loads(record)["msg"] == message


def test_the_log_may_be_a_socket_that_was_passed_on() -> None:
    import socket

    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.set_inheritable(True)
        descriptor = theirs.fileno()
        done = pyoci("--log", f"/dev/fd/{descriptor}", "--log-format=json", "state", pass_fds=[descriptor])
        assert done.returncode == 1
        ours.settimeout(5)
        assert json.loads(ours.recv(4096))["msg"].startswith('"state" requires')


def test_the_log_may_be_a_fifo_that_somebody_reads(tmp_path: Path) -> None:
    path = tmp_path / "log"
    os.mkfifo(path)
    done = pyoci("--log", str(path), "state")
    assert done.returncode == 1
    assert f"cannot open the log {path}: it is a FIFO that nobody reads, or a socket" in done.stderr.decode()
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    assert b"requires" in pyoci("--log", str(path), "state").stderr
    assert b"level=error" in os.read(reader, 4096)
    os.close(reader)


@pytest.mark.parametrize("path", ["/nonexistent/log", "/dev/fd/99", "/", "/dev/fd/99999999999999999999"])
def test_a_log_that_cannot_be_opened_is_an_error(path: str) -> None:
    done = pyoci("--log", path, "list")
    assert done.returncode == 1
    assert f"cannot open the log {path}".encode() in done.stderr
    assert done.stderr.count(b"\n") == 1


def test_debug_logs_what_was_asked_and_how_it_ended(tmp_path: Path) -> None:
    log = tmp_path / "log"
    done = pyoci("--debug", "--log", str(log), "--log-format", "json", "spec", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stderr == b""
    first, last = map(json.loads, log.read_text().splitlines())
    assert first["level"] == last["level"] == "debug"
    assert "spec" in first["msg"]
    assert "status 0" in last["msg"]


def test_table() -> None:
    rows = [["ID", "PID", "OWNER"], ["a" * 12, "1", "root"], ["é\n\x1b", "23", "x"]]
    assert table(rows).splitlines() == [
        "ID             PID         OWNER",
        "aaaaaaaaaaaa   1           root",
        "é\\n\\x1b        23          x",
    ]
    assert table(rows[:1]) == "ID          PID         OWNER\n"
