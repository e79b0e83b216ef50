"""linux.devices, and the devices and links that every container has (config-linux.md, Default Devices)."""

from __future__ import annotations

from oci_runtime._shim import lib
from oci_runtime.paths import clean
from oci_runtime.plan.operations import Tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.plan.context import Context
    from oci_runtime.plan.operations import Plan
    from oci_runtime.spec.types import Config

S_IFIFO, S_IFCHR, S_IFBLK = 0o010000, 0o020000, 0o060000
TYPES = {"c": S_IFCHR, "u": S_IFCHR, "b": S_IFBLK, "p": S_IFIFO}
# path, major, minor
DEFAULT_DEVICES = (
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
)
DEFAULT_LINKS = (
    ("/proc/self/fd", "/dev/fd"),
    ("/proc/self/fd/0", "/dev/stdin"),
    ("/proc/self/fd/1", "/dev/stdout"),
    ("/proc/self/fd/2", "/dev/stderr"),
)


def dev_is_bound(config: Config) -> bool:
    """Whether /dev is a directory of the host, in which nothing is to be made."""
    for mount in config.get("mounts", ()):
        if clean(mount["destination"]) == "/dev":
            options = mount.get("options", ())
            if mount.get("type") == "bind" or "bind" in options or "rbind" in options:
                return True
    return False


def plan_devices(plan: Plan, config: Config, context: Context) -> None:
    """Device nodes. Where the kernel lets none be made, in a user namespace, the host's own are bound."""
    if dev_is_bound(config):
        return
    make = _bind if context.in_user_namespace else _make
    configured = config.get("linux", {}).get("devices", ())
    paths = {clean(device["path"]) for device in configured}
    for path, major, minor in DEFAULT_DEVICES:
        if path not in paths:
            make(plan, "", path, S_IFCHR | 0o666, major, minor, 0, 0)
    for i, device in enumerate(configured):
        mode = TYPES[device["type"]] | (device.get("fileMode", 0o666) & 0o7777)
        fifo = device["type"] == "p"
        major, minor = (0, 0) if fifo else (device.get("major", 0), device.get("minor", 0))
        how = _make if fifo else make
        path = clean(device["path"])
        how(plan, f"/linux/devices/{i}", path, mode, major, minor, device.get("uid", 0), device.get("gid", 0))
    for target, path in DEFAULT_LINKS:
        plan.add(lib.OP_SYMLINK, "", (target, path))
    plan.add(lib.OP_SYMLINK, "", ("/proc/kcore", "/dev/core"), (0, 1))
    plan.add(lib.OP_SYMLINK, "", ("pts/ptmx", "/dev/ptmx"), (1,))


def _make(plan: Plan, pointer: str, path: str, mode: int, major: int, minor: int, uid: int, gid: int) -> None:
    plan.add(lib.OP_DEVICE, pointer, (path,), (mode, major, minor, uid, gid, int(not pointer)))


def _bind(plan: Plan, pointer: str, path: str, mode: int, major: int, minor: int, uid: int, gid: int) -> None:
    tree = Tree(path, False, pointer)
    plan.needs(tree)
    plan.add(lib.OP_BIND_DEVICE, pointer, (path,), (tree,))
