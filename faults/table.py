"""The results as a table: a line for each scenario, and one for each bad verdict."""

from __future__ import annotations

from collections import Counter

from faults.calls import Case
from faults.expectations import allowed
from faults.judge import BAD
from faults.trial import MOVED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from faults.expectations import Entry


def text(results: list[tuple[Case, list[tuple[str, str]]]], entries: list[Entry]) -> str:
    """The table."""
    kinds = [*BAD, MOVED]
    rows = [["scenario", "faults", "good", "allowed", *kinds]]
    for name in dict.fromkeys(case.scenario for case, _ in results):
        of_it = [(case, verdicts) for case, verdicts in results if case.scenario == name]
        rows.append(_row(name, of_it, kinds, entries))
    rows.append(_row("all", results, kinds, entries))
    shown = [place for place in range(len(rows[0])) if place < 4 or rows[-1][place] != "0"]
    widths = [max(len(row[place]) for row in rows) for place in shown]
    return "\n".join(
        "  ".join(row[place].ljust(width) for place, width in zip(shown, widths, strict=True)).rstrip() for row in rows
    )


def _row(
    name: str, results: list[tuple[Case, list[tuple[str, str]]]], kinds: list[str], entries: list[Entry]
) -> list[str]:
    counts: Counter[str] = Counter()
    for case, verdicts in results:
        bad = [verdict for verdict, _ in verdicts if not allowed(entries, case, verdict)]
        counts.update(set(bad))
        counts["good"] += not verdicts
        counts["allowed"] += bool(verdicts) and not bad
    return [
        name,
        str(len(results)),
        str(counts["good"]),
        str(counts["allowed"]),
        *(str(counts[kind]) for kind in kinds),
    ]


def surprises(results: list[tuple[Case, list[tuple[str, str]]]], entries: list[Entry]) -> list[str]:
    """A line for each verdict that is bad and not allowed."""
    return [
        f"{verdict} {case.key} ({case.call.name} {case.call.path}): {what}"
        for case, verdicts in results
        for verdict, what in verdicts
        if verdict != MOVED and not allowed(entries, case, verdict)
    ]
