"""What goes wrong after the freezer has been told to freeze: nothing stays frozen that is not paused."""

from __future__ import annotations

import errno
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from containers import Bundle, Container, Pyoci, wait_for

from oci_runtime.errors import PyociError
from oci_runtime.lifecycle import kill, pause
from oci_runtime.linux.cgroups import _fs
from oci_runtime.linux.processes import start_time


@pytest.fixture
def container(bundle: Bundle, pyoci: Pyoci) -> Container:
    return pyoci.run_detached(bundle.shell("trap : USR1; while :; do sleep 0.05; done"))


def fails(command: Callable[[], None]) -> None:
    """The command ends with a PyociError; in a child, which takes its lock and its handlers of signals with it."""
    child = os.fork()
    if not child:
        code = 1
        try:
            command()
        except PyociError:
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0


def goes_on(container: Container) -> bool:
    """Whether it is neither frozen nor recorded as paused."""
    record = json.loads((container.pyoci.root / container.id / "state.json").read_text())
    return not record["paused"] and container.status in ("created", "running")


class Failing:
    """Lets the `number`th read of a file of cgroups fail, `times` times, and what is written be."""

    def __init__(self, name: str, error: int, number: int = 1, times: int = 1) -> None:
        self.name = name
        self.error = error
        self.number = number
        self.times = times
        self.seen = 0

    def __call__(self, directory: int, name: str, *rest: Any) -> Any:
        if name == self.name:
            self.seen += 1
            if self.number <= self.seen < self.number + self.times:
                raise OSError(self.error, os.strerror(self.error))
        return _READ(directory, name, *rest)


_READ = _fs.read
_FREEZER = Path("/sys/fs/cgroup/freezer")
_V1 = pytest.mark.skipif(not os.path.ismount(_FREEZER), reason="needs the freezer of cgroup v1")


@_V1
@pytest.mark.parametrize("error", [errno.EIO, errno.EMFILE, errno.ENOMEM, errno.EINTR])
def test_pause_that_fails_with_v1(
    container: Container, pyoci: Pyoci, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    monkeypatch.setattr(_fs, "read", Failing("freezer.state", error))
    fails(lambda: pause.pause(str(pyoci.root), container.id))
    assert goes_on(container)
    monkeypatch.undo()
    pyoci("pause", container.id)
    assert container.status == "paused"
    pyoci("resume", container.id)


@_V1
def test_pause_whose_thaw_fails_at_first(container: Container, pyoci: Pyoci, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for want of descriptors."""
    write = _fs.write
    failed: list[str] = []

    def write_later(directory: int, name: str, value: str) -> None:
        if value == "THAWED" and len(failed) < 3:
            failed.append(value)
            raise OSError(errno.ENFILE, os.strerror(errno.ENFILE))
        write(directory, name, value)

    monkeypatch.setattr(_fs, "write", write_later)
    monkeypatch.setattr(_fs, "read", Failing("freezer.state", errno.ENFILE))
    fails(lambda: pause.pause(str(pyoci.root), container.id))
    assert goes_on(container)


@_V1
def test_signals_that_cannot_be_sent(container: Container, pyoci: Pyoci, monkeypatch: pytest.MonkeyPatch) -> None:
    """`kill --all` freezes meanwhile."""
    monkeypatch.setattr(_fs, "read", Failing("freezer.state", errno.EIO))
    fails(lambda: kill.kill(str(pyoci.root), container.id, signal.SIGUSR1, everyone=True))
    assert goes_on(container)
    monkeypatch.setattr(_fs, "read", Failing("cgroup.procs", errno.EIO, times=9))
    fails(lambda: kill.kill(str(pyoci.root), container.id, signal.SIGUSR1, everyone=True))
    monkeypatch.undo()
    assert goes_on(container)


def test_pause_that_is_asked_to_end(bundle: Bundle, pyoci: Pyoci, tmp_path: Path) -> None:
    """While it waits for its lock, or freezes: then it is as before, or paused."""
    container = pyoci.run_detached(bundle.args("sleep", "100"))
    for _ in range(20):
        command = pyoci.spawn("pause", container.id)
        wait_for(lambda command=command: command.poll() is not None or start_time(command.pid))  # type: ignore[misc]
        command.terminate()
        command.wait(60)
        record = json.loads((pyoci.root / container.id / "state.json").read_text())
        assert record["paused"] == (container.status == "paused") or command.returncode == -signal.SIGTERM
        if container.status == "paused":
            pyoci("resume", container.id)
        assert container.status == "running"
