"""Makes a case smaller that shows a difference: whatever it shows without is taken out.

Hypothesis would make its draws smaller, not the bundle of an engine that they change.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

from differential.cases import Case

#: A place in a case's document.
_Place = tuple[Any, ...]


def reduce(case: Case, shows: Callable[[Case], bool], tries: int) -> Case:
    """The smallest that `shows` still likes, of those that so many tries find."""
    best = case.document()
    left = tries
    again = True
    while again:
        again = False
        for place in list(_places(best)):
            smaller = _without(best, place)
            if smaller is None:
                continue
            if left == 0:
                return _case(best, case)
            left -= 1
            if shows(_case(smaller, case)):
                best = smaller
                again = True
    return _case(best, case)


def _case(document: dict[str, Any], like: Case) -> Case:
    return Case(document["config"], document["steps"], like.view, like.name)


def _places(document: dict[str, Any]) -> Iterator[_Place]:
    """What can go: large things first, of lists the last first. A step goes as a whole."""
    depths: dict[int, list[_Place]] = {2: [("steps", number) for number in range(len(document["steps"]))[::-1]]}
    for place in _below(document["config"], ("config",)):
        depths.setdefault(len(place), []).append(place)
    for depth in sorted(depths):
        yield from depths[depth]


def _below(value: Any, place: _Place) -> Iterator[_Place]:
    names: list[Any] = []
    if isinstance(value, dict):
        names = list(value)
    elif isinstance(value, list):
        names = list(range(len(value)))[::-1]
    for name in names:
        yield (*place, name)
        yield from _below(value[name], (*place, name))


def _without(document: dict[str, Any], place: _Place) -> dict[str, Any] | None:
    """A copy without what is there; None when it has gone already."""
    smaller = copy.deepcopy(document)
    parent: Any = smaller
    try:
        for name in place[:-1]:
            parent = parent[name]
        del parent[place[-1]]
    except (KeyError, IndexError, TypeError):
        return None
    return smaller
