"""linux.devices, and the devices and links that every container has (config-linux.md, Default Devices)."""

from __future__ import annotations

from oci_runtime._shim import lib
from oci_runtime.paths import clean
from oci_runtime.plan.operations import Device, DeviceNodes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.plan.context import Context
    from oci_runtime.plan.operations import Plan
    from oci_runtime.spec.types import Config

S_IFMT, S_IFIFO, S_IFCHR, S_IFBLK = 0o170000, 0o010000, 0o020000, 0o060000
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
    """Device nodes. Where the kernel lets the container make none, in a user namespace, the runtime makes them."""
    if dev_is_bound(config):
        return
    configured = config.get("linux", {}).get("devices", ())
    paths = {clean(device["path"]) for device in configured}
    found = [
        ("", path, (S_IFCHR | 0o666, major, minor, 0, 0)) for path, major, minor in DEFAULT_DEVICES if path not in paths
    ]
    for i, device in enumerate(configured):
        kind = TYPES[device["type"]]
        mode = kind | (device.get("fileMode", 0o666) & 0o7777)
        major, minor = (0, 0) if kind == S_IFIFO else (device.get("major", 0), device.get("minor", 0))
        numbers = (mode, major, minor, device.get("uid", 0), device.get("gid", 0))
        found.append((f"/linux/devices/{i}", clean(device["path"]), numbers))
    if context.in_user_namespace:
        _plan_nodes(plan, found, context)
    else:
        for pointer, path, numbers in found:
            _make(plan, pointer, path, numbers)
    for target, path in DEFAULT_LINKS:
        plan.add(lib.OP_SYMLINK, "", (target, path))
    plan.add(lib.OP_SYMLINK, "", ("/proc/kcore", "/dev/core"), (0, 1))
    plan.add(lib.OP_SYMLINK, "", ("pts/ptmx", "/dev/ptmx"), (1,))


def _make(plan: Plan, pointer: str, path: str, numbers: tuple[int, int, int, int, int]) -> None:
    plan.add(lib.OP_DEVICE, pointer, (path,), (*numbers, int(not pointer)))


def _plan_nodes(plan: Plan, found: list[tuple[str, str, tuple[int, int, int, int, int]]], context: Context) -> None:
    mappings = None
    if "user" in context.namespaces.new:
        uids, gids = ([(m["containerID"], m["hostID"], m["size"]) for m in ids] for ids in context.id_mappings)
        mappings = uids, gids
    nodes = DeviceNodes(context.mount_label, mappings)
    plan.needs(nodes)
    plan.add(lib.OP_DEVICE_NODES, "", (), (nodes,))
    for pointer, path, numbers in found:
        if numbers[0] & S_IFMT == S_IFIFO:
            _make(plan, pointer, path, numbers)
            continue
        device = Device(nodes, path, numbers, pointer)
        plan.needs(device)
        plan.add(lib.OP_BIND_DEVICE, pointer, (path, device.name), (device,))
    plan.add(lib.OP_DEVICE_NODES, "", (), (-1,))
