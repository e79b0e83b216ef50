"""What is run: a configuration, and the commands that are given with it.

As JSON: {"view": "native" or "v2", "config": config.json, "steps": [STEP, ...]}. A STEP is an object with "verb":

    create, run       "options": list; run is in the foreground unless --detach is in it
    start, state, pause, resume, ps, list
    kill              "signal": a word (TERM without one), "options"
    exec              "process": process.json, or "argv"; "options"
    update            "resources": resources.json, or "options"
    delete            "options"
    wait              until the container's process has ended

A config.json alone is a case of DEFAULT_STEPS in the native view.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from differential.errors import CannotCompare

VIEWS = ("native", "v2")
DEFAULT_STEPS: list[dict[str, Any]] = [
    {"verb": "create"},
    {"verb": "state"},
    {"verb": "start"},
    {"verb": "state"},
    {"verb": "kill", "signal": "TERM"},
    {"verb": "wait"},
    {"verb": "state"},
    {"verb": "delete"},
]


class Case:
    """`config` and `steps` are plain JSON."""

    __slots__ = ("config", "name", "steps", "view")

    def __init__(self, config: dict[str, Any], steps: list[dict[str, Any]], view: str, name: str = "") -> None:
        self.config = config
        self.steps = steps
        self.view = view
        self.name = name

    def document(self) -> dict[str, Any]:
        """What read() takes."""
        return {"view": self.view, "steps": self.steps, "config": self.config}

    def text(self) -> str:
        """document() as a file has it."""
        return json.dumps(self.document(), indent=1) + "\n"


def from_document(document: dict[str, Any], name: str = "") -> Case:
    """Raises CannotCompare when it is neither a case nor a config.json."""
    if "config" not in document:
        document = {"config": document}
    case = Case(document["config"], document.get("steps", DEFAULT_STEPS), document.get("view", "native"), name)
    if case.view not in VIEWS or not isinstance(case.steps, list) or not isinstance(case.config, dict):
        raise CannotCompare(f"{name}: no case: view, steps or config are not what they should be")
    return case


def read(path: Path) -> Case:
    """A case, or a config.json, of a file; raises CannotCompare."""
    try:
        return from_document(json.loads(path.read_text("utf-8")), path.stem)
    except (OSError, ValueError) as error:
        raise CannotCompare(f"{path}: {error}") from None
