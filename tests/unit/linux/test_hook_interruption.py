"""A hook whose runtime is asked to end just when it has been started ends with it."""

from __future__ import annotations

import os
import posix
import signal
from pathlib import Path

import pytest

from oci_runtime.lifecycle.interruption import Interrupted, undo_when_interrupted
from oci_runtime.linux.hooks import Surroundings, run_hook


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_interrupted_at_its_start(tmp_path: Path, number: signal.Signals) -> None:
    child = os.fork()
    if not child:
        code = 1
        try:
            code = _run(tmp_path, number)
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    pid = int((tmp_path / "pid").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)  # that none is left by the test either


def _run(folder: Path, number: signal.Signals) -> int:
    """0 when it was interrupted; the hook's pid goes to a file."""
    undo_when_interrupted()
    spawn = posix.posix_spawn

    def spawn_and_be_interrupted(*arguments: object, **options: object) -> int:
        pid = spawn(*arguments, **options)  # type: ignore[arg-type]
        (folder / "pid").write_text(str(pid))
        os.kill(os.getpid(), number)
        return pid

    posix.posix_spawn = spawn_and_be_interrupted
    try:
        run_hook(
            {"path": "/bin/sleep", "args": ["sleep", "60"]}, "prestart", "/hooks/prestart/0", b"", Surroundings("/")
        )
    except Interrupted as interrupted:
        return 0 if interrupted.number == number else 2
    return 3
