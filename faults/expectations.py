"""expected.json: verdicts that are as they have to be, and why.

An entry has
    "scenarios"  names, each may have * and ?
    "call"       the call's name, likewise
    "path"       a regular expression that is found in the call's path; without it any
    "faults"     which; without it any
    "verdicts"   the verdicts that are allowed
    "reason"     why that is right
"""

from __future__ import annotations

import json
import re
from fnmatch import fnmatchcase
from pathlib import Path

from faults.calls import Case

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypedDict

    class _Required(TypedDict):
        scenarios: list[str]
        call: str
        verdicts: list[str]
        reason: str

    class Entry(_Required, total=False):
        """One reason."""

        path: str
        faults: list[str]


FILE = Path(__file__).resolve().parent / "expected.json"


def load(path: Path = FILE) -> list[Entry]:
    """The entries."""
    entries: list[Entry] = json.loads(path.read_text("utf-8"))
    return entries


def allows(entry: Entry, case: Case, verdict: str) -> bool:
    """Whether it is about this verdict of this case."""
    return (
        verdict in entry["verdicts"]
        and case.fault in entry.get("faults", [case.fault])
        and any(fnmatchcase(case.scenario, pattern) for pattern in entry["scenarios"])
        and fnmatchcase(case.call.name, entry["call"])
        and re.search(entry.get("path", ""), case.call.path) is not None
    )


def allowed(entries: list[Entry], case: Case, verdict: str) -> bool:
    """Whether any of them is."""
    return any(allows(entry, case, verdict) for entry in entries)
