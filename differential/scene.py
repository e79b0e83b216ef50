"""The host that a worker gives to a runtime: a bundle, sources of mounts, namespaces; made anew for each."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from conformance import kernel
from differential.errors import CannotCompare
from differential.places import BUNDLE, KEPT, OUT, PROBE, ROOTFS, SOURCES, STATE, WORK

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_BIND = 4096
MNT_DETACH = 2
DIRECTORIES = ("bin", "dev", "etc", "home/alice", "mnt", "proc", "root", "run", "sys", "tmp", "usr/share", "var/lib")
#: Namespaces in KEPT, for configurations that join one.
JOINED = ("net", "ipc", "uts", "cgroup")


def private_machine(view: str) -> None:
    """A mount namespace of this process's own, shared as systemd has it; the v2 view has a cgroup2 and nothing else."""
    kernel.new_mount_namespace()
    kernel.mount("", "/", flags=kernel.MS_REC | kernel.MS_PRIVATE)
    kernel.mount("proc", "/proc", "proc")
    for place in (WORK, KEPT):
        place.mkdir(exist_ok=True)
    kernel.mount("kept", str(KEPT), "tmpfs", data="mode=755")
    if view == "v2":
        subprocess.run(["umount", "-R", "-l", "/sys/fs/cgroup"], check=True)
        kernel.mount("cgroup", "/sys/fs/cgroup", "cgroup2")
    kernel.mount("", "/", flags=kernel.MS_REC | kernel.MS_SHARED)
    for name in JOINED:
        (KEPT / name).touch()
        # A mount of the namespace cannot be shared with the one that unshare(1) is in.
        kernel.mount(str(KEPT), str(KEPT), flags=kernel.MS_PRIVATE)
        subprocess.run(["unshare", f"--{name}={KEPT / name}", "true"], check=True, capture_output=True)


def set_up(probe: Path, busybox: Path, config: dict[str, Any]) -> None:
    """WORK with all that is in it."""
    kernel.mount("work", str(WORK), "tmpfs", data="mode=755")
    shutil.copy(probe, PROBE)
    OUT.mkdir()
    OUT.chmod(0o1777)
    STATE.mkdir(mode=0o700)
    _make_rootfs(busybox)
    _make_sources()
    (ROOTFS / "probe.paths").write_text("".join(f"{line}\n" for line in watched(config)), "utf-8", "surrogatepass")
    (BUNDLE / "config.json").write_text(json.dumps(config), "utf-8")
    _own(config)


def tear_down() -> None:
    """Takes WORK away, with the mounts below it."""
    for point in reversed(mount_points()):
        if point == str(WORK) or point.startswith(f"{WORK}/"):
            subprocess.run(["umount", "-l", point], capture_output=True)
    if os.path.ismount(WORK):
        raise CannotCompare(f"{WORK} stays mounted")


def mount_points() -> list[str]:
    """Of this process's mount namespace, in order."""
    lines = Path("/proc/self/mountinfo").read_text("utf-8", "replace").splitlines()
    return [line.split()[4] for line in lines]


def _make_rootfs(busybox: Path) -> None:
    for name in DIRECTORIES:
        (ROOTFS / name).mkdir(parents=True)
    (ROOTFS / "tmp").chmod(0o1777)
    (ROOTFS / "root").chmod(0o700)
    shutil.copy(PROBE, ROOTFS / "probe")
    shutil.copy(busybox, ROOTFS / "bin/busybox")
    for applet in ("sh", "cat", "sleep", "true"):
        (ROOTFS / "bin" / applet).symlink_to("busybox")
    (ROOTFS / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n")
    (ROOTFS / "etc/group").write_text("root:x:0:\nalice:x:1000:\nstaff:x:50:alice\n")
    os.chown(ROOTFS / "home/alice", 1000, 1000)
    (ROOTFS / "usr/share/file").write_text("file of the image\n")
    (ROOTFS / "var/lib/link").symlink_to("/usr/share")
    (ROOTFS / "relative").symlink_to("mnt")
    (ROOTFS / "dangling").symlink_to("/nowhere/at/all")
    (ROOTFS / "script").write_text("#!/bin/no-such-interpreter\n")
    (ROOTFS / "script").chmod(0o755)
    (ROOTFS / "words").write_text("not a program\n")


def _make_sources() -> None:
    """What configurations bind: a directory with a mount in it, files, mounts with attributes, a link."""
    SOURCES.mkdir()
    # Not the mount that the root filesystem is on: runc changes the propagation of that one.
    kernel.mount("sources", str(SOURCES), "tmpfs", data="mode=755")
    (SOURCES / "directory/inner").mkdir(parents=True)
    (SOURCES / "directory/file").write_text("file of a volume\n")
    (SOURCES / "file").write_text("a file\n")
    (SOURCES / "link").symlink_to("directory")
    os.mkfifo(SOURCES / "fifo")
    kernel.mount("inner", f"{SOURCES}/directory/inner", "tmpfs", data="mode=755,size=1m")
    for name, flags in (("noexec", MS_NOEXEC), ("plain", 0), ("locked", MS_NOSUID | MS_NODEV | MS_NOEXEC)):
        (SOURCES / name).mkdir()
        kernel.mount(name, f"{SOURCES}/{name}", "tmpfs", flags=flags, data="mode=755,size=1m")
        (SOURCES / name / "file").write_text(f"file of {name}\n")
    (SOURCES / "readonly").mkdir()
    kernel.mount("readonly", f"{SOURCES}/readonly", "tmpfs", flags=MS_RDONLY, data="mode=755,size=1m")
    (SOURCES / "private").mkdir()
    kernel.mount("private", f"{SOURCES}/private", "tmpfs", data="mode=755,size=1m")
    kernel.mount("", f"{SOURCES}/private", flags=kernel.MS_PRIVATE)


def _own(config: dict[str, Any]) -> None:
    """Gives the root filesystem to root of the new user namespace, as an engine does."""
    linux = config.get("linux")
    mappings = linux.get("uidMappings") if isinstance(linux, dict) else None
    if not isinstance(mappings, list) or not mappings or not isinstance(mappings[0], dict):
        return
    owner = mappings[0].get("hostID")
    if not isinstance(owner, int) or not 0 < owner < 1 << 31:
        return
    for base, directories, files in os.walk(ROOTFS):
        for name in (".", *directories, *files):
            os.chown(os.path.join(base, name), owner, owner, follow_symlinks=False)


def watched(config: dict[str, Any]) -> list[str]:
    """The lines of /probe.paths: what the configuration names."""
    found: list[str] = []
    linux = config.get("linux") if isinstance(config.get("linux"), dict) else {}
    assert isinstance(linux, dict)
    for name in ("maskedPaths", "readonlyPaths"):
        found += [f"? {path}" for path in _list(linux.get(name))]
    for entries, name in ((config.get("mounts"), "destination"), (linux.get("devices"), "path")):
        found += [f"? {entry.get(name)}" for entry in _list(entries) if isinstance(entry, dict)]
    sysctls = linux.get("sysctl")
    for name in sysctls if isinstance(sysctls, dict) else {}:
        found.append(f"= /proc/sys/{name.replace('.', '/')}")
    return [line for line in dict.fromkeys(found) if "\n" not in line and len(line) > 2]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
