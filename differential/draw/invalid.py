"""Values of the wrong type, null, and properties that are missing or that nobody knows, anywhere in config.json."""

from __future__ import annotations

from typing import Any

from differential.draw import strategies as st
from differential.draw.change import Change, Config
from differential.draw.strategies import Draw

_VALUES: list[Any] = [None, "", 0, -1, 1.5, True, False, [], {}, "text", [None], {"a": None}, 1 << 63]


def _places(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [place] if place else []
    if len(place) >= 4:
        return found
    if isinstance(value, dict):
        for name in value:
            found += _places(value[name], (*place, name))
    elif isinstance(value, list):
        for number in range(min(len(value), 2)):
            found += _places(value[number], (*place, number))
    return found


def _parent(config: Config, place: tuple[Any, ...]) -> Any:
    value: Any = config
    for name in place[:-1]:
        value = value[name]
    return value


def _choose(draw: Draw, config: Config) -> tuple[Any, ...]:
    return draw(st.sampled_from(_places(config)))


def wrong(draw: Draw, config: Config) -> None:
    place = _choose(draw, config)
    _parent(config, place)[place[-1]] = draw(st.sampled_from(_VALUES))


def null(draw: Draw, config: Config) -> None:
    place = _choose(draw, config)
    _parent(config, place)[place[-1]] = None


def missing(draw: Draw, config: Config) -> None:
    place = _choose(draw, config)
    del _parent(config, place)[place[-1]]


def unknown(draw: Draw, config: Config) -> None:
    parent = _parent(config, _choose(draw, config))
    if isinstance(parent, dict):
        parent["noSuchProperty"] = draw(st.sampled_from(_VALUES))


CHANGES: list[Change] = [wrong, null, null, missing, unknown]
