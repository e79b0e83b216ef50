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
        fd = posix.open(unnamed, posix.O_WRONLY | posix.O_CREAT | posix.O_TRUNC | posix.O_CLOEXEC, 0o644)
        posix.write(fd, b"%d" % pid)
        posix.close(fd)
        posix.rename(unnamed, path)
    except OSError as error:
        raise PyociError(f"cannot write the pid file {path}: {error.strerror}") from error
    undo.add(lambda: posix.unlink(path))
