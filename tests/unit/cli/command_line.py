"""Runs pyoci's command line in a process of its own, as its launcher does, with a lifecycle of the test's choice."""

from __future__ import annotations

import subprocess
from pathlib import Path

from interpreter import PYTHON

REPOSITORY = Path(__file__).resolve().parents[3]

_PROGRAM = """
import sys
sys.path.insert(0, {repository!r})
{fake}
from oci_runtime.cli.main import run_and_exit
run_and_exit()
"""


def pyoci(*arguments: str, fake: str = "", shell: str = "", **options: object) -> subprocess.CompletedProcess[bytes]:
    """Runs `pyoci ARGUMENTS`. `fake` is Python that runs first; `shell` are redirections of sh(1), such as '<&-'."""
    program = _PROGRAM.format(repository=str(REPOSITORY), fake=fake)
    command = [PYTHON, "-I", "-S", "-c", program, *arguments]
    if shell:
        command = ["/bin/sh", "-c", f'exec "$0" "$@" {shell}', *command]
    return subprocess.run(command, capture_output=True, timeout=30, check=False, **options)  # type: ignore[call-overload, no-any-return]


def lifecycle(module: str, definition: str) -> str:
    """Python that makes `definition` (of functions) the module oci_runtime.lifecycle.`module`."""
    return f"""
import types
fake = types.ModuleType("oci_runtime.lifecycle.{module}")
exec({definition!r}, fake.__dict__)
sys.modules[fake.__name__] = fake
"""
