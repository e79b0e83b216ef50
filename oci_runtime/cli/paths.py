"""Paths of the command line, made absolute before anything changes the current directory."""

from __future__ import annotations

import posix

from oci_runtime.errors import UsageError
from oci_runtime.linux.own_ids import in_user_namespace


def absolute(path: str, option: str) -> str:
    """`path` from the root on, '' for ''. `..` is followed, not computed, as links may come before it.

    Raises UsageError, naming `option`.
    """
    if not path:
        return ""
    if "\0" in path:
        raise UsageError(f"--{option}: a path cannot contain a NUL character")
    if path[0] != "/":
        path = f"{current_directory(option)}/{path}"
    parts = [part for part in path.split("/") if part and part != "."]
    if ".." not in parts:
        return "/" + "/".join(parts)
    from os.path import realpath

    if parts[-1] == "..":
        return realpath(path)
    return realpath("/" + "/".join(parts[:-1])).rstrip("/") + "/" + parts[-1]


def current_directory(option: str) -> str:
    try:
        return posix.getcwd()
    except OSError as error:
        raise UsageError(f"--{option}: cannot find the current directory: {error.strerror}") from None


def clean_root(root: str) -> str:
    """The value of --root made absolute. UsageError if that is /, of which everything else would be a container."""
    root = absolute(root or ".", "root")
    if root == "/":
        raise UsageError("option --root must not be /")
    return root


def default_root(system: str) -> str:
    """The root when --root is not given but $XDG_RUNTIME_DIR is: that directory's pyoci, made here, or `system`.

    The sticky bit keeps it from being pruned (XDG Base Directory Specification). Root of the host has `system`.
    """
    runtime = posix.environ[b"XDG_RUNTIME_DIR"].decode("utf-8", "surrogateescape")
    if not runtime or (posix.geteuid() == 0 and (not in_user_namespace() or posix.environ.get(b"USER") == b"root")):
        return system
    root = absolute(f"{runtime}/pyoci", "root")
    try:
        if not posix.access(root, posix.F_OK):
            from os import makedirs

            makedirs(root, 0o700, exist_ok=True)
        posix.chmod(root, 0o1700)
    except OSError as error:
        raise UsageError(f"cannot use {root} in $XDG_RUNTIME_DIR ({error.strerror}); give --root another") from None
    return root
