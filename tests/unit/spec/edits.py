"""Edit a JSON document by pointers, and say where in its text something stands, without the code under test."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

BUNDLES = Path(__file__).parents[2] / "bundles"
REMOVE = object()
"""An edit that removes the member."""


def bundle(name: str) -> Any:
    return json.loads((BUNDLES / f"{name}.json").read_text("utf-8"))


def edited(document: Any, edits: dict[str, Any]) -> Any:
    """A copy with each pointer set to its value; "-" as last step appends to an array, missing objects are made."""
    document = copy.deepcopy(document)
    for pointer, value in edits.items():
        steps = [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]
        parent = document
        for step in steps[:-1]:
            parent = parent[int(step)] if isinstance(parent, list) else parent.setdefault(step, {})
        last = steps[-1]
        if isinstance(parent, list):
            if last == "-":
                parent.append(value)
            elif value is REMOVE:
                del parent[int(last)]
            else:
                parent[int(last)] = value
        elif value is REMOVE:
            del parent[last]
        else:
            parent[last] = value
    return document


def place(text: str, snippet: str) -> tuple[int, int]:
    """Line and column of the ¶ in a snippet that occurs once in the text."""
    before, _, after = snippet.partition("¶")
    assert text.count(before + after) == 1, f"{snippet!r} must occur once in\n{text}"
    lines = text[: text.index(before + after) + len(before)].split("\n")
    return len(lines), len(lines[-1]) + 1
