"""The bundles that are run: a busybox root filesystem under two configurations of tests/bundles."""

from __future__ import annotations

import json
import os
import resource
import shutil
from pathlib import Path
from typing import Any

CONFIGURATIONS = Path(__file__).resolve().parent.parent / "tests" / "bundles"
NAMES = ("minimal", "engine")
APPLETS = ("sh", "true", "sleep", "cat", "echo")


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
    return Bundle(name, folder, config, cgroup if "cgroupsPath" in config["linux"] else "")


def make_rootfs(rootfs: Path) -> None:
    """A root filesystem of busybox; raises FileNotFoundError if the machine has none."""
    busybox = shutil.which("busybox")
    if busybox is None:
        raise FileNotFoundError("no busybox in PATH: install busybox-static")
    for directory in ("bin", "dev", "etc", "proc", "run", "sys", "tmp"):
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


def remove_cgroups(name: str) -> None:
    """Removes the cgroup `name`, emptied of containers, from every hierarchy; raises OSError if one is in use."""
    for mount in cgroup_mounts():
        top = mount / name.strip("/")
        for folder, _, _ in sorted(os.walk(top), reverse=True):
            os.rmdir(folder)


def cgroup_mounts() -> list[Path]:
    """Where the cgroup hierarchies of the machine are mounted."""
    fields = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return [Path(field[4]) for field in fields if field[field.index("-") + 1] in ("cgroup", "cgroup2")]
