"""What annotations are obeyed, and that `features` lists every one: oci_runtime/annotations.py."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest

from oci_runtime import annotations as table
from oci_runtime.errors import Problem
from oci_runtime.lifecycle.features import features

PACKAGE = Path(table.__file__).parent
# reverse domain notation, as the specification asks of annotations
KEY = re.compile(r"(com|dev|io|net|org|run)(\.[A-Za-z0-9_-]+){2,}\.?")
# what looks like one: what `features` says, names of D-Bus, files of cgroups
OTHERS = re.compile(r"io\.github\.(pyoci|seccomp)\..*|org\.freedesktop\..*|io\.bfq\..*")


def literals() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and KEY.fullmatch(node.value):
                found.setdefault(node.value, []).append(str(path.relative_to(PACKAGE)))
    return {name: paths for name, paths in found.items() if not OTHERS.fullmatch(name)}


def test_only_the_list_names_annotations() -> None:
    """So none can be obeyed that is not in it."""
    assert literals() == {name: ["annotations.py"] for name in table.OBEYED}


def test_features_lists_them_all() -> None:
    assert features()["potentiallyUnsafeConfigAnnotations"] == list(table.OBEYED)
    assert "org.systemd.property." in table.OBEYED


def test_every_name_of_the_module_is_listed() -> None:
    names = {value for name, value in vars(table).items() if name.isupper() and isinstance(value, str)}
    assert names == set(table.OBEYED)


@pytest.mark.parametrize(
    ("found", "pointer"),
    [
        ({"": "x"}, "/annotations/"),
        ({table.MOUNT_CONTEXT_TYPE: "Context"}, "/annotations/run.oci.mount_context_type"),
        ({table.MOUNT_CONTEXT_TYPE: ""}, "/annotations/run.oci.mount_context_type"),
    ],
)
def test_invalid_ones(found: dict[str, Any], pointer: str) -> None:
    problems: list[Problem] = []
    table.validate_annotations(found, problems)
    assert [problem.pointer for problem in problems] == [pointer]
