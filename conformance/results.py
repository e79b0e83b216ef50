"""What a run found, as it is kept in a JSON file."""

from __future__ import annotations

import json
import re

from conformance import tap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import TypedDict

    class Outcome(TypedDict):
        """What became of one program under one runtime.

        `verdict` is "clean", "not ok" or "died"; `failures` has a line for each assertion that did not hold.
        """

        verdict: str
        failures: list[str]
        passed: int
        skipped: int
        seconds: float

    class Runtime(TypedDict):
        """One runtime's outcomes, by program."""

        version: str
        programs: dict[str, Outcome]

    class Results(TypedDict):
        """One run. `environment` is its name, `facts` those of facts.py."""

        suite: str
        environment: str
        facts: list[str]
        machine: str
        runtimes: dict[str, Runtime]


FAILURE_AT_MOST = 400  # characters that are kept of a failure
_SAYS_NOTHING = re.compile(r"exit status \d+")
_TIME = re.compile(r'time="[^"]*" ')


def outcome(ran: Mapping[str, object]) -> Outcome:
    """The judgement on what supervise.py printed of a program."""
    report = tap.parse(str(ran["stdout"]))
    words = _last_words(str(ran["stderr"]))
    failures = [f"{each}: {words}" if _SAYS_NOTHING.fullmatch(each) else each for each in report.failures]
    died = ran["exit"] != 0
    if died:
        failures.append(f"{_end(ran)}: {words}")
    elif str(ran["stdout"]).strip() and report.planned is None and "TAP version" in str(ran["stdout"]):
        failures.append("it ended without having printed its plan")
    return {
        "verdict": "died" if died else "not ok" if failures else "clean",
        "failures": [" ".join(failure.split())[:FAILURE_AT_MOST] for failure in failures],
        "passed": sum(point.ok and not point.directive for point in report.points),
        "skipped": sum(point.directive == "skip" for point in report.points),
        "seconds": float(str(ran["seconds"])),
    }


def _end(ran: Mapping[str, object]) -> str:
    if ran["timed_out"]:
        return f"still running after {ran['seconds']} s"
    status = int(str(ran["exit"]))
    return f"exit status {status}" if status > 0 else f"signal {-status}"


def _last_words(stderr: str) -> str:
    lines = [_TIME.sub("", line) for line in stderr.splitlines()]
    lines = [line for line in lines if line.strip() and not _SAYS_NOTHING.fullmatch(line)]
    return " | ".join(lines[-2:]) or "without a word"


def load(path: Path) -> Results:
    """The results in a file."""
    found: Results = json.loads(path.read_text("utf-8"))
    return found


def save(path: Path, results: Results) -> None:
    """Writes the results, always in the same way."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1, sort_keys=True, ensure_ascii=False) + "\n", "utf-8")
