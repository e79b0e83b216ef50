"""expected.json: the programs that pyoci does not pass, and why each of them.

An entry has
    "fails"      what every failure of the program contains one of
    "without"    the facts (facts.py) of which one must be missing for the failure; without it, it fails everywhere
    "assertion"  what the program wants
    "spec"       what the specification says, with "reference" to the place
    "kernel"     what the kernel answers, where it has a say
    "race"       how it happens that it passes nevertheless, which is no surprise then
    "reason"     why pyoci is as it is
"""

from __future__ import annotations

import json
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import TypedDict

    from conformance.results import Outcome

    class _Required(TypedDict):
        fails: list[str]
        assertion: str
        spec: str
        reference: str
        reason: str

    class Entry(_Required, total=False):
        """One program."""

        without: list[str]
        kernel: str
        race: str


FILE = Path(__file__).resolve().parent / "expected.json"


def load(path: Path = FILE) -> dict[str, Entry]:
    """The entries, by program."""
    entries: dict[str, Entry] = json.loads(path.read_text("utf-8"))
    return entries


def applies(entry: Entry, facts: Iterable[str]) -> bool:
    """Whether the program is to fail on a machine with these facts."""
    without = entry.get("without", [])
    return not without or not set(without) <= set(facts)


def surprises(outcomes: Mapping[str, Outcome], entries: Mapping[str, Entry], facts: Iterable[str]) -> list[str]:
    """A line for each program whose outcome is not the expected one; passes included."""
    found = []
    facts = list(facts)
    for name in sorted(outcomes):
        outcome, entry = outcomes[name], entries.get(name)
        expected = entry is not None and applies(entry, facts)
        if outcome["verdict"] == "clean":
            if expected and entry is not None and "race" not in entry:
                found.append(f"{name} is clean, but expected.json says that it fails")
        elif entry is None or not expected:
            found.append(f"{name}: {outcome['verdict']}: {'; '.join(outcome['failures'])}")
        else:
            new = [each for each in outcome["failures"] if not any(known in each for known in entry["fails"])]
            found += [f"{name} fails in another way than expected.json says: {each}" for each in new]
    return found


def unknown(programs: Iterable[str], entries: Mapping[str, Entry]) -> list[str]:
    """The entries for which there is no program."""
    return sorted(set(entries) - set(programs))
