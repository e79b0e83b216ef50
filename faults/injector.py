"""Builds inject.c and calls it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from faults.calls import Case, error_number, number
from faults.errors import CannotInject

HERE = Path(__file__).resolve().parent
SOURCE = HERE / "inject.c"
#: Its own exit statuses: another call than the recorded one, no such call, broken.
OTHER_CALL, NO_CALL, BROKEN = 90, 91, 92


def build(output: Path) -> Path:
    """Compiles it. CannotInject without a compiler, or on a processor that it does not know."""
    output.parent.mkdir(parents=True, exist_ok=True)
    command = ["gcc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-o", str(output), str(SOURCE)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise CannotInject(f"cannot compile {SOURCE}: {done.stderr}")
    return output


def record(injector: Path, file: Path) -> list[str]:
    """The beginning of a command whose calls are written to `file`."""
    return [str(injector), "record", str(file), "--"]


def inject(injector: Path, case: Case) -> list[str]:
    """The beginning of a command in which a call fails."""
    call = case.call
    numbers = (call.process, call.at, number(call.name), error_number(case.fault))
    return [str(injector), *map(str, numbers), "--"]
