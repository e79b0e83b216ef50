"""What was seen after a fault, and what is wrong with it. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from faults.calls import KILL

NONE = "none"

#: Verdicts, in the order of the table.
GOOD = "good"
HANG = "hang"  # it did not end
CRASH = "crash"  # it ended by a signal that was not sent
NOISE = "noise"  # a traceback, an internal error, the interpreter's own words
SILENT = "silent"  # it failed without a word, or with more than one
LIE = "lie"  # it says that it was done, and it was not
UNTOLD = "untold"  # it says that it failed, and it was done
HALF = "half"  # it failed, and something of it was done
LEFT = "left"  # it failed, and left something
DEAF = "deaf"  # `state` or `list` failed afterwards
STUCK = "stuck"  # `delete --force` failed afterwards
REMAINS = "remains"  # `delete --force` left something
BAD = (HANG, CRASH, NOISE, SILENT, LIE, UNTOLD, HALF, LEFT, DEAF, STUCK, REMAINS)

#: The status of an `exec` that failed, as with runc.
EXEC_FAILED = 255

_RECORD = re.compile(r'time="[^"]*" level=(error|warning|info|debug) msg=\S')
_NOISE = re.compile(r"Traceback|internal error|Exception ignored|Fatal Python|\[Errno \d+\]|Error:")


class Seen(NamedTuple):
    """After the command: how it ended, the container's status as `state` tells it, NONE without one, or what `state`
    said instead; `after` and `before` are those of the scenario. `done` says why it was not done although the status is
    right, `undone` why something was although it failed. `left` is what must not be there without a container. Then
    `list`'s and `delete --force`'s errors, and what was there after that."""

    fault: str
    code: int
    good_code: int
    err: str
    status: str
    before: str
    after: str
    done: str = ""
    undone: str = ""
    left: Sequence[str] = ()
    list_error: str = ""
    delete_error: str = ""
    remains: Sequence[str] = ()


def judge(seen: Seen) -> list[tuple[str, str]]:
    """The verdicts, each with what was seen; none if all is well."""
    found = []
    if seen.code == -1:
        found.append((HANG, "it did not end"))
    elif seen.fault != KILL:
        found += [*_ending(seen), *_effect(seen)]
    return found + _afterwards(seen)


def _ending(seen: Seen) -> list[tuple[str, str]]:
    found = []
    lines = seen.err.splitlines()
    if seen.code > 128 and seen.code != EXEC_FAILED:
        found.append((CRASH, f"status {seen.code}: {seen.err.strip()[-200:]}"))
    noise = [line for line in lines if not _RECORD.match(line) or _NOISE.search(line)]
    if noise:
        found.append((NOISE, noise[0][:300]))
    errors = [line for line in lines if "level=error" in line]
    if seen.code != seen.good_code and len(errors) != 1 and not noise:
        found.append((SILENT, f"status {seen.code} with {len(errors)} lines: {seen.err.strip()[:300]}"))
    return found


def _effect(seen: Seen) -> list[tuple[str, str]]:
    if seen.code == seen.good_code:
        if seen.status == "stopped" and seen.after == NONE and "level=warning" in seen.err:
            return []  # `run` tells that it could not remove the container
        if seen.status != seen.after:
            return [(LIE, f"it is {seen.status}, not {seen.after}")]
        return [(LIE, seen.done)] if seen.done else []
    found = []
    if seen.status not in (seen.before, NONE) and seen.status == seen.after:
        found.append((UNTOLD, f"status {seen.code}, and it is {seen.status}: {seen.err.strip()[:300]}"))
    elif seen.status not in (seen.before, NONE, "stopped"):
        found.append((HALF, f"it is {seen.status}: {seen.err.strip()[:300]}"))
    if seen.status == seen.before and seen.undone:
        found.append((HALF, f"{seen.undone}: {seen.err.strip()[:300]}"))
    if seen.before == NONE and (seen.left or seen.status != NONE):
        found.append((LEFT, f"{', '.join(seen.left) or seen.status}: {seen.err.strip()[:300]}"))
    return found


def _afterwards(seen: Seen) -> list[tuple[str, str]]:
    found = []
    if seen.status.startswith("?"):
        found.append((DEAF, f"state: {seen.status[1:]}"))
    if seen.list_error:
        found.append((DEAF, f"list: {seen.list_error}"))
    if seen.delete_error:
        found.append((STUCK, seen.delete_error))
    if seen.remains:
        found.append((REMAINS, ", ".join(seen.remains)))
    return found
