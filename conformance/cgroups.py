"""The host's cgroup hierarchies: what a program left in them is removed."""

from __future__ import annotations

import os
import re
from pathlib import Path

# The programs name their containers by a random UUID, and so do runtimes the cgroups of those without a cgroupsPath.
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
# The cgroupsPath of the others: "/cgrouptest", and "testdir/cgrouptest" below wherever the runtime puts it.
_CONFIGURED = "cgrouptest"
_ABOVE = "testdir"


class Hierarchy:
    """A mounted hierarchy. `controllers` are those of cgroup v1, names of hierarchies included; empty for v2."""

    __slots__ = ("controllers", "path", "version")

    def __init__(self, path: str, version: int, controllers: tuple[str, ...]) -> None:
        self.path = path
        self.version = version
        self.controllers = controllers


def hierarchies(mountinfo: str) -> list[Hierarchy]:
    """Those that `mountinfo`, of proc_pid_mountinfo(5), names."""
    found = {}
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        path = before.split()[4].replace("\\040", " ")
        kind, _, options = after.split(maxsplit=2)
        if kind == "cgroup2":
            found[path] = Hierarchy(path, 2, ())
        elif kind == "cgroup":
            flags = {"rw", "ro", "xattr", "clone_children", "noprefix"}
            names = [option for option in options.split(",") if option not in flags]
            found[path] = Hierarchy(path, 1, tuple(names))
    return list(found.values())


def mounted() -> list[Hierarchy]:
    """The hierarchies of this process's mount namespace."""
    return hierarchies(Path("/proc/self/mountinfo").read_text("utf-8"))


def of_process(pid: int) -> set[str]:
    """The directories of a process's cgroups, but not the roots; none when it has ended."""
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text("utf-8").splitlines()
    except OSError:
        return set()
    found = set()
    for line in lines:
        _, controllers, path = line.split(":", 2)
        for hierarchy in mounted():
            same = set(controllers.split(",")) == set(hierarchy.controllers) if controllers else hierarchy.version == 2
            if same and path != "/":
                found.add(hierarchy.path + path)
    return found


def of_containers() -> set[str]:
    """The cgroups, of all hierarchies, that are named as the programs name their containers."""
    found = set()
    for hierarchy in mounted():
        for directory, names, _ in os.walk(hierarchy.path):
            name = os.path.basename(directory)
            if name == _CONFIGURED or _UUID.search(name):
                found.add(directory)
                names.clear()
    return found


def remove(directory: str) -> bool:
    """Removes a cgroup with those below it, and "testdir" above it. False when it is in use."""
    for each, _, _ in os.walk(directory, topdown=False):
        try:
            os.rmdir(each)
        except FileNotFoundError:
            pass
        except OSError:
            return False
    if os.path.basename(os.path.dirname(directory)) == _ABOVE:
        try:
            os.rmdir(os.path.dirname(directory))
        except OSError:
            pass
    return True
