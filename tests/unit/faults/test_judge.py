"""What is called bad after a fault."""

from __future__ import annotations

import pytest

from faults import judge
from faults.judge import NONE, Seen

ERROR = 'time="2026-01-01T00:00:00Z" level=error msg="cannot open x: Too many open files"\n'
WARNING = ERROR.replace("error", "warning")


def seen(**changes: object) -> Seen:
    """A create that failed as it should."""
    made = Seen("EIO", 1, 0, ERROR, NONE, NONE, "created")
    return made._replace(**changes)  # type: ignore[arg-type]


def verdicts(**changes: object) -> list[str]:
    return [verdict for verdict, _ in judge.judge(seen(**changes))]


def test_a_failure_that_is_told_and_leaves_nothing_is_good() -> None:
    assert verdicts() == []


def test_what_was_done_is_good() -> None:
    assert verdicts(code=0, err="", status="created") == []
    assert verdicts(code=0, err=WARNING, status="created") == []


@pytest.mark.parametrize(
    ("expected", "changes"),
    [
        ("hang", {"code": -1}),
        ("crash", {"code": 139}),
        ("noise", {"err": "Traceback (most recent call last):\n" + ERROR}),
        ("noise", {"err": ERROR.replace("cannot", "pyoci: internal error: OSError: cannot")}),
        ("noise", {"err": ERROR.replace("cannot open x", "[Errno 24] Too many")}),
        ("noise", {"err": "Exception ignored in: x\n" + ERROR}),
        ("silent", {"err": ""}),
        ("silent", {"err": ERROR + ERROR}),
        ("silent", {"err": WARNING}),
        ("lie", {"code": 0}),
        ("lie", {"code": 0, "status": "created", "done": "the pid file is not that of the container"}),
        ("left", {"left": ["cgroup /sys/fs/cgroup/pids/x"]}),
        ("untold", {"before": "created", "after": "running", "status": "running"}),
        ("half", {"before": "running", "after": "stopped", "status": "paused"}),
        ("half", {"before": "running", "after": "running", "status": "running", "undone": "2 processes run"}),
        ("deaf", {"before": "created", "status": "?pyoci: internal error"}),
        ("deaf", {"list_error": "status 1"}),
        ("stuck", {"delete_error": "status 1"}),
        ("remains", {"remains": ["process 7"]}),
    ],
)
def test_bad(expected: str, changes: dict[str, object]) -> None:
    assert expected in verdicts(**changes)


def test_who_was_killed_says_nothing_and_leaves_what_it_had() -> None:
    assert verdicts(fault="KILL", code=137, err="", status="creating", left=["process 7"]) == []
    assert verdicts(fault="KILL", code=137, err="", status="creating", remains=["process 7"]) == ["remains"]


def test_exec_fails_with_a_status_that_is_no_signal() -> None:
    assert verdicts(before="running", status="running", after="running", good_code=7, code=255) == []


def test_run_may_leave_a_container_that_it_tells_of() -> None:
    assert verdicts(code=7, good_code=7, err=WARNING, status="stopped", after=NONE) == []
    assert verdicts(code=7, good_code=7, err="", status="stopped", after=NONE) == ["lie"]
