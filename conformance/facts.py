"""What of a machine decides whether a validation program can pass."""

from __future__ import annotations

import os
from pathlib import Path

from conformance import cgroups


def machine() -> list[str]:
    """The facts of this machine, sorted.

    "cgroup-v1:NAME"  a mounted v1 controller
    "cgroup-v2"       the v2 tree is the host's only one
    "blkio.leaf_weight"  the kernel has that file, as it had with the CFQ scheduler
    "all-capabilities"   this process has all that the kernel knows
    "apparmor", "selinux"  the security module is active
    """
    found = set()
    hierarchies = cgroups.mounted()
    for hierarchy in hierarchies:
        found |= {f"cgroup-v1:{name}" for name in hierarchy.controllers if "=" not in name}
        if "blkio" in hierarchy.controllers and os.path.exists(f"{hierarchy.path}/blkio.leaf_weight"):
            found.add("blkio.leaf_weight")
    if hierarchies and all(hierarchy.version == 2 for hierarchy in hierarchies):
        found.add("cgroup-v2")
    if has_all_capabilities():
        found.add("all-capabilities")
    if has_apparmor():
        found.add("apparmor")
    if os.path.exists("/sys/fs/selinux/enforce"):
        found.add("selinux")
    return sorted(found)


def has_apparmor() -> bool:
    """Whether AppArmor is active."""
    try:
        return Path("/sys/module/apparmor/parameters/enabled").read_text("utf-8").strip() == "Y"
    except OSError:
        return False


def has_all_capabilities() -> bool:
    """Whether this process has every capability in its effective and bounding sets: capabilities(7)."""
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text("utf-8"))
    sets = {}
    for line in Path("/proc/self/status").read_text("utf-8").splitlines():
        name, _, value = line.partition(":")
        if name in ("CapEff", "CapBnd"):
            sets[name] = int(value, 16)
    everything = (1 << (last + 1)) - 1
    return all(value == everything for value in sets.values())
