"""docs/conformance.md, made of results and expectations."""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from conformance.expectations import Entry
    from conformance.results import Outcome, Results

_JUDGED = "pyoci"
_SIGNS = {"clean": "clean", "not ok": "**not ok**", "died": "**died**"}
_CHANGING = (
    (re.compile(r"/tmp/ocitest\d+"), "/BUNDLE"),
    (re.compile(r"/run/conformance"), ""),
    (re.compile(r"\b\d{13,}\b"), "N"),
)

_TOP = """# Conformance

Made by `make conformance` from `conformance/results/` and `conformance/expected.json`; not to be edited.

The judge is {suite}: {programs} programs that run containers and look whether they are what the
specification says. A program is clean when it exits with 0 and nothing that it asserts failed; "died" means that it
gave up before its end. `conformance/README.md` tells how to run them, and under which conditions they run.

A few programs look whether a process that ends at once is still there (killsig, pidfile, poststart): on a busy machine
the count of a runtime that is slow to start or kill it differs by one or two from run to run.
"""


class Column:
    """One runtime in one environment."""

    __slots__ = ("environment", "outcomes", "runtime", "version")

    def __init__(self, environment: str, runtime: str, version: str, outcomes: Mapping[str, Outcome]) -> None:
        self.environment = environment
        self.runtime = runtime
        self.version = version
        self.outcomes = outcomes

    @property
    def clean(self) -> set[str]:
        """The programs that are."""
        return {name for name, outcome in self.outcomes.items() if outcome["verdict"] == "clean"}


def markdown(results: Sequence[Results], entries: Mapping[str, Entry]) -> str:
    """The page."""
    columns = [
        Column(each["environment"], name, runtime["version"], runtime["programs"])
        for each in results
        for name, runtime in each["runtimes"].items()
    ]
    columns.sort(key=lambda column: (column.environment, column.runtime != _JUDGED, column.runtime))
    programs = sorted({name for column in columns for name in column.outcomes})
    parts = [
        _TOP.format(suite=f"`{results[0]['suite']}`", programs=len(programs)),
        "\n".join(_environments(results)) + "\n",
        "## How many are clean\n\n" + "\n".join(_counts(columns, len(programs))) + "\n",
        "## Program by program\n\n" + "\n".join(_table(columns, programs)) + "\n",
        "## What pyoci does not pass\n\n" + "\n".join(_proofs(columns, entries)),
    ]
    return "\n".join(parts)


def _environments(results: Sequence[Results]) -> Iterator[str]:
    yield "| environment | machine | what decides there |"
    yield "|---|---|---|"
    for each in sorted(results, key=lambda each: each["environment"]):
        yield f"| {each['environment']} | {each['machine']} | {', '.join(each['facts'])} |"


def _counts(columns: Sequence[Column], programs: int) -> Iterator[str]:
    yield f"| environment | runtime | version | clean of {programs} |"
    yield "|---|---|---|---|"
    for column in columns:
        yield f"| {column.environment} | {column.runtime} | {column.version} | {len(column.clean)} |"
    for name in sorted({column.runtime for column in columns}, key=lambda name: (name != _JUDGED, name)):
        own = [column for column in columns if column.runtime == name]
        if len(own) > 1:
            yield f"| any of them | {name} | | {len(set().union(*(column.clean for column in own)))} |"


def _table(columns: Sequence[Column], programs: Sequence[str]) -> Iterator[str]:
    yield "| program | " + " | ".join(f"{column.runtime}, {column.environment}" for column in columns) + " |"
    yield "|---" * (len(columns) + 1) + "|"
    for name in programs:
        cells = [_SIGNS[column.outcomes[name]["verdict"]] if name in column.outcomes else "" for column in columns]
        yield f"| {name} | " + " | ".join(cells) + " |"


def _proofs(columns: Sequence[Column], entries: Mapping[str, Entry]) -> Iterator[str]:
    own = [column for column in columns if column.runtime == _JUDGED]
    for name, entry in sorted(entries.items()):
        red = [column for column in own if name in column.outcomes and name not in column.clean]
        if not red:
            continue
        clean = [column.environment for column in own if name in column.clean]
        yield f"### {name}\n"
        where = ", ".join(column.environment for column in red)
        yield f"Red in {where}; clean in {', '.join(clean)}.\n" if clean else f"Red in {where}.\n"
        for column in red:
            for failure in _distinct(column.outcomes[name]["failures"]):
                yield f"- {column.environment}: `{failure}`"
        yield f"\n- **It asserts:** {entry['assertion']}"
        yield f"- **The specification:** {entry['spec']} ({entry['reference']})"
        if "kernel" in entry:
            yield f"- **The kernel:** {entry['kernel']}"
        if "race" in entry:
            yield f"- **Now and then it is clean:** {entry['race']}"
        yield f"- **So:** {entry['reason']}\n"


def _distinct(failures: Sequence[str]) -> list[str]:
    """The first of each kind, without what differs from run to run; three at most, and how many more there are."""
    found: dict[str, None] = {}
    for failure in failures:
        for pattern, text in _CHANGING:
            failure = pattern.sub(text, failure)
        found[failure.replace("`", "'")] = None
    shown = list(found)
    return shown if len(shown) <= 3 else [*shown[:2], f"and {len(shown) - 2} more of this kind"]
