"""Trees of cgroups: who is in them, and their removal.

A container that may write to its cgroups can nest them as deep as it likes, so nothing here recurses, and a walk holds
one descriptor however deep it goes.
"""

from __future__ import annotations

import posix
import time
from errno import EBUSY, ENOTEMPTY, EOPNOTSUPP

from oci_runtime.linux.cgroups import _fs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_READABLE = posix.O_RDONLY | posix.O_DIRECTORY


def pids(directory: int, recursive: bool) -> list[int]:
    """Sorted ids of the processes in a cgroup, and in those below it; empty when it has been removed.

    Processes outside of our pid namespace, which the kernel lists as 0, are left out.
    """
    found: set[int] = set()
    is_threaded = _members(directory, found, by_threads=True)
    if recursive:
        for child in _descendants(directory):
            _members(child, found, by_threads=is_threaded)
    found.discard(0)
    return sorted(found)


def _members(directory: int, found: set[int], *, by_threads: bool) -> bool:
    """Whether the cgroup is threaded. cgroups(7): such a one lists its processes in the root of its threaded domain; if
    that is none of the container's, they are found by their threads."""
    try:
        found.update(map(int, _fs.read(directory, "cgroup.procs").split()))
    except OSError as error:
        if error.errno != EOPNOTSUPP:
            if error.errno in _fs.GONE:
                return False
            raise
        if by_threads:
            found.update(map(_process_of, _fs.read(directory, "cgroup.threads").split()))
        return True
    return False


def _process_of(thread: str) -> int:
    """The process of a thread; 0 when it has ended, or is outside of our pid namespace (proc_pid_status(5), Tgid)."""
    try:
        text = _fs.read_proc(f"/proc/{thread}/status")
    except OSError:
        return 0
    return next((int(line[5:]) for line in text.split("\n") if line.startswith("Tgid:")), 0)


def _descendants(top: int) -> Iterator[int]:
    """Descriptors of every cgroup below `top`, each valid until the next is asked for."""
    try:
        here = _fs.open_at(top, ".", _READABLE)
    except OSError as error:
        if error.errno in _fs.GONE:
            return
        raise
    try:
        pending = [_fs.subdirectories(here)]
        while pending:
            if pending[-1]:
                try:
                    child = _fs.open_at(here, pending[-1].pop(), _READABLE)
                except OSError as error:
                    if error.errno in _fs.GONE:
                        continue
                    raise
                posix.close(here)
                here = child
                yield here
                pending.append(_fs.subdirectories(here))
                continue
            pending.pop()
            if pending:
                parent = _fs.open_parent(here)
                posix.close(here)
                here = parent
    finally:
        posix.close(here)


def thaw_below(top: int) -> None:
    """Thaw what is frozen by itself below a cgroup of the v1 freezer. Raises OSError."""
    for child in _descendants(top):
        try:
            if _fs.read(child, "freezer.self_freezing").strip() == "1":
                _fs.write(child, "freezer.state", "THAWED")
        except OSError as error:
            if error.errno not in _fs.GONE:
                raise


def remove(parent: int, name: str) -> bool:
    """Remove the cgroup `name` and all below it as far as that is possible now; False when processes keep it."""
    if rmdir(parent, name):
        return True
    try:
        here = _fs.open_at(parent, name, _READABLE)
    except OSError as error:
        if error.errno in _fs.GONE:
            return True
        raise
    if _prune(here):
        return rmdir(parent, name)
    return False


def _prune(here: int) -> bool:
    """Remove the cgroups below `here` (which it closes); whether it is worth trying to remove `here`."""
    everything = True
    try:
        pending, names = [_fs.subdirectories(here)], [""]
        while True:
            if pending[-1]:
                name = pending[-1].pop()
                if not rmdir(here, name):
                    child = _fs.open_at(here, name, _READABLE)
                    posix.close(here)
                    here = child
                    pending.append(_fs.subdirectories(here))
                    names.append(name)
                continue
            pending.pop()
            if not pending:
                return everything
            parent = _fs.open_parent(here)
            posix.close(here)
            here = parent
            everything = rmdir(here, names.pop()) and everything
    except OSError as error:
        if error.errno not in _fs.GONE:
            raise
        return False  # somebody removes the same tree: look again
    finally:
        posix.close(here)


def rmdir(parent: int, name: str) -> bool:
    """Remove one cgroup; True when it is gone, False when it has processes or children. Raises OSError."""
    try:
        posix.rmdir(name, dir_fd=parent)
    except OSError as error:
        if error.errno in (EBUSY, ENOTEMPTY):
            return False
        if error.errno not in _fs.GONE and _exists(parent, name):
            raise
    return True


def _exists(parent: int, name: str) -> bool:
    # on a read-only mount rmdir(2) answers EROFS whether there is such a directory or not
    try:
        posix.close(_fs.open_dir(parent, name))
    except OSError as error:
        return error.errno not in _fs.GONE
    return True


class Patience:
    """Sleeps of growing length, 0.1 ms to 25 ms, until `seconds` have passed."""

    __slots__ = ("_deadline", "_delay")

    def __init__(self, seconds: float) -> None:
        self._delay = 0.0001
        self._deadline = time.monotonic() + seconds

    def wait(self) -> bool:
        """Sleep once; False, without sleeping, when the time is over."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            return False
        time.sleep(min(self._delay, left))
        self._delay = min(self._delay * 2, 0.025)
        return True
