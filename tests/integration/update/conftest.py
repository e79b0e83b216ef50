from __future__ import annotations

import copy

import pytest
from containers import Bundle, Container, Pyoci
from update_support import LIMITS


@pytest.fixture
def limited(bundle: Bundle) -> Bundle:
    """A container with limits, that sleeps."""
    bundle.linux["resources"] = copy.deepcopy(LIMITS)
    return bundle.args("sleep", "100")


@pytest.fixture
def running(limited: Bundle, pyoci: Pyoci) -> Container:
    return pyoci.run_detached(limited)
