"""What the host sees of a container: its cgroups and their values, its namespaces, what is left of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from conformance import cgroups
from differential.places import STATE
from differential.scene import mount_points

#: What changes by itself, or cannot be read without a change.
_VOLATILE = ("stat", "usage", "failcnt", "pressure", "current", "events", "peak", "max_usage", "local")
_MORE = ("devices.list", "cpuset.cpus.effective", "cpuset.mems.effective", "cgroup.type", "cgroup.controllers")
_SKIPPED = {"cgroup.procs", "tasks", "cgroup.threads", "cgroup.event_control", "cgroup.kill", "memory.reclaim"}
#: What is in a state root for all containers.
_OF_THE_RUNTIME = {"~seccomp", ".empty-directory", ".cache"}
HOST_FILES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/proc/sys", "/sys")


def namespaces(pid: int | str) -> dict[str, str]:
    """The links of /proc/PID/ns."""
    found = {}
    for name in ("cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"):
        try:
            found[name] = os.readlink(f"/proc/{pid}/ns/{name}")
        except OSError as error:
            found[name] = str(-(error.errno or 0))
    return found


def read(path: str | Path) -> str | int:
    """A file's text, or minus the errno."""
    try:
        return Path(path).read_bytes().decode("latin-1")
    except OSError as error:
        return -(error.errno or 0)


def process(pid: int, name: str) -> dict[str, Any]:
    """A process of the container `name`, as the host sees it."""
    if not os.path.exists(f"/proc/{pid}"):
        return {"alive": False}
    files = ("status", "mountinfo", "cgroup", "oom_score_adj", "uid_map", "gid_map")
    return {
        "alive": True,
        "namespaces": namespaces(pid),
        "proc": {name: read(f"/proc/{pid}/{name}") for name in files},
        "cgroups": cgroup_files(pid, name),
    }


def cgroup_files(pid: int, ours: str) -> dict[str, Any]:
    """The settings in the cgroups of a process, but for those of the roots, by hierarchy and file."""
    found: dict[str, Any] = {}
    for directory in sorted(cgroups.of_process(pid)):
        if ours not in directory or not os.path.isdir(directory):
            continue
        for name in sorted(os.listdir(directory)):
            path = os.path.join(directory, name)
            if name in _SKIPPED or not os.path.isfile(path):
                continue
            writable = os.stat(path).st_mode & 0o222 and not any(word in name for word in _VOLATILE)
            if writable or name in _MORE:
                found[path] = read(path)
    return found


def cgroups_of(ours: str) -> list[str]:
    """Directories of cgroups whose path has the container's name."""
    found = []
    for hierarchy in cgroups.mounted():
        for directory, names, _ in os.walk(hierarchy.path):
            if ours in directory.removeprefix(hierarchy.path):
                found.append(directory)
            elif directory != hierarchy.path:
                names.clear()
    return sorted(set(found))


def thaw(name: str) -> None:
    """So that who is in a cgroup of ours can be killed."""
    for directory in cgroups_of(name):
        for file, value in (("freezer.state", "THAWED"), ("cgroup.freeze", "0")):
            try:
                Path(directory, file).write_text(value)
            except OSError:
                pass


def remove_cgroups(name: str) -> None:
    """Removes them all; their processes have been killed."""
    for directory in sorted(cgroups_of(name), key=len, reverse=True):
        try:
            os.rmdir(directory)
        except OSError:
            pass


def host(name: str, before: list[str]) -> dict[str, Any]:
    """What there is of containers, or different on the host, when none should be left."""
    mounts = mount_points()
    for point in before:
        if point in mounts:
            mounts.remove(point)
    attributes = {}
    for path in HOST_FILES:
        info = os.stat(path)
        attributes[path] = [info.st_mode, info.st_uid, info.st_gid]
    return {
        "cgroups": cgroups_of(name),
        "mounts": mounts,
        "state": sorted(set(os.listdir(STATE)) - _OF_THE_RUNTIME) if STATE.exists() else [],
        "files": attributes,
    }


def tree(root: Path) -> dict[str, Any]:
    """Path, type and mode, owner and device of all that is in a root filesystem on the host."""
    found = {}
    device = os.lstat(root).st_dev
    for base, directories, files in os.walk(root):
        for name in (*directories, *files):
            info = os.lstat(os.path.join(base, name))
            path = "/" + os.path.relpath(os.path.join(base, name), root)
            found[path] = [info.st_mode, info.st_uid, info.st_gid, info.st_rdev]
        # Without a mount namespace the container's mounts are here.
        directories[:] = [name for name in directories if os.lstat(os.path.join(base, name)).st_dev == device]
    return found
