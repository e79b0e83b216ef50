"""The state directory, refused where others could put something into it.

What is in there is believed: whom to kill, which hooks to run, what to remove. So it must be ours or root's, and nobody
else may write to it. Engines make theirs with mode 0700 or 0711, below /run or the user's $XDG_RUNTIME_DIR.
"""

from __future__ import annotations

import posix
from errno import ELOOP, ENOENT, ENOTDIR

from oci_runtime.errors import PyociError

_OTHERS_MAY_WRITE, _STICKY = 0o022, 0o1000
FLAGS = posix.O_PATH | posix.O_DIRECTORY | posix.O_NOFOLLOW | posix.O_CLOEXEC


def open_root(path: str) -> int:
    """An O_PATH descriptor of the state directory at the absolute `path`.

    FileNotFoundError when there is none; PyociError when it cannot be used, or is not ours or root's alone.
    """
    owners = (posix.geteuid(), 0)
    try:
        end = 0
        while end >= 0:
            # Where nobody else can rename what is on the way, it is safe to open it by its name. In a sticky directory
            # others can rename only what is theirs, which is the next thing looked at.
            status = posix.lstat(path[:end] or "/")
            if (status.st_mode & _OTHERS_MAY_WRITE and not status.st_mode & _STICKY) or status.st_uid not in owners:
                return _open_carefully(path)  # a link, for one
            end = path.find("/", end + 1)
        fd = posix.open(path, FLAGS)
        status = posix.fstat(fd)
    except OSError as error:
        if error.errno == ENOENT:
            raise
        if error.errno in (ENOTDIR, ELOOP):
            return _open_carefully(path)
        raise PyociError(f"cannot open the state directory {path}: {error.strerror}") from error
    if status.st_mode & _OTHERS_MAY_WRITE or status.st_uid not in owners:
        posix.close(fd)
        return _open_carefully(path)
    return fd


def _open_carefully(path: str) -> int:
    from oci_runtime.state.trust import open_trusted

    return open_trusted(path)
