"""docs/engines.md is what the results make, and the results are of the features that are tested."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from scripts import engines_table

JUNIT = """\
<testsuites><testsuite time="61.4">
<testcase name="test_run[ctr]"><properties><property name="feature" value="run" />
<property name="fact environment" value="here" /><property name="fact kernel" value="6.1" />
<property name="fact version podman" value="5.0" />
<property name="engine" value="ctr" /><property name="shows" value="It runs." /></properties>{outcome}</testcase>
<testcase name="test_other" />{more}</testsuite></testsuites>
"""


def _read(tmp_path: Path, outcome: str, more: str = "") -> engines_table.Environment:
    (tmp_path / "junit.xml").write_text(JUNIT.format(outcome=outcome, more=more))
    name, environment = engines_table.read_junit(tmp_path / "junit.xml")
    assert name == "here"
    return environment


def test_the_page_is_current() -> None:
    assert engines_table.is_current(), "run `make engines`"


def test_the_results_are_of_the_tests() -> None:
    tests = (engines_table.ROOT / "tests/engines/test_features.py").read_text()
    features = re.findall(r'pytest\.mark\.feature\("([^"]+)"\)', tests)
    for name, environment in json.loads(engines_table.RESULTS.read_text()).items():
        assert list(environment["cells"]) == features, f"{name}: run the tests there again"


@pytest.mark.parametrize(
    ("outcome", "result", "reason", "shown"),
    [
        ("", "passed", "", "| run | passed |"),
        ('<skipped message="n/a: it has none" />', "n/a", "it has none", "| run | n/a[^1] |"),
        ('<skipped message="not installed" />', "failed", "skipped: not installed", "| run | **failed**[^1] |"),
        ('<failure message="assert 1 == 2&#10;more" />', "failed", "assert 1 == 2", "| run | **failed**[^1] |"),
        ('<error message="no daemon" />', "failed", "no daemon", "| run | **failed**[^1] |"),
    ],
)
def test_outcomes(tmp_path: Path, outcome: str, result: str, reason: str, shown: str) -> None:
    environment = _read(tmp_path, outcome)
    assert environment["cells"] == {"run": {"ctr": {"result": result, "reason": reason}}}
    page = engines_table.page({"here": environment})
    assert shown in page
    assert not reason or f"[^1]: {reason}" in page


def test_a_failing_clean_up_is_not_hidden_by_the_test_that_passed(tmp_path: Path) -> None:
    properties = '<property name="feature" value="run" /><property name="engine" value="ctr" />'
    properties += '<property name="shows" value="" />'
    more = f'<testcase name="x"><properties>{properties}</properties><error message="left behind" /></testcase>'
    cell = _read(tmp_path, "", more)["cells"]["run"]["ctr"]
    assert cell == {"result": "failed", "reason": "left behind"}


@pytest.mark.parametrize("text", ["", "<testsuites><testsuite /></testsuites>", "no xml"])
def test_what_is_no_result_of_these_tests(tmp_path: Path, text: str) -> None:
    (tmp_path / "junit.xml").write_text(text)
    with pytest.raises(engines_table.UnusableError):
        engines_table.read_junit(tmp_path / "junit.xml")
