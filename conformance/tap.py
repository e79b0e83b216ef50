"""The Test Anything Protocol, as the validation programs print it.

https://testanything.org/tap-version-13-specification.html; their YAML blocks hold JSON. A block that follows no test
point belongs to the program: the lifecycle and hook programs plan no test and tell a failure by its "error" alone.
"""

from __future__ import annotations

import json
import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_POINT = re.compile(r"(not )?ok\b *(\d+)? *(?:- )?(.*)")
_PLAN = re.compile(r"1\.\.(\d+)")
_DIRECTIVE = re.compile(r"(?:^|\s)#\s*(skip|todo)\b", re.IGNORECASE)


class Point:
    """One test point: `directive` is "skip", "todo" or "", `block` what its YAML block holds, `comments` follow it."""

    __slots__ = ("block", "comments", "description", "directive", "ok")

    def __init__(self, ok: bool, description: str, directive: str) -> None:
        self.ok = ok
        self.description = description
        self.directive = directive
        self.block: dict[str, object] = {}
        self.comments: list[str] = []

    @property
    def failed(self) -> bool:
        """`not ok`, and not one that is still to be done."""
        return not self.ok and self.directive != "todo"


class Report:
    """What a program printed, one stream or several. `planned` is the sum of the plans, None without any; `errors` are
    those that belong to no test point."""

    __slots__ = ("bail_out", "errors", "planned", "points")

    def __init__(self) -> None:
        self.points: list[Point] = []
        self.planned: int | None = None
        self.errors: list[str] = []
        self.bail_out = ""

    @property
    def failures(self) -> list[str]:
        """A line for whatever went wrong, each a description and, after a colon, details."""
        found = [_failure(point) for point in self.points if point.failed]
        found += self.errors
        if self.bail_out:
            found.append(f"bail out: {self.bail_out}")
        if self.planned is not None and self.planned != len(self.points):
            found.append(f"planned {self.planned} test points, printed {len(self.points)}")
        return found


def parse(text: str) -> Report:
    """The report that `text` is. Lines that are no TAP are passed over, as the protocol wants."""
    report = Report()
    lines = iter(text.splitlines())
    for line in lines:
        if line.startswith("  ---"):
            _take_block(report, _block(lines))
        elif match := _POINT.match(line):
            description = match[3].strip()
            directive = _DIRECTIVE.search(description)
            report.points.append(Point(not match[1], description, directive[1].lower() if directive else ""))
        elif match := _PLAN.match(line):
            report.planned = (report.planned or 0) + int(match[1])
        elif line.startswith("Bail out!"):
            report.bail_out = line.removeprefix("Bail out!").strip() or "no reason given"
        elif line.startswith("#") and report.points:
            report.points[-1].comments.append(line.lstrip("# ").rstrip())
    return report


def _block(lines: Iterator[str]) -> dict[str, object]:
    """The block whose first line has been read: {"unreadable": text} when it is no JSON object."""
    text = []
    for line in lines:
        if line.startswith("  ..."):
            break
        text.append(line)
    try:
        value = json.loads("\n".join(text))
    except ValueError:
        value = None
    return value if isinstance(value, dict) else {"unreadable": "\n".join(text)}


def _take_block(report: Report, block: dict[str, object]) -> None:
    """A block before the first point is the program's own; so is one of a program that has no points at all.

    Only its "error" counts: some programs show the output of a container before they judge it.
    """
    if report.points:
        report.points[-1].block.update(block)
    elif block.get("error"):
        report.errors.append(str(block["error"]))


def _failure(point: Point) -> str:
    details = [str(point.block[key]).strip() for key in ("error", "stderr") if point.block.get(key)]
    if "expected" in point.block and "actual" in point.block:
        details.append(f"expected {point.block['expected']}, found {point.block['actual']}")
    return ": ".join([point.description, *(details or point.comments[:1])])
