"""Runs a runtime's commands as the parent of whatever they leave behind."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from differential.errors import CannotCompare
from differential.places import OUT, WORK

#: Seconds that a command, or what is waited for, may take: a hang is a result, so nothing hangs on how long this is.
PATIENCE = 30.0
#: Seconds until what was killed is dead; what takes longer is taken for left over.
GRACE = 20.0
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "SECRET": "of the engine",
}


class Ended:
    """`code` as in a shell, None when it did not end and was killed; what it wrote."""

    __slots__ = ("code", "err", "out")

    def __init__(self, code: int | None, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err


class Commands:
    """The commands of one runtime; each has its own files for output, so that a container may hold them open."""

    __slots__ = ("_ended", "_number", "argv")

    def __init__(self, argv: list[str]) -> None:
        self.argv = argv
        self._number = 0
        self._ended: dict[int, int] = {}

    def output(self) -> Path:
        """Standard output of the command that comes next."""
        return OUT / f"stdout-{self._number + 1}"

    def run(self, arguments: Sequence[str], pass_fds: Sequence[int] = ()) -> Ended:
        """Runs it to its end."""
        out = self.output()
        err = OUT / f"stderr-{self._number + 1}"
        self._number += 1
        with out.open("wb") as stdout, err.open("wb") as stderr:
            child = subprocess.Popen(
                [*self.argv, *arguments],
                cwd=WORK,
                env=ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                pass_fds=pass_fds,
                umask=0o022,
            )
        ended = self.until(lambda: self._has_ended(child.pid))
        if not ended:
            child.kill()
            self.until(lambda: self._has_ended(child.pid))
        status = child.returncode = self._ended.pop(child.pid, 0)
        code = None if not ended else status if status >= 0 else 128 - status
        return Ended(code, out.read_text("utf-8", "replace"), err.read_text("utf-8", "replace"))

    def until(self, condition: Callable[[], bool], patience: float = PATIENCE) -> bool:
        """Waits for it, as the parent of all orphans; False when it does not come."""
        deadline = time.monotonic() + patience
        pause = 0.0005
        while True:
            self.reap()
            if condition():
                return True
            if time.monotonic() > deadline:
                return False
            time.sleep(pause)
            pause = min(pause * 1.5, 0.02)

    def reap(self) -> None:
        """Waits for the dead, as init does: one that nobody waits for would look alive."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            self._ended[pid] = os.waitstatus_to_exitcode(status)

    def _has_ended(self, pid: int) -> bool:
        return pid in self._ended

    def end_descendants(self) -> list[str]:
        """Kills what is left, and says what that was. CannotCompare when something cannot be killed."""
        found: dict[int, str] = {}
        deadline = time.monotonic() + PATIENCE
        while alive := descendants():
            if time.monotonic() > deadline:
                raise CannotCompare(f"these processes cannot be killed: {found}")
            for pid in alive:
                found.setdefault(pid, _name(pid))
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            self.reap()
            time.sleep(0.002)
        return list(found.values())


def descendants() -> list[int]:
    """Processes below this one."""
    found: list[int] = []
    wanted = [os.getpid()]
    while wanted:
        pid = wanted.pop()
        try:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text("utf-8").split()
        except OSError:
            continue
        found += map(int, children)
        wanted += map(int, children)
    return found


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text("utf-8").strip()
    except OSError:
        return "?"
