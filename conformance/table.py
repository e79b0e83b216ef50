"""The results as a table: a line for each program, a column for each runtime."""

from __future__ import annotations

from conformance import expectations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from conformance.expectations import Entry
    from conformance.results import Results


def text(results: Results, entries: Mapping[str, Entry] | None) -> str:
    """The table. With `entries` the first runtime's expected failures are marked."""
    names = list(results["runtimes"])
    columns = [results["runtimes"][name]["programs"] for name in names]
    rows = [["program", *names]]
    for program in columns[0]:
        verdicts = [column[program]["verdict"] if program in column else "" for column in columns]
        if entries and program in entries and expectations.applies(entries[program], results["facts"]):
            verdicts[0] += " (expected)"
        rows.append([program, *verdicts])
    clean = [str(sum(outcome["verdict"] == "clean" for outcome in column.values())) for column in columns]
    rows.append([f"clean of {len(columns[0])}", *clean])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
