"""Removal of directories below the state root, by descriptors."""

from __future__ import annotations

import posix
from errno import EEXIST, EISDIR, ENOENT, ENOTDIR, ENOTEMPTY, EPERM

from oci_runtime.state.files import DIRECTORY

# Deeper than anything of ours: a directory `notify`.
_DEEPEST = 32


def empty(directory: int, last: tuple[str, ...] = ()) -> None:
    """Removes all that is in a directory; what `last` names goes last. Raises OSError."""
    names = [name for name in posix.listdir(directory) if name not in last]
    for name in (*names, *last):
        _remove(name, directory, _DEEPEST)


def _remove(name: str, parent: int, deepest: int) -> None:
    try:
        posix.unlink(name, dir_fd=parent)
        return
    except OSError as error:
        if error.errno == ENOENT:
            return
        if error.errno not in (EISDIR, EPERM) or not deepest:  # EPERM: POSIX's word for a directory
            raise
        refused = error
    try:
        directory = posix.open(name, DIRECTORY, dir_fd=parent)
    except OSError:
        raise refused from None
    try:
        for child in posix.listdir(directory):
            _remove(child, directory, deepest - 1)
    finally:
        posix.close(directory)
    posix.rmdir(name, dir_fd=parent)


def rmdir(name: str, parent: int) -> None:
    """Removes an empty directory, unless another command was faster, and may have put a new one there."""
    try:
        posix.rmdir(name, dir_fd=parent)
    except OSError as error:
        if error.errno not in (ENOENT, ENOTEMPTY, EEXIST, ENOTDIR):
            raise


def unfinished(root: int, container_id: str, prefix: str) -> None:
    """Removes what killed commands left: creates before they got their id, whose directories begin with `prefix`, and a
    delete at its very end. Raises OSError when `root` cannot be read."""
    from fcntl import LOCK_EX, LOCK_NB, flock

    for name in names(root):
        if not name.startswith(prefix):
            continue
        try:
            directory = posix.open(name, DIRECTORY, dir_fd=root)
        except OSError as error:
            if error.errno == ENOTDIR:
                _unlink(name, root)
            continue  # gone
        try:
            flock(directory, LOCK_EX | LOCK_NB)
            empty(directory)
            rmdir(name, root)
        except OSError:
            continue  # at work
        finally:
            posix.close(directory)
    _remove_empty(container_id, root)


def names(directory: int) -> list[str]:
    """What is in a directory of which `directory` may be an O_PATH descriptor, sorted. Raises OSError."""
    readable = posix.open(".", DIRECTORY, dir_fd=directory)
    try:
        return sorted(posix.listdir(readable))
    finally:
        posix.close(readable)


def _unlink(name: str, parent: int) -> None:
    try:
        posix.unlink(name, dir_fd=parent)
    except OSError:
        pass


def _remove_empty(name: str, root: int) -> None:
    try:
        posix.rmdir(name, dir_fd=root)
    except OSError:
        pass  # it is not there, or has a state.json


def discard(name: str, parent: int, directory: int) -> None:
    """Removes a directory that was being made; `directory` is its descriptor, which is closed, or -1. What stays is
    found by unfinished(), and the failure that brought us here is told."""
    try:
        if directory >= 0:
            try:
                empty(directory)
            finally:
                posix.close(directory)
        posix.rmdir(name, dir_fd=parent)
    except OSError:
        pass
