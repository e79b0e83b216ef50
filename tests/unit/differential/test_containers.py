"""A short run with what is installed: the kept cases, and some that are drawn, always the same."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import pytest

from differential import cases, run
from differential.cases import Case
from differential.compare import Difference
from differential.draw import draw_cases
from differential.places import PACKAGE

SEED = 1
#: Drawn for each view.
COUNT = 40


def test_no_difference_without_a_rule(pyoci: Path) -> None:
    """What is listed here is mended, or gets a rule in differential/known.py and its reason in docs/differences.md."""
    if os.geteuid():
        pytest.skip("these containers are run as root")
    peers = [run.find_runtime(name) for name in ("runc", "crun") if shutil.which(name)]
    assert peers, "install runc"
    kept = [cases.read(path) for path in sorted((PACKAGE / "examples").glob("*.json"))]
    views: dict[str, Iterable[Case]] = {
        view: chain([case for case in kept if case.view == view], draw_cases(view, SEED, COUNT)) for view in cases.VIEWS
    }
    found: list[str] = []

    def told(case: Case, new: list[Difference], _: float) -> None:
        found.extend(f"{case.name}: {each.text()}" for each in new)

    run.compare(views, [run.Runtime(run.OURS, str(pyoci), ()), *peers], told)
    assert not found, "\n".join(found)
