"""The mounts of a container without a mount namespace of its own: they are in the runtime's, all on one mount of the
root filesystem, and go with that. What there was before is on record in the container's directory.

Where that mount is, is not believed of the path: who owns a directory on the way can exchange it, for one in which
there is a mount of the host. It is the root filesystem, mounted on itself, and its parent is what was there before.
"""

from __future__ import annotations

import posix
from errno import EINVAL

from oci_runtime._shim import lib
from oci_runtime.errors import PyociError, SystemCallError

TYPE_CHECKING = False
if TYPE_CHECKING:
    #: of proc_pid_mountinfo(5): parent, device, root and mount point, by the mount's id
    Mounts = dict[str, tuple[str, str, str, str]]

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
        text = f"{_namespace()} {_mount_id(fd)} {_inode(fd)} {path}"
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
    namespace, before, inode, path = (*text.split(" ", 3), "", "", "")[:4]
    if not path:
        return  # create was interrupted before anything was mounted
    if namespace != _namespace():
        raise PyociError(f"the container's mounts at {path} are in another mount namespace: delete it from there")
    for _ in range(_AT_MOST):
        mounts = _mounts()
        roots = [id for id in mounts if _is_on_itself(id, before, mounts)]
        if not any(_unmount_top(id, inode, mounts) for id in roots):
            return


def _is_on_itself(id: str, before: str, mounts: Mounts) -> bool:
    """Whether the mount shows, in the mount `before`, what it covers."""
    parent, device, root, point = mounts[id]
    if parent != before or before not in mounts:
        return False
    _, parent_device, parent_root, parent_point = mounts[before]
    rest = point.removeprefix(parent_point.rstrip("/"))
    return device == parent_device and root == (parent_root.rstrip("/") + rest or "/")


def _unmount_top(root: str, inode: str, mounts: Mounts) -> bool:
    """Of the mounts one over the other on the mount `root`, takes the last away; whether there was one of ours.

    It is looked at when it is open, and unmounted by its descriptor, so its name may lead elsewhere by then.
    """
    point = mounts[root][3]
    try:
        fd = _open(point)
    except PyociError:
        return False
    try:
        top = _mount_id(fd)
        while top != root and top in mounts and mounts[top][3] == point:
            top = mounts[top][0]
        if top != root or (_mount_id(fd) == root and _inode(fd) != inode):
            return False
        error = lib.sys_umount(b"/proc/self/fd/%d" % fd, MNT_DETACH)
    finally:
        posix.close(fd)
    if error and error != -EINVAL:  # somebody has unmounted it, too
        raise SystemCallError(f"cannot unmount {point}", -error)
    return not error


def _mounts() -> Mounts:
    file = posix.open("/proc/self/mountinfo", posix.O_RDONLY | posix.O_CLOEXEC)
    data = b""
    try:
        while more := posix.read(file, 1 << 16):
            data += more
    finally:
        posix.close(file)
    found: Mounts = {}
    for line in data.decode("utf-8", "surrogateescape").split("\n")[:-1]:
        id, parent, device, root, point = line.split(" ", 5)[:5]
        found[id] = (parent, device, _unescaped(root), _unescaped(point))
    return found


def _unescaped(text: str) -> str:
    for letter in " \t\n#\\":
        text = text.replace(f"\\{ord(letter):03o}", letter)
    return text


def _open(path: str) -> int:
    try:
        return posix.open(path, _FLAGS)
    except OSError as error:
        raise SystemCallError(f"cannot open {path}", error.errno or 0, "/root/path") from error


def _namespace() -> str:
    return str(posix.stat("/proc/self/ns/mnt").st_ino)


def _inode(fd: int) -> str:
    status = posix.fstat(fd)
    return f"{status.st_dev}:{status.st_ino}"


def _mount_id(fd: int) -> str:
    """proc_pid_fdinfo(5)"""
    info = posix.open(f"/proc/self/fdinfo/{fd}", posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        lines = posix.read(info, 4096).decode().splitlines()
    finally:
        posix.close(info)
    return next(line.split()[1] for line in lines if line.startswith("mnt_id:"))
