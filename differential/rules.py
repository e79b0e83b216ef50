"""The rules by which a difference is meant to be: docs/differences.md has a line for each, with the reason.

The rules themselves are in known.py, named as in the page. Of those that fit a difference the first explains it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path

from differential.compare import Difference
from differential.places import CHECKOUT

PAGE = CHECKOUT / "docs" / "differences.md"
Versions = dict[str, tuple[int, ...]]


class Rule:
    """`peers` are those that it is about, with the first version that is otherwise (() for none; "" is no peer but what
    is demanded of every runtime); `place` fits the signature of a difference as a whole; `when` looks at the rest."""

    __slots__ = ("name", "peers", "place", "when")

    def __init__(
        self,
        name: str,
        peers: dict[str, tuple[int, ...]],
        place: str,
        when: Callable[[Difference, str], bool] = lambda difference, peer: True,
    ) -> None:
        self.name = name
        self.peers = peers
        self.place = re.compile(place)
        self.when = when

    def about(self, peer: str, versions: Versions) -> bool:
        """Whether it is about that runtime."""
        until = self.peers.get(peer)
        return until is not None and (not until or versions.get(peer, ()) < until)

    def explains(self, difference: Difference, peer: str, versions: Versions) -> bool:
        """Whether this is why pyoci is not like that peer."""
        fits = self.about(peer, versions) and self.place.fullmatch(difference.signature)
        return bool(fits) and self.when(difference, peer)


def explain(difference: Difference, versions: Versions, rules: Iterable[Rule]) -> set[str]:
    """The names of the rules that explain why pyoci is like no peer; none when one peer is unexplained."""
    rules = list(rules)
    names = set()
    for peer in difference.theirs:
        name = next((rule.name for rule in rules if rule.explains(difference, peer, versions)), None)
        if name is None:
            return set()
        names.add(name)
    return names


def listed(page: Path = PAGE) -> list[str]:
    """The names in the page's table, in its order."""
    return re.findall(r"^\| `([a-z0-9-]+)` \|", page.read_text("utf-8"), re.MULTILINE)


def stale(rules: Iterable[Rule], versions: Versions, used: Iterable[str]) -> list[str]:
    """The rules that could have been of use with these runtimes, and were not."""
    could = {rule.name for rule in rules if any(rule.about(peer, versions) for peer in ("", *versions))}
    return sorted(could - set(used))
