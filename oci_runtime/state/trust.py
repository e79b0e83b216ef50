"""The state directory at the end of a path on which there are links, or directories that others can change.

Such directories are no reason to refuse it: a pod's emptyDir at /run, which all may write to, or a developer's home.
But the way goes by descriptors then, a link of somebody else is not followed, and what it ends at must be ours. So
whoever can rename things on the way has nothing to put there but what is ours, too.
"""

from __future__ import annotations

import posix
from errno import ELOOP, ENOENT, ENOTDIR

from oci_runtime.errors import PyociError
from oci_runtime.state.root import FLAGS

_TYPE, _LINK, _DIRECTORY = 0o170000, 0o120000, 0o040000
_GROUP_MAY_WRITE, _OTHERS_MAY_WRITE = 0o020, 0o002
_LINKS_AT_MOST = 40
# What ids that are not mapped into our user namespace look like: user_namespaces(7).
_OVERFLOW_ID = 65534


def open_trusted(root: str) -> int:
    """As open_root()."""
    fd = -1
    try:
        fd = _walk(root)
        why = _distrust(fd)
        if not why:
            return fd
    except OSError as error:
        if error.errno == ENOENT:
            raise
        why = {ENOTDIR: "it is no directory, or below what is none", ELOOP: "there are too many links on the way"}.get(
            error.errno or 0, error.strerror or ""
        )
    if fd >= 0:
        posix.close(fd)
    raise PyociError(f"cannot use the state directory {root}: {why}")


def _walk(root: str) -> int:
    """An O_PATH descriptor of the directory. Raises OSError, and PyociError for a link of somebody else."""
    todo = root.split("/")[::-1]
    links = 0
    here = posix.open("/", FLAGS)
    try:
        while todo:
            name = todo.pop()
            if name in ("", "."):
                continue
            there = posix.open(name, posix.O_PATH | posix.O_NOFOLLOW | posix.O_CLOEXEC, dir_fd=here)
            status = posix.fstat(there)
            if status.st_mode & _TYPE != _LINK:
                posix.close(here)
                here = there
                continue
            try:
                target = posix.readlink("", dir_fd=there)
            finally:
                posix.close(there)
            if not _is_trusted(status.st_uid):
                why = f"there is a link {name} of user {status.st_uid} on the way"
                raise PyociError(f"cannot use the state directory {root}: {why}")
            links += 1
            if links > _LINKS_AT_MOST:
                raise OSError(ELOOP, posix.strerror(ELOOP))
            todo += target.split("/")[::-1]
            if target[:1] == "/":
                posix.close(here)
                here = posix.open("/", FLAGS)
        return here
    except BaseException:
        posix.close(here)
        raise


def _is_trusted(uid: int) -> bool:
    """Whether a link's owner is ourselves or root, the host's root too where that has no id."""
    if uid in (posix.geteuid(), 0):
        return True
    from oci_runtime.linux.own_ids import in_user_namespace

    return uid == _OVERFLOW_ID and in_user_namespace()


def _distrust(fd: int) -> str:
    """Why others could put something into the directory; '' when they could not."""
    status = posix.fstat(fd)
    if status.st_mode & _TYPE != _DIRECTORY:
        raise OSError(ENOTDIR, posix.strerror(ENOTDIR))
    hint = "; give --root a directory that is yours alone"
    if status.st_uid not in (posix.geteuid(), 0):
        return f"it belongs to user {status.st_uid}, who could put anything there{hint}"
    others = status.st_mode & _OTHERS_MAY_WRITE
    # a group of which there is one member, ourselves: distributions with umask 002
    if others or (status.st_mode & _GROUP_MAY_WRITE and status.st_gid != posix.getegid()):
        who = "everybody" if others else f"group {status.st_gid}"
        return f"{who} can write to it (mode {status.st_mode & 0o7777:04o}){hint}"
    return ""
