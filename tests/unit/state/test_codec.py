"""Our own JSON, in an interpreter that has not imported the json package, as pyoci runs."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from interpreter import PYTHON

REPOSITORY = Path(__file__).resolve().parents[3]

_PROGRAM = """
import sys
sys.path.insert(0, {repository!r})
from oci_runtime.state.codec import loads
try:
    loads({text!r})
except (ValueError, StopIteration):
    print("refused")
"""


@pytest.mark.parametrize("text", ["", "{", '{"a"', '{"a":', '{"a":1,', '{"a":"', "[1,", "[1 2]", '"\\x"', "nul", "\0"])
def test_broken_text(text: str) -> None:
    program = _PROGRAM.format(repository=str(REPOSITORY), text=text)
    done = subprocess.run([PYTHON, "-I", "-S", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "refused\n"
