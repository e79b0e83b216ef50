"""Fixtures for tests of the lifecycle."""

from __future__ import annotations

from pathlib import Path

import pytest
from containers import Bundle


@pytest.fixture
def notes(bundle: Bundle) -> Path:
    """A directory that has the same path on the host and in the container."""
    path = bundle.path / "notes"
    path.mkdir()
    path.chmod(0o777)
    bundle.mount(str(path), "bind", str(path), ["bind", "rw"])
    return path
