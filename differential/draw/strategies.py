"""Strategies by which values are drawn, named as hypothesis names its own.

Hypothesis draws otherwise in each of its versions, what is simple again and again, and for a longer run other cases
than for a short one. A seed is to name the same cases on every machine for as long as the changes are the same.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


class Draw:
    """draw(strategy) is a value; all of them are determined by the seed."""

    __slots__ = ("_random",)

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)

    def __call__(self, strategy: Callable[[Draw], T]) -> T:
        return strategy(self)

    def below(self, limit: int) -> int:
        """A number from 0 to limit - 1: made of random(), whose sequence no version of Python changes."""
        return int(self._random.random() * limit)


Strategy = Callable[[Draw], T]


def sampled_from(options: Sequence[T]) -> Strategy[T]:
    """One of them."""
    return lambda draw: options[draw.below(len(options))]


def booleans() -> Strategy[bool]:
    """True or False."""
    return lambda draw: draw.below(2) == 1


def integers(least: int, most: int) -> Strategy[int]:
    """A number of the range, both ends included."""
    return lambda draw: least + draw.below(most - least + 1)


def lists(elements: Strategy[T], min_size: int = 0, max_size: int = 5, unique: bool = False) -> Strategy[list[T]]:
    """So many of them; of equal ones only the first if they are to be unique, so that there may be fewer."""

    def strategy(draw: Draw) -> list[T]:
        found: list[T] = []
        for _ in range(min_size + draw.below(max_size - min_size + 1)):
            value = draw(elements)
            if not unique or value not in found:
                found.append(value)
        return found

    return strategy
