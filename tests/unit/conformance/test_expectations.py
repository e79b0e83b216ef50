"""The list of expected failures, and the page."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from conformance import expectations, page, results

if TYPE_CHECKING:
    from conformance.expectations import Entry
    from conformance.results import Outcome

ROOT = Path(__file__).parents[3]
SPEC = "github.com/opencontainers/runtime-spec"
KEPT = sorted((ROOT / "conformance/results").glob("*.json"))


def entry(*without: str) -> Entry:
    made: Entry = {"fails": ["the limit"], "assertion": "", "spec": "", "reference": "", "reason": ""}
    if without:
        made["without"] = list(without)
    return made


def outcome(*failures: str) -> Outcome:
    verdict = "not ok" if failures else "clean"
    return {"verdict": verdict, "failures": list(failures), "passed": 0, "skipped": 0, "seconds": 0}


@pytest.mark.parametrize(
    ("judged", "known", "facts", "surprise"),
    [
        (outcome(), {}, [], ""),
        (outcome("the limit is wrong"), {"p": entry()}, [], ""),
        (outcome("the limit is wrong"), {"p": entry("apparmor")}, ["selinux"], ""),
        (outcome("the limit is wrong"), {"p": entry("apparmor", "selinux")}, ["selinux"], ""),
        (outcome(), {"p": entry("apparmor")}, ["apparmor"], ""),
        (outcome("the limit is wrong"), {}, [], "p: not ok: the limit is wrong"),
        (outcome("the limit is wrong"), {"p": entry("apparmor")}, ["apparmor"], "p: not ok: the limit is wrong"),
        (outcome("the limit", "new"), {"p": entry()}, [], "p fails in another way than expected.json says: new"),
        (outcome(), {"p": entry()}, [], "p is clean, but expected.json says that it fails"),
    ],
)
def test_surprises(judged: Outcome, known: dict[str, Entry], facts: list[str], surprise: str) -> None:
    assert expectations.surprises({"p": judged}, known, facts) == ([surprise] if surprise else [])


def test_a_race_may_go_either_way() -> None:
    racing = entry()
    racing["race"] = "when it is slow"
    known = {"p": racing}
    assert not expectations.surprises({"p": outcome()}, known, [])
    assert not expectations.surprises({"p": outcome("the limit")}, known, [])
    assert expectations.surprises({"p": outcome("new")}, known, [])


def test_every_entry_is_complete() -> None:
    for name, each in expectations.load().items():
        assert all(each[key] for key in ("fails", "assertion", "spec", "reference", "reason")), name
        assert "kernel" not in each or each["kernel"], name


def specification() -> str:
    if shutil.which("go") is None:
        reason = "go is not installed, which fetches the specification (conformance/go.mod)"
        if os.environ.get("PYOCI_ENGINES") == "required":
            pytest.fail(reason)
        pytest.skip(reason)
    command = ["go", "mod", "download", "-json", SPEC]
    done = subprocess.run(command, cwd=ROOT / "conformance", capture_output=True, text=True, check=True)
    folder = Path(json.loads(done.stdout)["Dir"])
    return plain(
        "\n".join((folder / f"{name}.md").read_text("utf-8") for name in ("config", "config-linux", "runtime"))
    )


def plain(markdown: str) -> str:
    """Without links, emphasis and line ends."""
    text = re.sub(r"\[([^\]]*)\](\([^)]*\)|\[[^\]]*\])", r"\1", markdown).replace("*", "")
    return " ".join(text.split())


def test_what_is_quoted_is_in_the_specification() -> None:
    text = specification()
    for name, each in expectations.load().items():
        quotes = re.findall("“([^”]*)”", each["spec"])
        assert quotes, name
        for quote in quotes:
            assert plain(quote) in text, f"{name}: {quote}"


def test_the_page_is_made_of_the_results() -> None:
    assert KEPT
    made = page.markdown([results.load(path) for path in KEPT], expectations.load())
    assert (ROOT / "docs/conformance.md").read_text("utf-8") == made, "run `python -m conformance page`"


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_kept_results_are_as_expected(path: Path) -> None:
    kept = results.load(path)
    found = expectations.surprises(kept["runtimes"]["pyoci"]["programs"], expectations.load(), kept["facts"])
    assert not found
