"""Descriptors of cgroupfs: every read and write of this package goes through here.

The root of a hierarchy is opened by its path on the host and its filesystem type is checked; whatever lies below is
opened by openat2(2) relative to such a descriptor, so that neither a symbolic link nor a mount can lead elsewhere.
Functions raise OSError; callers add what the user needs to know.
"""

from __future__ import annotations

import posix
from errno import EINVAL, ENODEV, ENOENT

from oci_runtime._shim import lib
from oci_runtime.errors import NoCgroupfsError
from oci_runtime.linux.processes import close_quietly

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

V1_MAGIC = 0x27E0EB  # CGROUP_SUPER_MAGIC, statfs(2)
V2_MAGIC = 0x63677270  # CGROUP2_SUPER_MAGIC

#: What a cgroup that has been removed answers.
GONE = (ENOENT, ENODEV)

_DIRECTORY = posix.O_PATH | posix.O_DIRECTORY | posix.O_CLOEXEC
# openat2(2)
_NO_XDEV, _NO_MAGICLINKS, _NO_SYMLINKS, _BENEATH = 0x01, 0x02, 0x04, 0x08
_INSIDE = _NO_XDEV | _NO_MAGICLINKS | _NO_SYMLINKS | _BENEATH


def magic(path: str) -> int:
    """The filesystem type of `path` (statfs(2) f_type), 0 when there is no such directory."""
    try:
        fd = posix.open(path, _DIRECTORY)
    except OSError:
        return 0
    try:
        return int(lib.sys_filesystem_magic(fd))
    finally:
        posix.close(fd)


def open_root(mountpoint: str, wanted: int) -> int:
    """An O_PATH descriptor of the root of a hierarchy, proven to be of the filesystem type `wanted`."""
    try:
        fd = posix.open(mountpoint, _DIRECTORY)
    except NotADirectoryError:
        raise NoCgroupfsError(f"{mountpoint} is not a cgroup filesystem, but no directory at all") from None
    found = lib.sys_filesystem_magic(fd)
    if found != wanted:
        posix.close(fd)
        if found < 0:
            raise OSError(-found, posix.strerror(-found), mountpoint)
        raise NoCgroupfsError(f"{mountpoint} is not a cgroup filesystem (type {found:#x}, expected {wanted:#x})")
    return fd


def open_at(directory: int, name: str, flags: int) -> int:
    """openat2(2) of `name`, which must lie beneath `directory` and on the same mount."""
    if "\0" in name:
        raise OSError(EINVAL, posix.strerror(EINVAL), name)
    fd: int = lib.sys_openat2(directory, name.encode("utf-8", "surrogateescape"), flags | posix.O_CLOEXEC, 0, _INSIDE)
    if fd < 0:
        raise OSError(-fd, posix.strerror(-fd), name)
    return fd


def open_dir(directory: int, name: str) -> int:
    """An O_PATH descriptor of the cgroup `name` beneath `directory`."""
    return open_at(directory, name, _DIRECTORY)


def open_parent(directory: int) -> int:
    """A readable descriptor of the parent of a cgroup, on the same mount."""
    flags = posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC
    fd: int = lib.sys_openat2(directory, b"..", flags, 0, _NO_XDEV | _NO_MAGICLINKS | _NO_SYMLINKS)
    if fd < 0:
        raise OSError(-fd, posix.strerror(-fd), "..")
    return fd


def write(directory: int, name: str, value: str) -> None:
    """Write `value` in one write(2) to the control file `name`."""
    fd = open_at(directory, name, posix.O_WRONLY)
    try:
        posix.write(fd, value.encode())
    finally:
        close_quietly(fd)


def read(directory: int, name: str) -> str:
    """The whole control file `name`."""
    fd = open_at(directory, name, posix.O_RDONLY)
    try:
        data = posix.read(fd, 65536)
        if len(data) < 2048:  # a seq_file fills a page, but for the last record, unless this is the end
            return data.decode()
        parts = [data]
        while data := posix.read(fd, 65536):
            parts.append(data)
        return b"".join(parts).decode()
    finally:
        close_quietly(fd)


def counter(text: str, key: str) -> int:
    """The number after `key` in lines of "KEY NUMBER"; 0 when there is no such line."""
    for line in text.splitlines():
        found, _, value = line.partition(" ")
        if found == key:
            return int(value)
    return 0


def read_proc(path: str) -> str:
    """A file of /proc as text; names in it may be any bytes."""
    fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        parts = []
        while data := posix.read(fd, 65536):
            parts.append(data)
        return b"".join(parts).decode("utf-8", "surrogateescape")
    finally:
        posix.close(fd)


def subdirectories(directory: int) -> list[str]:
    """Names of the child cgroups of a readable directory descriptor."""
    entries: Iterator[posix.DirEntry[str]]
    with posix.scandir(directory) as entries:
        return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
