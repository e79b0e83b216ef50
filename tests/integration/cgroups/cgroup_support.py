"""Real processes in real cgroups, a view of the host in which there is only cgroup v2, and the clean-up of both."""

from __future__ import annotations

import ctypes
import os
import signal
import struct
import subprocess
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from oci_runtime._shim import lib
from oci_runtime.linux.cgroups.manager import Manager

BASE = Path("/sys/fs/cgroup")
CLONE_NEWNS = 0x20000
CLONE_INTO_CGROUP = 0x200000000


def hierarchies() -> list[Path]:
    return [path for path in BASE.iterdir() if path.is_dir() and os.path.ismount(path)]


def left_over(name: str) -> list[Path]:
    """Directories called `name` anywhere in the cgroup file systems."""
    found = []
    for root in hierarchies() or [BASE]:
        for directory, names, _ in os.walk(root):
            found += [Path(directory, child) for child in names if child == name]
    return found


def destroy(name: str) -> None:
    """Remove whatever a test left, with nothing of pyoci."""
    for top in left_over(name):
        for directory, _, _ in os.walk(top):
            thaw = Path(directory, "freezer.state")
            if thaw.exists():
                thaw.write_text("THAWED")
    for top in left_over(name):
        for directory, _, _ in os.walk(top):
            kind = Path(directory, "cgroup.type")
            if kind.exists() and kind.read_text() == "threaded\n":
                continue  # its domain has its processes
            for pid in Path(directory, "cgroup.procs").read_text().split():
                with suppress(ProcessLookupError):  # on its way out
                    os.kill(int(pid), signal.SIGKILL)
    deadline = time.monotonic() + 60
    while tops := left_over(name):
        for top in tops:
            for directory, _, _ in os.walk(top, topdown=False):
                try:
                    os.rmdir(directory)
                except OSError:
                    assert time.monotonic() < deadline, f"cannot remove {directory}"
        time.sleep(0.01)


v1_only = pytest.mark.skipif(not hierarchies(), reason="this host has no cgroup v1")


def v1_has(controller: str) -> bool:
    """A kernel may be built without some in v1, as Debian 13's without memory and cpuset."""
    return os.path.ismount((BASE / controller).resolve())


def needs_v1(*controllers: str) -> pytest.MarkDecorator:
    """For tests of controllers that v1 may lack."""
    missing = [name for name in controllers if not v1_has(name)]
    return pytest.mark.skipif(bool(missing), reason=f"this host's cgroup v1 has no {', '.join(missing)}")


def needs_v2(controller: str) -> pytest.MarkDecorator:
    """For tests of a controller that only one of v1 and v2 can have."""
    files = [path for path in (BASE / "cgroup.controllers", BASE / "unified/cgroup.controllers") if path.exists()]
    missing = not any(controller in file.read_text().split() for file in files)
    return pytest.mark.skipif(missing, reason=f"this host's cgroup v2 has no {controller}")


class Child:
    """A forked process that waits, then runs `body` and exits with what that returns."""

    def __init__(self, body: Callable[[], int] | None = None) -> None:
        go, self._go = os.pipe()
        self.status: int | None = None
        # other tests may have taught pytest to catch SIGTERM; it must not come before that is forgotten
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        self.pid = os.fork()
        if self.pid:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        else:
            code = 99
            try:
                os.close(self._go)
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
                signal.alarm(60)
                os.read(go, 1)
                if body is None:
                    while True:
                        signal.pause()
                code = body()
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        os.close(go)

    def run(self) -> int:
        """Let it go; its exit code, or minus the signal that killed it."""
        os.write(self._go, b"x")
        return self.wait()

    def wait(self) -> int:
        if self.status is None:
            _, status = os.waitpid(self.pid, 0)
            self.status = os.waitstatus_to_exitcode(status)
            os.close(self._go)
        return self.status

    def alive(self) -> bool:
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
                os.close(self._go)
        return self.status is None

    def end(self) -> None:
        if self.alive():
            os.kill(self.pid, signal.SIGKILL)
            self.wait()


def run_inside(manager: Manager, body: Callable[[], int]) -> int:
    """The exit code of `body`, run by a process in the container's cgroup."""
    child = Child(body)
    try:
        manager.add(child.pid)
        return child.run()
    finally:
        child.end()


def clone_into(cgroup: int, body: Callable[[], int]) -> int:
    """clone3(2) with CLONE_INTO_CGROUP; the new process's id."""
    libc = ctypes.CDLL(None, use_errno=True)
    arguments = struct.pack("11Q", CLONE_INTO_CGROUP, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, 0, 0, cgroup)
    pid = libc.syscall(435, arguments, len(arguments))
    if pid < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    if pid == 0:
        code = 99
        try:
            code = body()
        finally:
            os._exit(code)
    return int(pid)


def in_mount_namespace(commands: list[list[str]], body: Callable[[], None]) -> None:
    """Run `body` in a process that has mounts of its own, which `commands` change."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reading)
            assert lib.sys_unshare(CLONE_NEWNS) == 0
            for command in [["mount", "--make-rprivate", "/"], *commands]:
                subprocess.run(command, check=True)
            body()
        except BaseException:
            os.write(writing, traceback.format_exc().encode()[-60000:])
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading) as stream:
        failure = stream.read()
    os.waitpid(pid, 0)
    assert not failure, failure


def in_v2_view(body: Callable[[], None]) -> None:
    """Run `body` in a process that sees /sys/fs/cgroup as a host with nothing but cgroup v2 has it."""
    in_mount_namespace([["mount", "-t", "cgroup2", "none", str(BASE)]], body)
