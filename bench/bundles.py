"""The bundles that are run: a busybox root filesystem under two configurations of tests/bundles."""

from __future__ import annotations

import json
import os
import resource
import shutil
import time
from pathlib import Path
from typing import Any

CONFIGURATIONS = Path(__file__).resolve().parent.parent / "tests" / "bundles"
NAMES = ("minimal", "engine")
APPLETS = ("sh", "true", "sleep", "cat", "echo")
#: Sections of linux.resources that are limits of the cgroup v2 controller of their name.
CONTROLLERS = {"cpu": "cpu", "memory": "memory", "pids": "pids"}


class Bundle:
    """A bundle on disk; `cgroup` is the parent of its containers' cgroups, or "" if the runtime may choose."""

    __slots__ = ("cgroup", "config", "name", "path")

    def __init__(self, name: str, path: Path, config: dict[str, Any], cgroup: str) -> None:
        self.name = name
        self.path = path
        self.config = config
        self.cgroup = cgroup

    def configure(self, container: str, arguments: list[str]) -> None:
        """Writes config.json for the container named `container`, which runs `arguments`."""
        self.config["process"]["args"] = arguments
        if self.cgroup:
            self.config["linux"]["cgroupsPath"] = f"{self.cgroup}/{container}"
        (self.path / "config.json").write_text(json.dumps(self.config))


def make_bundle(name: str, folder: Path, cgroup: str) -> Bundle:
    """Makes the bundle `name` of NAMES in `folder`, which need not exist."""
    config = json.loads((CONFIGURATIONS / f"{name}.json").read_text())
    make_rootfs(folder / "rootfs")
    config["root"]["path"] = "rootfs"
    for mount in config["mounts"]:
        if mount["type"] == "bind":
            mount["source"] = str(make_source(folder, mount["destination"]))
    for limit in config["process"].get("rlimits", []):
        lower_limit(limit)
    return Bundle(name, folder, config, cgroup)


def make_rootfs(rootfs: Path) -> None:
    """A root filesystem of busybox; raises FileNotFoundError if the machine has none."""
    busybox = shutil.which("busybox")
    if busybox is None:
        raise FileNotFoundError("no busybox in PATH: install busybox-static")
    for directory in ("bin", "dev", "etc", "mnt", "proc", "run", "sys", "tmp"):
        (rootfs / directory).mkdir(parents=True)
    shutil.copy(busybox, rootfs / "bin" / "busybox")
    for applet in APPLETS:
        (rootfs / "bin" / applet).symlink_to("busybox")


def make_source(folder: Path, destination: str) -> Path:
    """What an engine would bind to `destination`: a directory for /dev/shm, else a file with a line in it."""
    source = folder / "userdata" / destination.strip("/").replace("/", "-")
    source.parent.mkdir(exist_ok=True)
    if destination == "/dev/shm":
        source.mkdir(mode=0o1777)
    else:
        source.write_text("benchmark\n")
    return source


def lower_limit(limit: dict[str, Any]) -> None:
    """Brings a limit of the configuration down to what this process may set, which need not hold CAP_SYS_RESOURCE."""
    _, ceiling = resource.getrlimit(getattr(resource, limit["type"]))
    if ceiling != resource.RLIM_INFINITY:
        limit["hard"] = min(limit["hard"], ceiling)
        limit["soft"] = min(limit["soft"], limit["hard"])


def fit_controllers(config: dict[str, Any]) -> list[str]:
    """Takes out the limits whose cgroup v2 controller this machine lacks, which every runtime refuses; returns the
    names of the sections of linux.resources that went."""
    try:
        present = Path("/sys/fs/cgroup/cgroup.controllers").read_text().split()
    except FileNotFoundError:  # v1 or hybrid
        return []
    resources = config["linux"]["resources"]
    gone = [section for section, name in CONTROLLERS.items() if section in resources and name not in present]
    for section in gone:
        del resources[section]
    return gone


def remove_cgroups(name: str, patience: float = 0.0) -> None:
    """Removes the cgroup `name`, and those below it, from every hierarchy; raises OSError if one is still in use after
    `patience` seconds."""
    deadline = time.monotonic() + patience
    for mount in cgroup_mounts():
        for folder, _, _ in sorted(os.walk(mount / name.strip("/")), reverse=True):
            remove_cgroup(folder, deadline)


def remove_cgroup(folder: str, deadline: float) -> None:
    while True:
        try:
            os.rmdir(folder)
        except FileNotFoundError:  # another benchmark sweeps, too
            return
        except OSError:  # its processes are on their way out
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.01)
        else:
            return


def cgroup_mounts() -> list[Path]:
    """Where the cgroup hierarchies of the machine are mounted."""
    fields = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return [Path(field[4]) for field in fields if field[field.index("-") + 1] in ("cgroup", "cgroup2")]
