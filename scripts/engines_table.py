"""Turns results of the engine tests into docs/engines.md: `engines_table.py JUNIT...`, or `--check`.

Each junit file replaces what docs/engines.json has of the environment that the file names; the page is then written
from docs/engines.json alone. With --check nothing is written: it fails if the page is not what the results make.
"""

from __future__ import annotations

import argparse
import json
import string
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "engines.md"
RESULTS = ROOT / "docs" / "engines.json"
PASSED, FAILED, NOT_APPLICABLE = "passed", "failed", "n/a"
LETTERS = string.ascii_uppercase  # an environment's short name
WORST_FIRST = (FAILED, NOT_APPLICABLE, PASSED)
FACTS = ("system", "kernel", "security", "cgroup manager", "runtime")

INTRODUCTION = """\
# Engines that drive pyoci

Made by `scripts/engines_table.py` from the results of tests/engines; not written by hand. `make engines` runs them here
and renews the results of this environment; they need root, and one to two minutes. Each engine is private: its own
storage, state, cgroup and, where it publishes ports, network. The image is built on the spot from busybox.
"""


class Cell(TypedDict):
    """How a feature went with an engine: passed, failed, or n/a, and why if not passed."""

    result: str
    reason: str


class Environment(TypedDict):
    """What one run of the tests has shown."""

    facts: dict[str, str]
    counts: dict[str, int]
    seconds: int
    failures: list[str]
    shows: dict[str, str]  # feature: what its test looks at
    cells: dict[str, dict[str, Cell]]  # feature: engine: cell


Results = dict[str, Environment]


class UnusableError(Exception):
    """A junit file that is missing or is not one of the engine tests."""


# --- from junit to results -------------------------------------------------------------------------------------------


def _properties(element: ElementTree.Element) -> dict[str, str]:
    return {item.get("name", ""): item.get("value", "") for item in element.iterfind("properties/property")}


def _facts(suite: ElementTree.Element) -> dict[str, str]:
    """Where the tests ran, and with what: the same with each that says it."""
    said = [item for case in suite.iterfind("testcase") for item in _properties(case).items()]
    return {name.removeprefix("fact "): value for name, value in said if name.startswith("fact ")}


def _cell(case: ElementTree.Element) -> Cell:
    """The outcome of a test. A skip is a failure, unless it says that the feature does not apply."""
    for kind in ("failure", "error"):
        found = case.find(kind)
        if found is not None:
            return {"result": FAILED, "reason": (found.get("message") or kind).splitlines()[0]}
    skipped = case.find("skipped")
    if skipped is None:
        return {"result": PASSED, "reason": ""}
    message = skipped.get("message") or ""
    if message.startswith("n/a: "):
        return {"result": NOT_APPLICABLE, "reason": message.removeprefix("n/a: ")}
    return {"result": FAILED, "reason": f"skipped: {message}"}


def read_junit(path: Path) -> tuple[str, Environment]:
    """The name of the environment of a run, and what it has shown. Raises UnusableError."""
    try:
        suite = ElementTree.parse(path).getroot().find("testsuite")
    except (OSError, ElementTree.ParseError) as error:
        raise UnusableError(f"{path}: {error}") from error
    facts = _facts(suite) if suite is not None else {}
    name = facts.pop("environment", "")
    if suite is None or not name:
        raise UnusableError(f"{path}: these are not results of tests/engines: no environment is named")
    found: Environment = {
        "facts": facts,
        "counts": dict.fromkeys((PASSED, FAILED, NOT_APPLICABLE), 0),
        "seconds": round(float(suite.get("time", "0"))),
        "failures": [],
        "shows": {},
        "cells": {},
    }
    for case in suite.iterfind("testcase"):
        _add(found, case)
    if not found["cells"]:
        raise UnusableError(f"{path}: no test of a feature was run")
    return name, found


def _add(environment: Environment, case: ElementTree.Element) -> None:
    cell = _cell(case)
    environment["counts"][cell["result"]] += 1
    if cell["result"] == FAILED:
        module = case.get("classname", "").rpartition(".")[2]
        environment["failures"].append(f"{module}.py::{case.get('name')}")
    properties = _properties(case)
    feature = properties.get("feature")
    if feature is None:
        return
    environment["shows"][feature] = properties["shows"]
    row = environment["cells"].setdefault(feature, {})
    before = row.get(properties["engine"], cell)  # a failing clean-up makes a second entry for its test
    row[properties["engine"]] = min(before, cell, key=lambda each: WORST_FIRST.index(each["result"]))


# --- from results to the page ----------------------------------------------------------------------------------------


def _in_order(lists: Iterable[Iterable[str]]) -> list[str]:
    """All different strings, in the order of their first appearance."""
    return list(dict.fromkeys(text for each in lists for text in each))


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _table(head: list[str], rows: Iterable[list[str]]) -> list[str]:
    return [_row(head), _row(["---"] * len(head)), *(_row(row) for row in rows)]


def _environments(results: Results) -> list[str]:
    facts = _in_order([FACTS, *(environment["facts"] for environment in results.values())])
    rows = [[fact.removeprefix("version "), *(e["facts"].get(fact, "-") for e in results.values())] for fact in facts]
    for count in (PASSED, FAILED, NOT_APPLICABLE):
        rows.append([f"tests {count}", *(str(e["counts"][count]) for e in results.values())])
    rows.append(["minutes", *(f"{e['seconds'] / 60:.1f}" for e in results.values())])
    return _table(["", *(f"{letter}: {name}" for letter, name in zip(LETTERS, results, strict=False))], rows)


class _Footnotes:
    """Numbers reasons, the same ones alike."""

    __slots__ = ("_reasons",)

    def __init__(self) -> None:
        self._reasons: list[str] = []

    def mark(self, reason: str) -> str:
        if reason not in self._reasons:
            self._reasons.append(reason)
        return f"[^{self._reasons.index(reason) + 1}]"

    def lines(self) -> list[str]:
        return [f"[^{number}]: {reason}" for number, reason in enumerate(self._reasons, 1)]


def _features(results: Results, notes: _Footnotes) -> list[str]:
    features = _in_order(environment["cells"] for environment in results.values())
    engines = _in_order(row for environment in results.values() for row in environment["cells"].values())
    columns = [(engine, name) for engine in engines for name in results]

    def text(feature: str, engine: str, name: str) -> str:
        cell = results[name]["cells"].get(feature, {}).get(engine)
        if cell is None:
            return "not run"
        shown = f"**{FAILED}**" if cell["result"] == FAILED else cell["result"]
        return shown + (notes.mark(cell["reason"]) if cell["reason"] else "")

    letters = dict(zip(results, LETTERS, strict=False))
    head = ["", *(f"{engine} {letters[name]}" for engine, name in columns)]
    return _table(head, ([feature, *(text(feature, *column) for column in columns)] for feature in features))


def _meanings(results: Results) -> list[str]:
    shows: dict[str, str] = {}
    for environment in results.values():
        shows |= environment["shows"]
    return [f"- **{feature}**: {shown}" for feature, shown in shows.items()]


def _failures(results: Results) -> list[str]:
    lines = [f"- {name}: `{test}`" for name, each in results.items() for test in each["failures"]]
    return ["", "## Tests that failed", "", *lines] if lines else []


def page(results: Results) -> str:
    """docs/engines.md for these results."""
    notes = _Footnotes()
    lines = [INTRODUCTION, "## Environments", "", *_environments(results), ""]
    lines += ["## Features", "", *_features(results, notes), ""]
    lines += ["What each row means:", "", *_meanings(results), *_failures(results), "", *notes.lines()]
    return "\n".join(lines).rstrip("\n") + "\n"


def update(junit: Iterable[Path]) -> None:
    """Take over the results of the junit files and write the page. Raises UnusableError."""
    results: Results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for path in junit:
        name, environment = read_junit(path)
        results[name] = environment
    RESULTS.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    PAGE.write_text(page(results))


def is_current() -> bool:
    """Whether the page is what the results make."""
    return PAGE.read_text() == page(json.loads(RESULTS.read_text()))


def main() -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(description="Write docs/engines.md from results of tests/engines.")
    parser.add_argument("--check", action="store_true", help="write nothing, fail if the page is not current")
    parser.add_argument("junit", nargs="*", type=Path, help="files that pytest --junitxml has written")
    options = parser.parse_args()
    if options.check:
        if is_current():
            return 0
        print(f"{PAGE}: not what {RESULTS.name} makes: run scripts/engines_table.py", file=sys.stderr)
        return 1
    try:
        update(options.junit)
    except UnusableError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
