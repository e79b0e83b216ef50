"""--pid-file."""

from __future__ import annotations

import posix

from oci_runtime.errors import PyociError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.lifecycle.undo import Undo


def write_pid_file(path: str, pid: int, undo: Undo) -> None:
    """--pid-file, in one piece."""
    directory, slash, name = path.rpartition("/")
    unnamed = f"{directory}{slash}.{name}"
    try:
        _write_new(unnamed, b"%d" % pid)
        _rename(unnamed, path)
    except OSError as error:
        raise PyociError(f"cannot write the pid file {path}: {error.strerror}") from error
    undo.add(lambda: _unlink(path))


def _unlink(path: str) -> None:
    try:
        posix.unlink(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise PyociError(f"cannot remove the pid file {path}: {error.strerror}") from error


def _write_new(path: str, data: bytes) -> None:
    """The directory may be somebody else's to write to: a file or link that lies in wait there is not followed."""
    try:
        posix.unlink(path)
    except FileNotFoundError:
        pass
    flags = posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_NOFOLLOW | posix.O_CLOEXEC
    fd = posix.open(path, flags, 0o644)
    try:
        try:
            posix.write(fd, data)
        finally:
            posix.close(fd)
    except BaseException:
        posix.unlink(path)
        raise


def _rename(unnamed: str, path: str) -> None:
    try:
        posix.rename(unnamed, path)
    except OSError:
        posix.unlink(unnamed)
        raise
