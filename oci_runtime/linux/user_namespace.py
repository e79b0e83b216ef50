"""User namespaces seen from outside: id mappings, user_namespaces(7)."""

from __future__ import annotations

import posix

from oci_runtime._shim import lib
from oci_runtime.errors import SystemCallError
from oci_runtime.linux.descriptors import PROC_SUPER_MAGIC

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeVar

    from oci_runtime.spec.types import IDMapping

    _T = TypeVar("_T")

CLONE_NEWUSER = 0x10000000


def write_proc(pid: int, name: str, text: str, pointer: str) -> None:
    """Writes to a file of /proc/PID, which must be in a procfs (CVE-2019-16884)."""
    try:
        fd = posix.open(f"/proc/{pid}/{name}", posix.O_WRONLY | posix.O_CLOEXEC)
        try:
            if lib.sys_filesystem_magic(fd) != PROC_SUPER_MAGIC:
                raise OSError(22, "/proc is not a procfs")
            posix.write(fd, text.encode())
        finally:
            posix.close(fd)
    except OSError as error:
        raise SystemCallError(f"cannot write {text.strip()!r} to {name}", error.errno or 0, pointer) from error


def map_ids(pid: int, uids: Sequence[IDMapping], gids: Sequence[IDMapping]) -> None:
    """Writes both mappings of a process in a new user namespace; takes CAP_SETUID and CAP_SETGID."""
    write_proc(pid, "uid_map", mapping_text(uids), "/linux/uidMappings")
    write_proc(pid, "gid_map", mapping_text(gids), "/linux/gidMappings")


def mapping_text(mappings: Sequence[IDMapping]) -> str:
    """As /proc/PID/uid_map takes them."""
    return "".join(f"{m['containerID']} {m['hostID']} {m['size']}\n" for m in mappings)


def namespace_with(uids: Sequence[IDMapping], gids: Sequence[IDMapping]) -> int:
    """A descriptor of a user namespace that nobody is in, with these mappings: for id-mapped mounts."""
    try:
        return _namespace_with(uids, gids)
    except OSError as error:
        raise _no_namespace(error.errno or 0) from error


def _no_namespace(errno: int) -> SystemCallError:
    return SystemCallError("cannot make a user namespace for an id-mapped mount", errno, "/mounts")


def _namespace_with(uids: Sequence[IDMapping], gids: Sequence[IDMapping]) -> int:
    def mapped(pid: int) -> int:
        map_ids(pid, uids, gids)
        return posix.open(f"/proc/{pid}/ns/user", posix.O_RDONLY | posix.O_CLOEXEC)

    return with_process(lambda: lib.sys_unshare(CLONE_NEWUSER), _no_namespace, mapped)


def with_process(enter: Callable[[], int], failed: Callable[[int], Exception], use: Callable[[int], _T]) -> _T:
    """What `use` makes of the pid of a child that has called `enter`, which returns 0 or -errno, and waits meanwhile.
    Raises `failed(errno)`."""
    read, write = posix.pipe()
    ready, started = posix.pipe()
    pid = posix.fork()
    if not pid:
        posix.close(write)
        posix.write(started, b"%d" % -enter())
        posix.read(read, 1)  # until the other end is closed
        posix._exit(0)
    posix.close(started)
    try:
        errno = int(posix.read(ready, 16) or b"5")
        if errno:
            raise failed(errno)
        return use(pid)
    finally:
        for fd in (read, write, ready):
            posix.close(fd)
        posix.waitpid(pid, 0)
