"""Holds what pyoci did against what others did with the same case.

Where others differ among themselves, pyoci has to be like one of them. Once a command succeeds with pyoci and fails
with another, or the reverse, nothing after it can be alike, so what is compared is what those saw whose commands went
the same way as pyoci's, or if there are none that command alone.
"""

from __future__ import annotations

import json
import re
from typing import Any

from differential import normal
from differential.cases import Case

#: Of `run` and `exec` when it was not the process that failed: a shell's, runc's, crun's.
_FAILURES = {1, 125, 126, 127, 255}
_MISSING = "(nothing)"
_RECORD = re.compile(r'time="[^"]+" level=\w+ msg=')
_NOISE = re.compile(r"Traceback|internal error|File \"|Exception|Error:|\bFalse\b|\bNone\b")


class Difference:
    """`ours` and `theirs`, by the peer's name, at a place; "" for a peer is a demand that needs none.

    `messages` are what the commands that were compared wrote as their error, by runtime; `flat` is all that pyoci did.
    """

    __slots__ = ("case", "flat", "messages", "ours", "place", "theirs")

    def __init__(
        self, case: Case, place: str, ours: Any, theirs: dict[str, Any], messages: dict[str, str] | None = None
    ) -> None:
        self.flat: dict[str, Any] = {}
        self.case = case
        self.place = place
        self.ours = ours
        self.theirs = theirs
        self.messages = messages or {}

    @property
    def signature(self) -> str:
        """The same for differences of one kind: the place without numbers."""
        return re.sub(r"\d+", "N", self.place)

    def text(self) -> str:
        """Some lines for a person."""
        lines = [self.place, f"    pyoci: {_short(self.ours)}"]
        lines += [f"    {name or 'wanted'}: {_short(value)}" for name, value in self.theirs.items()]
        lines += [f"    {name} says: {message.strip()}" for name, message in self.messages.items() if message.strip()]
        return "\n".join(lines)


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) < 2000 else f"{text[:2000]}…"


def went_well(step: dict[str, Any]) -> bool:
    """Whether the runtime did what it was told."""
    code = step["code"]
    if step["verb"] in ("run", "exec"):
        return code is not None and code not in _FAILURES and code < 128
    return bool(code == 0)


def _made(step: dict[str, Any]) -> bool:
    return step["verb"] in ("create", "run") and went_well(step)


def _course(seen: dict[str, Any]) -> list[bool]:
    return [went_well(step) for step in seen["steps"]]


def differences(case: Case, found: dict[str, dict[str, Any]], ours: str) -> list[Difference]:
    """What `ours` did otherwise than all the others in `found`, or should not have done whatever the others did."""
    mine = found[ours]
    others = {name: seen for name, seen in found.items() if name != ours}
    course = _course(mine)
    alike = {name: normal.observation(seen) for name, seen in others.items() if _course(seen) == course}
    result = demands(case, mine)
    if others and not alike:
        return [*result, _parting(case, mine, others, course)]
    flat = normal.observation(mine)
    if not any(_made(step) for step in mine["steps"]):  # how far a failure let it come is nobody's business
        flat = _settled(flat)
        alike = {name: _settled(each) for name, each in alike.items()}
    places = list(dict.fromkeys([*flat, *(place for each in alike.values() for place in each)]))
    for place in places:
        value = flat.get(place, _MISSING)
        theirs = {name: each.get(place, _MISSING) for name, each in alike.items()}
        if theirs and all(value != other for other in theirs.values()):
            result.append(Difference(case, place, value, theirs))
            result[-1].flat = flat
    return result


def _settled(flat: dict[str, Any]) -> dict[str, Any]:
    """Without what a failing `create` has done on the way: mount points, hooks."""
    return {place: value for place, value in flat.items() if not place.startswith(("tree/", "hook"))}


def _parting(case: Case, mine: dict[str, Any], others: dict[str, Any], course: list[bool]) -> Difference:
    """The command at which pyoci and the one that went along the longest part."""
    firsts = {
        name: next(i for i, (a, b) in enumerate(zip(course, _course(seen), strict=True)) if a != b)
        for name, seen in others.items()
    }
    number = max(firsts.values())
    companions = [name for name, first in firsts.items() if first == number]
    step = mine["steps"][number]
    messages = {"pyoci": step["err"], **{name: others[name]["steps"][number]["err"] for name in companions}}
    return Difference(
        case,
        f"step {number} {step['verb']}/ok",
        went_well(step),
        {name: went_well(others[name]["steps"][number]) for name in companions},
        messages,
    )


def demands(case: Case, seen: dict[str, Any]) -> list[Difference]:
    """What no runtime may do: hang, answer bad input with noise, leave something."""
    result = []
    for number, step in enumerate(seen["steps"]):
        place = f"step {number} {step['verb']}"
        message = step["err"].strip()
        if step["code"] is None:
            result.append(Difference(case, f"{place}/hang", message, {"": "an end"}))
        elif not went_well(step) and step["verb"] not in ("run", "exec", "wait"):
            clear = message and not _NOISE.search(message) and all(map(_RECORD.match, message.splitlines()))
            if not clear:
                result.append(Difference(case, f"{place}/message", message, {"": "a log record for each problem"}))
    left = {**seen["left"], "processes": seen["processes_left"]}
    if not any(_made(step) for step in seen["steps"]):
        left = seen["before_cleaning"]
    for name in ("cgroups", "mounts", "state", "processes"):
        if left[name]:
            result.append(Difference(case, f"left/{name}/wanted", left[name], {"": []}))
    return result
