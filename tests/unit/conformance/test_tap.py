"""What the validation programs print, and what is made of it."""

from __future__ import annotations

from typing import Any

import pytest

from conformance.results import outcome
from conformance.tap import parse

LIFECYCLE = """TAP version 13
ok 1 - `delete` operation MUST generate an error if it is not provided the container ID
  ---
  {
    "error": "exit status 1",
    "reference": "runtime.md#delete"
  }
  ...
not ok 2 - attempting to `delete` MUST generate an error
  ---
  {
    "error": "",
    "stderr": "no\\n"
  }
  ...
1..2
"""
HOOK = """TAP version 13
  ---
  {
    "error": "hooks MUST be called in the listed order"
  }
  ...
1..0
"""
CONTAINER = """TAP version 13
  ---
  {
    "stderr": "",
    "stdout": "TAP version 13\\nnot ok 1 - in a string\\n1..1\\n"
  }
  ...
ok 1 - shown before it is judged
ok 2 # SKIP linux.sysctl not set
not ok 3 # TODO we need an (r)bind spec to test against
not ok 4 - pids limit is set correctly
# expect: 5, actual: 6
not ok 5 - has expected soft limit
  ---
  {
    "actual": 3999,
    "expected": 3000
  }
  ...
1..5
"""


def ran(stdout: str, exit: int | None = 0, stderr: str = "", timed_out: bool = False) -> dict[str, Any]:
    return {"stdout": stdout, "stderr": stderr, "exit": exit, "timed_out": timed_out, "seconds": 1.5}


def test_an_error_of_a_point_that_holds_is_none() -> None:
    assert parse(LIFECYCLE).failures == ["attempting to `delete` MUST generate an error: no"]


def test_an_error_without_points_is_a_failure() -> None:
    assert parse(HOOK).failures == ["hooks MUST be called in the listed order"]
    assert outcome(ran(HOOK))["verdict"] == "not ok"


def test_what_a_container_printed_is_no_result() -> None:
    report = parse(CONTAINER)
    assert [point.directive for point in report.points] == ["", "skip", "todo", "", ""]
    assert report.failures == [
        "pids limit is set correctly: expect: 5, actual: 6",
        "has expected soft limit: expected 3000, found 3999",
    ]


@pytest.mark.parametrize(
    ("stdout", "failures"),
    [
        ("ok 1 - a\nok 2 - b\n1..2\n", []),
        ("ok 1 - a\n1..2\n", ["planned 2 test points, printed 1"]),
        ("ok 1 - a\n1..1\nTAP version 13\n1..0\n", []),
        ("1..0\n", []),
        ("", []),
        ("TAP version 13\nok 1 - a\n", ["it ended without having printed its plan"]),
        ("1..1\nok 1 - a\nBail out! no more\n", ["bail out: no more"]),
        ("okay\nnot okay\n  not ok 1 - indented\n", []),
        ('1..0\n  ---\n  {"error": "late"}\n  ...\n', ["late"]),
        ('1..0\n  ---\n  {"error": ""}\n  ...\n', []),
    ],
)
def test_plans_and_what_is_no_tap(stdout: str, failures: list[str]) -> None:
    judged = outcome(ran(stdout))
    assert judged["failures"] == failures
    assert judged["verdict"] == ("not ok" if failures else "clean")


@pytest.mark.parametrize(
    ("how", "failure"),
    [
        (
            {"exit": 1, "stderr": 'create failed\ntime="x" level=error msg="why"\nexit status 1\n'},
            "create failed | level",
        ),
        ({"exit": -11}, "signal 11: without a word"),
        ({"exit": None, "timed_out": True}, "still running after 1.5 s: without a word"),
        ({"exit": -9, "timed_out": True}, "still running after 1.5 s: without a word"),
    ],
)
def test_programs_that_die(how: dict[str, Any], failure: str) -> None:
    judged = outcome(ran("ok 1 - a\n1..1\n", **how))
    assert judged["verdict"] == "died"
    assert judged["failures"][-1].startswith(failure) or failure in judged["failures"][-1]


def test_a_failure_that_says_nothing_gets_the_last_words() -> None:
    judged = outcome(ran("not ok 1 - exit status 1\n1..1\n", stderr="cannot set it\nexit status 1\n"))
    assert judged["failures"] == ["exit status 1: cannot set it"]
