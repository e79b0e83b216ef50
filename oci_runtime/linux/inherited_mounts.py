"""The mounts of a container without a mount namespace of its own: they are in the runtime's, all on one mount of the
root filesystem, and go with that. What there was before is on record in the container's directory."""

from __future__ import annotations

import posix
from errno import EINVAL

from oci_runtime._shim import lib
from oci_runtime.errors import PyociError, SystemCallError

FILE = "mounts"
MNT_DETACH = 2
# of mounts one over the other on the root
_AT_MOST = 64
_FLAGS = posix.O_PATH | posix.O_DIRECTORY | posix.O_CLOEXEC


def note(directory: int, rootfs: str) -> None:
    """Writes down, in a file of `directory`, what is mounted where the root filesystem is.

    PyociError if it cannot be opened, or is the host's root, by whatever path.
    """
    fd = _open(rootfs)
    try:
        path = posix.readlink(f"/proc/self/fd/{fd}")
        if path == "/":
            raise PyociError(
                "a container on the host's root needs a mount namespace, or its mounts would cover it (/root/path)"
            )
        text = f"{_namespace()} {_mount_id(fd)} {path}"
    finally:
        posix.close(fd)
    file = posix.open(FILE, posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_CLOEXEC, 0o600, dir_fd=directory)
    try:
        posix.write(file, text.encode("utf-8", "surrogateescape"))
    finally:
        posix.close(file)


def unmount(directory: int) -> None:
    """Takes away what has been mounted there since, if anything has been noted.

    PyociError when this is another mount namespace, or the kernel refuses.
    """
    try:
        file = posix.open(FILE, posix.O_RDONLY | posix.O_NOFOLLOW | posix.O_CLOEXEC, dir_fd=directory)
    except FileNotFoundError:
        return
    text = posix.read(file, 8192).decode("utf-8", "surrogateescape")
    posix.close(file)
    namespace, _, rest = text.partition(" ")
    before, _, path = rest.partition(" ")
    if not path:
        return  # create was interrupted before anything was mounted
    if namespace != _namespace():
        raise PyociError(f"the container's mounts at {path} are in another mount namespace: delete it from there")
    for _ in range(_AT_MOST):
        try:
            fd = _open(path)
        except PyociError:
            return  # with the directory its mounts went
        try:
            if _mount_id(fd) == before:
                return
        finally:
            posix.close(fd)
        error = lib.sys_umount(path.encode("utf-8", "surrogateescape"), MNT_DETACH)
        if error == -EINVAL:
            return  # somebody has unmounted what it was in, too
        if error:
            raise SystemCallError(f"cannot unmount {path}", -error)


def _open(path: str) -> int:
    try:
        return posix.open(path, _FLAGS)
    except OSError as error:
        raise SystemCallError(f"cannot open {path}", error.errno or 0, "/root/path") from error


def _namespace() -> str:
    return str(posix.stat("/proc/self/ns/mnt").st_ino)


def _mount_id(fd: int) -> str:
    """proc_pid_fdinfo(5)"""
    info = posix.open(f"/proc/self/fdinfo/{fd}", posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        lines = posix.read(info, 4096).decode().splitlines()
    finally:
        posix.close(info)
    return next(line.split()[1] for line in lines if line.startswith("mnt_id:"))
