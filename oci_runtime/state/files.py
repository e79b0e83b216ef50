"""The files of a container's directory, by its descriptor: no name is followed anywhere else.

Nobody but us and root can write to the directory, but what is in it may be damaged, be too large, or not be a file.
"""

from __future__ import annotations

import posix
from errno import EMFILE, ENAMETOOLONG, ENFILE, ENOENT, ENOMEM, ENOTDIR

from oci_runtime.errors import PyociError

DIRECTORY = posix.O_RDONLY | posix.O_DIRECTORY | posix.O_NOFOLLOW | posix.O_CLOEXEC
#: Bytes. The record has the annotations and the process of a config.json, which may have 16 MiB, in escapes.
LARGEST = 1 << 27
_REGULAR, _DIRECTORY, _TYPE = 0o100000, 0o040000, 0o170000
# Failures that are about us, not about the file.
_OURS = (EMFILE, ENFILE, ENOMEM)


class UnusableFile(PyociError):
    """What is there under the name is nothing that can be read."""


def read(directory: int, name: str, path: str) -> bytes:
    """The whole of a regular file that is ours or root's; `path` is how messages call it.

    FileNotFoundError when it is not there, UnusableFile when it is not what it must be.
    """
    try:
        # O_NONBLOCK: a FIFO in its place is not to be waited for
        fd = posix.open(name, posix.O_RDONLY | posix.O_NONBLOCK | posix.O_CLOEXEC | posix.O_NOFOLLOW, dir_fd=directory)
        try:
            status = posix.fstat(fd)
            size = status.st_size
            if status.st_mode & _TYPE != _REGULAR:
                raise UnusableFile(f"{path} is no regular file")
            if status.st_uid not in (posix.geteuid(), 0):
                raise UnusableFile(f"{path} belongs to user {status.st_uid}")
            if size > LARGEST:
                raise UnusableFile(f"{path} is larger than {LARGEST} bytes")
            data = posix.read(fd, size + 1)
            while len(data) < size:
                more = posix.read(fd, size - len(data))
                if not more:
                    break
                data += more
            return data
        finally:
            posix.close(fd)
    except OSError as error:
        if error.errno == ENOENT:
            raise
        kind = PyociError if error.errno in _OURS else UnusableFile
        raise kind(f"cannot read {path}: {error.strerror}") from error


def write(directory: int, name: str, data: bytes, path: str) -> None:
    """Replaces a file in one step. PyociError when that is not possible: then it is as it was."""
    unnamed = f"{name}~"
    try:
        fd = _open_new(unnamed, directory)
        try:
            done = 0
            while done < len(data):
                done += posix.write(fd, data[done:])
            posix.rename(unnamed, name, src_dir_fd=directory, dst_dir_fd=directory)
        except BaseException:
            _unlink(unnamed, directory)
            raise
        finally:
            posix.close(fd)
    except OSError as error:
        raise PyociError(f"cannot write {path}: {error.strerror}") from error


def _open_new(name: str, directory: int) -> int:
    flags = posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_CLOEXEC | posix.O_NOFOLLOW
    try:
        return posix.open(name, flags, 0o600, dir_fd=directory)
    except FileExistsError:  # of a command that was killed
        posix.unlink(name, dir_fd=directory)
        return posix.open(name, flags, 0o600, dir_fd=directory)


def _unlink(name: str, directory: int) -> None:
    try:
        posix.unlink(name, dir_fd=directory)
    except OSError:
        pass  # the failure that brought us here is told


def exists(name: str, directory: int) -> bool:
    """Whether there is anything of that name, a link too."""
    return _mode(name, directory) != 0


def is_directory(name: str, directory: int) -> bool:
    """Whether it is one itself, no link to one."""
    return _mode(name, directory) & _TYPE == _DIRECTORY


def _mode(name: str, directory: int) -> int:
    try:
        return posix.stat(name, dir_fd=directory, follow_symlinks=False).st_mode
    except OSError as error:
        if error.errno in (ENOENT, ENOTDIR, ENAMETOOLONG):
            return 0
        raise
