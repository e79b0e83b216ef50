from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """probe.c, compiled."""
    from seccomp_tools import build_probe

    return build_probe(tmp_path_factory.mktemp("probe"))
