"""Who is in a pid namespace, for containers that have no cgroup: pid_namespaces(7), ioctl_ns(2)."""

from __future__ import annotations

import posix
from fcntl import ioctl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

NS_GET_PARENT = 0xB702


def members(init: int) -> list[int]:
    """Sorted ids of the processes in the pid namespace of process `init`, and in those below it; none when it ended."""
    wanted = _namespace(init)
    if wanted < 0:
        return []
    try:
        target = posix.fstat(wanted).st_ino
    finally:
        posix.close(wanted)
    known: dict[int, bool] = {target: True}
    return [pid for pid in _processes() if _is_below(pid, known)]


def _processes() -> Iterator[int]:
    return iter(sorted(int(name) for name in posix.listdir("/proc") if name.isdecimal()))


def _namespace(pid: int) -> int:
    """A descriptor; -1 for a process that has ended or is not ours to look at, as no member of the namespace is."""
    try:
        return posix.open(f"/proc/{pid}/ns/pid", posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError:
        return -1


def _is_below(pid: int, known: dict[int, bool]) -> bool:
    """`known`: inodes of namespaces, and whether they are the one that is looked for or descend from it."""
    fd = _namespace(pid)
    passed = []
    found = False
    while fd >= 0:
        inode = posix.fstat(fd).st_ino
        if inode in known:
            found = known[inode]
            break
        passed.append(inode)
        fd = _parent(fd)
    if fd >= 0:
        posix.close(fd)
    known.update(dict.fromkeys(passed, found))
    return found


def _parent(namespace: int) -> int:
    """Instead of the descriptor given, that of the parent; -1 where that lies outside of the runtime's own."""
    try:
        return ioctl(namespace, NS_GET_PARENT)
    except OSError:
        return -1
    finally:
        posix.close(namespace)
