"""Fixtures for pyoci as an ordinary user, who is made for the session (tests/conftest.py, user).

rootless    the runtime as he runs it, a RootlessPyoci; his containers are deleted, and nothing of them may be left
box         a bundle of his, as `spec --rootless` describes it: his own id, alone, is root
delegated   cgroups that are delegated to him and that he is in
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from containers import Bundle
from ordinary_user import User
from rootless_support import Delegation, RootlessPyoci, delegation, rootless_bundle


@pytest.fixture
def rootless(directory: Path, user: User) -> Iterator[RootlessPyoci]:
    runtime = RootlessPyoci(directory, user)
    yield runtime
    left = runtime.close()
    left += [str(path) for path in runtime.root.glob("*") if path.name != "~seccomp"]
    assert not left, "left behind: " + "\n".join(left)


@pytest.fixture
def box(directory: Path, rootless: RootlessPyoci) -> Bundle:
    return rootless_bundle(directory / "box", rootless)


@pytest.fixture
def delegated(rootless: RootlessPyoci) -> Iterator[Delegation]:
    with delegation(rootless) as made:
        yield made
