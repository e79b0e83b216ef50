"""Waiting for a container's lock, and who has it."""

from __future__ import annotations

import posix

from oci_runtime.errors import PyociError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from oci_runtime.state.store import Container

# seconds
_UNTOLD = 1.0
_LONGEST_PAUSE = 0.05


def wait_for_lock(container: Container, tell: Callable[[str], None], seconds: float | None = None) -> None:
    """Takes the lock, on the directory that `container` has open. `tell` gets a line when that takes long.

    PyociError when it has not come about after `seconds`.
    """
    from time import monotonic, sleep

    began = monotonic()
    pause = 0.0005
    told = False
    while not container.lock_if_free():
        waited = monotonic() - began
        if seconds is not None and waited >= seconds:
            raise PyociError(f"container {container.id!r}: {holder(container.directory)} is still working on it")
        if waited >= _UNTOLD and not told:
            tell(f"waiting for {holder(container.directory)}, which is working on container {container.id!r}")
            told = True
        sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE)


def holder(directory: int) -> str:
    """Who has locked a directory, in words: `process 123 (pyoci create box)`."""
    pid = _holder(directory)
    return f"process {pid} ({_command(pid)})" if pid > 0 else "another command"


def _holder(directory: int) -> int:
    """Its pid, or 0 if that cannot be told: of another pid namespace, say."""
    try:
        status = posix.fstat(directory)
        lines = _read("/proc/locks").decode("ascii", "replace").split("\n")
    except OSError:
        return 0
    # proc_locks(5); that of a filesystem with subvolumes is another device than fstat(2) tells
    for line in lines:
        fields = line.split()
        if len(fields) == 8 and fields[1] == "FLOCK" and fields[5].rpartition(":")[2] == str(status.st_ino):
            return int(fields[4])
    return 0


def _command(pid: int) -> str:
    try:
        words = _read(f"/proc/{pid}/cmdline").decode("utf-8", "replace").split("\0")
    except OSError:
        return "it has ended"
    return " ".join(words).strip()[:200]


def _read(path: str) -> bytes:
    fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        parts = []
        while part := posix.read(fd, 65536):
            parts.append(part)
        return b"".join(parts)
    finally:
        posix.close(fd)
