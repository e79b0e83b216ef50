"""What the engines make of the runtime's errors: they look for known texts in them to choose an exit code."""

from __future__ import annotations

import pytest

from .engine import Engine


@pytest.mark.parametrize(
    ("command", "code", "text"),
    [
        pytest.param("no-such-command", 127, 'exec: "no-such-command": executable file not found in $PATH', id="name"),
        pytest.param("/no/such/file", 127, "no such file or directory", id="path"),
        pytest.param("/etc/no-x-bit", 126, "permission denied", id="no x bit"),
    ],
)
def test_what_cannot_be_executed(engine: Engine, command: str, code: int, text: str) -> None:
    done = engine.run((command,), check=False)
    assert done.returncode == (1 if engine.name == "containerd" else code), done.stderr
    assert text.lower() in done.stderr.lower()
    assert engine.states() == []
