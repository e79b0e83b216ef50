"""Device nodes for a container that may make none itself, being in a user namespace."""

from __future__ import annotations

import posix
from errno import EACCES, EPERM

from oci_runtime._shim import lib
from oci_runtime.errors import PyociError, SystemCallError
from oci_runtime.plan.operations import DeviceNodes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.plan.operations import Device, Plan

S_IFMT = 0o170000
OPEN_TREE_CLONE = 1
AT_FDCWD = -100


def open_device_nodes(nodes: DeviceNodes) -> None:
    """Makes them, each with its mode and owner, in a tmpfs that is mounted nowhere, so that they are no inodes of the
    host's. It stays closed where the runtime may not make devices either."""
    key, _, label = nodes.label.partition("=")
    fd = lib.sys_device_directory(key.encode(), label.strip('"').encode())
    if fd < 0:
        if -fd in (EPERM, EACCES):
            return
        raise SystemCallError("cannot make a tmpfs for devices", -fd, nodes.pointer)
    try:
        for device in nodes.devices:
            _make(fd, device, nodes)
    except PermissionError:
        posix.close(fd)
        return
    except BaseException:
        posix.close(fd)
        raise
    nodes.fd = fd


def open_device(device: Device) -> None:
    """The host's own device, in place of one that could not be made. SystemCallError if there is none by that name,
    PyociError if it is another one."""
    if device.nodes.fd >= 0:
        return
    fd = lib.sys_open_tree(AT_FDCWD, device.path.encode("utf-8", "surrogateescape"), OPEN_TREE_CLONE)
    if fd < 0:
        what = f"cannot open the host's {device.path}, and devices cannot be made here"
        raise SystemCallError(what, -fd, device.pointer)
    found = posix.fstat(fd)
    if (found.st_mode & S_IFMT, found.st_rdev) != (device.mode & S_IFMT, posix.makedev(device.major, device.minor)):
        posix.close(fd)
        where = f" ({device.pointer})" if device.pointer else ""
        raise PyociError(f"the host's {device.path} is another device, and devices cannot be made here{where}")
    device.fd = fd


def find_mappings(plan: Plan, namespace: int) -> None:
    """Notes the id mappings of the user namespace that is to be joined, of which `namespace` is a descriptor."""
    for descriptor in plan.descriptors:
        if isinstance(descriptor, DeviceNodes) and not descriptor.mappings:
            descriptor.mappings = _mappings_in(namespace)


def _make(directory: int, device: Device, nodes: DeviceNodes) -> None:
    """Who the user namespace does not know cannot own it there; it then belongs to nobody, as with crun."""
    uid = _host_id(nodes.mappings[0], device.uid) if nodes.mappings else 0
    gid = _host_id(nodes.mappings[1], device.gid) if nodes.mappings else 0
    try:
        posix.mknod(device.name, device.mode, posix.makedev(device.major, device.minor), dir_fd=directory)
        posix.chown(device.name, uid, gid, dir_fd=directory)
        posix.chmod(device.name, device.mode & 0o7777, dir_fd=directory)
    except PermissionError:
        raise
    except OSError as error:
        raise SystemCallError(f"cannot make the device {device.path}", error.errno or 0, device.pointer) from error


def _host_id(mappings: list[tuple[int, int, int]], id: int) -> int:
    for first, host, size in mappings:
        if first <= id < first + size:
            return host + id - first
    return 0


def _mappings_in(namespace: int) -> tuple[list[tuple[int, int, int]], list[tuple[int, int, int]]]:
    """uid_map and gid_map, user_namespaces(7), as somebody in the namespace has them."""
    from oci_runtime.linux.user_namespace import CLONE_NEWUSER, with_process

    return with_process(
        # the root of others in there could look through this process at the host (CVE-2016-9962)
        lambda: lib.sys_not_dumpable() or lib.sys_setns(namespace, CLONE_NEWUSER),
        lambda errno: SystemCallError("cannot join the user namespace", errno, "/linux/namespaces"),
        lambda pid: (_read_map(pid, "uid_map"), _read_map(pid, "gid_map")),
    )


def _read_map(pid: int, name: str) -> list[tuple[int, int, int]]:
    fd = posix.open(f"/proc/{pid}/{name}", posix.O_RDONLY | posix.O_CLOEXEC)
    numbers = [int(word) for word in posix.read(fd, 65536).split()]
    posix.close(fd)
    return list(zip(numbers[::3], numbers[1::3], numbers[2::3], strict=True))
