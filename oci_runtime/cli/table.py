"""Tables of `list`, looking like those of Go's tabwriter in runc."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_MINIMUM_WIDTH = 12
_PADDING = 3


def table(rows: Sequence[Sequence[str]]) -> str:
    """Lines with the cells of each column below each other; rows have equally many cells. Ends with a newline."""
    shown = [[_visible(cell) for cell in row] for row in rows]
    widths = [max(_MINIMUM_WIDTH, *(len(row[column]) + _PADDING for row in shown)) for column in range(len(shown[0]))]
    return "".join(_line(row, widths) for row in shown)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=False)]
    return "".join(cells) + row[-1] + "\n"


def _visible(text: str) -> str:
    """A bundle's path may contain what would break the table or command the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
