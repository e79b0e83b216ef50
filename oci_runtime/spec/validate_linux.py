"""The rules for the rarer properties of `linux` (config-linux.md)."""

from __future__ import annotations

from oci_runtime.errors import Problem
from oci_runtime.spec.validate_resources import INTERFACE_NAME, valid_interface_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.spec.types import Device, IntelRdt, Linux, MemoryPolicy, NetDevice, TimeOffsets

_FILE_TYPE = 0o170000


def validate_linux(linux: Linux, namespaces: dict[str, str], problems: list[Problem]) -> None:
    """Append the problems of devices, netDevices, timeOffsets, intelRdt, memoryPolicy and personality."""
    _devices(linux.get("devices", []), problems)
    if linux.get("netDevices"):
        _net_devices(linux["netDevices"], namespaces, problems)
    if linux.get("timeOffsets"):
        _time_offsets(linux["timeOffsets"], namespaces, problems)
    if "intelRdt" in linux:
        _intel_rdt(linux["intelRdt"], problems)
    if "memoryPolicy" in linux:
        _memory_policy(linux["memoryPolicy"], problems)
    if "personality" in linux:
        personality = linux["personality"]
        if "domain" not in personality:
            problems.append(Problem("/linux/personality", "needs a domain, LINUX or LINUX32"))
        if personality.get("flags"):
            problems.append(Problem("/linux/personality/flags", "must be empty; no flags are defined"))


def _devices(devices: list[Device], problems: list[Problem]) -> None:
    seen: dict[str, Device] = {}
    for i, device in enumerate(devices):
        at, path = f"/linux/devices/{i}", device["path"]
        if path[:1] != "/" or not path.strip("/"):
            problems.append(Problem(at + "/path", "must be the absolute path of a file inside the container"))
        if device["type"] != "p":
            _device_number("major", device.get("major"), 0xFFF, at, problems)
            _device_number("minor", device.get("minor"), 0xFFFFF, at, problems)
        if device.get("fileMode", 0) & ~_FILE_TYPE > 0o7777:
            problems.append(Problem(at + "/fileMode", "must be permission bits, at most 4095, which is octal 7777"))
        other = seen.setdefault(path, device)
        if any(other.get(key) != device.get(key) for key in ("type", "major", "minor")):
            problems.append(Problem(at + "/path", "is also the path of another device; each needs its own"))


def _device_number(key: str, number: int | None, largest: int, at: str, problems: list[Problem]) -> None:
    if number is None:
        problems.append(Problem(at, f"needs a {key} number; only type p does without"))
    elif not 0 <= number <= largest:
        problems.append(Problem(f"{at}/{key}", f"must be between 0 and {largest}"))


def _net_devices(devices: dict[str, NetDevice], namespaces: dict[str, str], problems: list[Problem]) -> None:
    if "network" not in namespaces:
        problems.append(Problem("/linux/netDevices", 'needs a "network" namespace in /linux/namespaces'))
    targets = set()
    for name, device in devices.items():
        at = "/linux/netDevices/" + name.replace("~", "~0").replace("/", "~1")
        if not valid_interface_name(name):
            problems.append(Problem(at, "its key " + INTERFACE_NAME))
        target = device.get("name") or name
        if not valid_interface_name(target) or "%" in target.replace("%d", "", 1):
            if device.get("name"):
                problems.append(Problem(at + "/name", INTERFACE_NAME + "; it may contain %d once, for a number"))
        elif target in targets and "%d" not in target:
            problems.append(Problem(at, f"another device is to be named {target} too"))
        targets.add(target)


def _time_offsets(offsets: TimeOffsets, namespaces: dict[str, str], problems: list[Problem]) -> None:
    if "time" not in namespaces:
        problems.append(Problem("/linux/timeOffsets", 'needs a "time" namespace in /linux/namespaces'))
    elif namespaces["time"]:
        problems.append(
            Problem("/linux/timeOffsets", "cannot be set in a time namespace that exists already (path is set)")
        )
    for clock, offset in offsets.items():
        at = "/linux/timeOffsets/" + clock.replace("~", "~0").replace("/", "~1")
        if clock not in ("boottime", "monotonic"):
            problems.append(Problem(at, "its key must be a clock, boottime or monotonic"))
        elif isinstance(offset, dict) and offset.get("nanosecs", 0) > 999_999_999:
            problems.append(Problem(at + "/nanosecs", "must be less than a second, at most 999999999"))


def _intel_rdt(rdt: IntelRdt, problems: list[Problem]) -> None:
    closid = rdt.get("closID", "")
    if closid in (".", "..") or "\n" in closid or (closid != "/" and "/" in closid):
        problems.append(
            Problem(
                "/linux/intelRdt/closID",
                'must be the name of a directory, or "/" for the root of the resctrl filesystem',
            )
        )
    if "\n" in rdt.get("l3CacheSchema", ""):
        problems.append(Problem("/linux/intelRdt/l3CacheSchema", "must be one line, such as L3:0=7f0;1=1f"))
    for i, line in enumerate(rdt.get("schemata", [])):
        if "\n" in line:
            problems.append(Problem(f"/linux/intelRdt/schemata/{i}", "must be one line, such as L3:0=7f0;1=1f"))


def _memory_policy(policy: MemoryPolicy, problems: list[Problem]) -> None:
    from oci_runtime.spec.validate_scheduling import parse_list

    at = "/linux/memoryPolicy"
    mode, nodes, flags = policy.get("mode"), policy.get("nodes", ""), policy.get("flags", [])
    if mode is None:
        problems.append(Problem(at, "needs a mode, such as MPOL_INTERLEAVE"))
        return
    if nodes and not parse_list(nodes):
        problems.append(Problem(at + "/nodes", "must be a list of memory nodes such as 0-3,7"))
    elif nodes and mode in ("MPOL_DEFAULT", "MPOL_LOCAL"):
        problems.append(Problem(at + "/nodes", f"must be empty with {mode}"))
    elif not nodes and mode not in ("MPOL_DEFAULT", "MPOL_LOCAL", "MPOL_PREFERRED"):
        problems.append(Problem(at, f"{mode} needs at least one node in nodes"))
    if "MPOL_F_STATIC_NODES" in flags and "MPOL_F_RELATIVE_NODES" in flags:
        problems.append(Problem(at + "/flags", "must not have both MPOL_F_STATIC_NODES and MPOL_F_RELATIVE_NODES"))
