"""What is odd about this machine, said before the first test: each would make many tests fail without telling why.

    look(Host()) -> [Oddity("...", fatal=False), ...]

An oddity that is fatal leaves no container to test: conftest.py ends the session, if tests with containers are in it.
"""

from __future__ import annotations

import errno
import os
import re
import resource
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

CONTROLLERS = ("cpu", "cpuset", "devices", "freezer", "io", "memory", "pids")
#: What version 2 does without a controller of that name, and what version 1 calls otherwise.
V2_HAS = {"devices", "freezer"}
V1_NAMES = {"io": "blkio"}
NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts")
ENOUGH_NAMESPACES, ENOUGH_PIDS, ENOUGH_MOUNTS, ENOUGH_DESCRIPTORS = 1000, 8192, 10000, 256
ENOUGH_BYTES, ENOUGH_INODES = 200 << 20, 5000
OLDEST_KERNEL = (5, 12)
CAP_SYS_ADMIN, CAP_MKNOD = 21, 27
#: The folders of other suites, and the cgroups: containers.py, engines/engine.py, bench/places.py, faults.
FOLDERS = ("run/pyoci-test-*", "run/pyoci-faults-*", "tmp/pyoci-*", "var/tmp/pyoci-bench-*")
CGROUP = re.compile(r"test[0-9a-f]{10}-|pyoci_|pyoci-bench-|faults-")
SETTINGS = (  # where, what is usual, what another value does
    (
        "vm/memfd_noexec",
        "0",
        "a memfd that can be executed is refused, or sealed against it: init comes by its second way",
    ),
    ("kernel/unprivileged_userns_clone", "1", "ordinary users cannot make user namespaces: rootless tests fail"),
    ("kernel/apparmor_restrict_unprivileged_userns", "0", "AppArmor takes the privileges of a user's user namespace"),
    ("kernel/modules_disabled", "0", "what is a module and not loaded cannot be tested"),
)


class Oddity(NamedTuple):
    """One line, and whether no container can be made at all."""

    text: str
    fatal: bool = False


class Host:
    """What look() asks; tests put stand-ins in its place. `root` is that of the files."""

    __slots__ = ("root", "uid")

    def __init__(self, root: Path = Path("/"), uid: int | None = None) -> None:
        self.root = root
        self.uid = os.geteuid() if uid is None else uid

    def read(self, path: str) -> str:
        """A file's text, "" if it cannot be read."""
        try:
            return (self.root / path).read_text(errors="replace").strip()
        except OSError:
            return ""

    def mounts(self) -> list[tuple[str, str, str]]:
        """Mount point, filesystem type and options of each mount."""
        found = []
        for line in self.read("proc/self/mountinfo").splitlines():
            fields = line.split()
            found.append((fields[4], fields[fields.index("-") + 1], fields[5]))
        return found

    def kernel(self) -> str:
        """Its release."""
        return os.uname().release

    def device_filters(self, cgroup: Path) -> list[int]:
        """Ids of the programs that filter devices for the v2 cgroup and all below it."""
        from oci_runtime.linux.cgroups.bpf import attached

        directory = os.open(cgroup, os.O_RDONLY)
        try:
            return attached(directory)
        except OSError:
            return []  # who may not ask may not attach one either
        finally:
            os.close(directory)

    def may_make_devices(self) -> bool:
        """Whether a device that is in nobody's list of allowed ones can be made."""
        with tempfile.TemporaryDirectory() as folder:
            try:
                os.mknod(f"{folder}/device", stat.S_IFBLK | 0o600, os.makedev(241, 7))
            except OSError as error:
                return error.errno != errno.EPERM
        return True

    def descriptors(self) -> int:
        """How many this process may have open."""
        return resource.getrlimit(resource.RLIMIT_NOFILE)[0]

    def space(self, folder: str) -> tuple[int, int]:
        """Bytes and inodes that are free; a filesystem without a limit of inodes has plenty."""
        found = os.statvfs(self.root / folder)
        return found.f_bavail * found.f_frsize, found.f_favail if found.f_files else ENOUGH_INODES


def look(host: Host) -> list[Oddity]:
    """All that is odd."""
    found = [*_kernel(host), *_settings(host), *_privileges(host), *_cgroups(host), *_device_filter(host)]
    return [*found, *_places(host), *_loop_devices(host), *_left_overs(host)]


def _kernel(host: Host) -> Iterator[Oddity]:
    version = re.match(r"(\d+)\.(\d+)", host.kernel())
    if version and (int(version[1]), int(version[2])) < OLDEST_KERNEL:
        yield Oddity(f"kernel {host.kernel()} is older than 5.12, and pyoci refuses it", fatal=True)


def _settings(host: Host) -> Iterator[Oddity]:
    for path, usual, effect in SETTINGS:
        value = host.read(f"proc/sys/{path}")
        if value and value != usual:
            yield Oddity(f"{path.replace('/', '.')} is {value}: {effect}")
    for kind in NAMESPACES:
        yield from _at_least(host, f"user/max_{kind}_namespaces", ENOUGH_NAMESPACES)
    yield from _at_least(host, "kernel/pid_max", ENOUGH_PIDS)
    yield from _at_least(host, "fs/mount-max", ENOUGH_MOUNTS)
    if host.descriptors() < ENOUGH_DESCRIPTORS:
        yield Oddity(f"only {host.descriptors()} descriptors may be open (ulimit -n)")


def _at_least(host: Host, path: str, enough: int) -> Iterator[Oddity]:
    value = host.read(f"proc/sys/{path}")
    if value.isdigit() and int(value) < enough:
        yield Oddity(f"{path.replace('/', '.')} is {value}: tests make more, they need {enough}")


def _privileges(host: Host) -> Iterator[Oddity]:
    if host.uid:
        yield Oddity(f"user {host.uid} is not root: tests of root's containers are skipped")
        return
    effective = re.search(r"^CapEff:\s*([0-9a-f]+)", host.read("proc/self/status"), re.MULTILINE)
    for number, name in ((CAP_SYS_ADMIN, "CAP_SYS_ADMIN"), (CAP_MKNOD, "CAP_MKNOD")):
        if effective and not int(effective[1], 16) >> number & 1:
            yield Oddity(f"root has no {name}: containers cannot be made as the tests want them", fatal=True)


def _cgroups(host: Host) -> Iterator[Oddity]:
    points = {point: kind for point, kind, _ in host.mounts()}
    mounted = {point for point, kind in points.items() if kind in ("cgroup", "cgroup2")}
    if not mounted:
        yield Oddity("no cgroup hierarchy is mounted: pyoci needs /sys/fs/cgroup", fatal=True)
        return
    missing = set(CONTROLLERS)
    for point in mounted:
        if points[point] == "cgroup2":
            missing -= {*host.read(f"{point.strip('/')}/cgroup.controllers").split(), *V2_HAS}
        else:
            has = set(re.split("[,/]", point))
            missing -= {name for name in CONTROLLERS if V1_NAMES.get(name, name) in has}
    if missing:
        yield Oddity(f"no cgroup has the controller {', '.join(sorted(missing))}: tests of it fail or are skipped")
    if points.get("/sys/fs/cgroup") == "tmpfs":
        yield from _plain_directories(host, mounted)


def _plain_directories(host: Host, mounted: set[str]) -> Iterator[Oddity]:
    entries = sorted((host.root / "sys/fs/cgroup").iterdir())
    plain = [
        entry.name
        for entry in entries
        if entry.is_dir() and not entry.is_symlink() and f"/sys/fs/cgroup/{entry.name}" not in mounted
    ]
    if plain:
        yield Oddity(
            f"/sys/fs/cgroup has directories that are no hierarchies: {', '.join(plain)}; "
            "engines take them for controllers and fail: remove them"
        )


def _device_filter(host: Host) -> Iterator[Oddity]:
    if host.uid:
        return
    for point, kind, _ in host.mounts():
        filters = host.device_filters(host.root / point.strip("/")) if kind == "cgroup2" else []
        if filters:
            refused = not host.may_make_devices()
            effect = "it refuses devices, so that tests of devices, mounts and engines fail: " if refused else ""
            yield Oddity(
                f"the cgroup {point} itself has a device filter (bpf program {', '.join(map(str, filters))}), which "
                f"counts for all below it: {effect}did a runtime leave it? `bpftool cgroup detach` removes it",
                fatal=refused,
            )


def _places(host: Host) -> Iterator[Oddity]:
    for folder in ("tmp", "run"):
        options = {point: options for point, _, options in host.mounts()}.get(f"/{folder}", "").split(",")
        if wrong := [each for each in ("ro", "noexec") if each in options]:
            yield Oddity(
                f"/{folder} is mounted {', '.join(wrong)}: tests keep bundles and state there", fatal="ro" in wrong
            )
        free, inodes = host.space(folder)
        if free < ENOUGH_BYTES or inodes < ENOUGH_INODES:
            yield Oddity(f"/{folder} has only {free >> 20} MiB and {inodes} inodes free")


def _loop_devices(host: Host) -> Iterator[Oddity]:
    if not (host.root / "dev/loop-control").exists():
        yield Oddity("no /dev/loop-control: tests that mount an image fail")
    busy = [path.parts[-3] for path in host.root.glob("sys/block/loop*/loop/backing_file")]
    if busy:
        yield Oddity(f"loop devices are in use: {', '.join(sorted(busy))}")


def _left_overs(host: Host) -> Iterator[Oddity]:
    """Of earlier runs, or of one that is at work now."""
    folders = [f"/{path.relative_to(host.root)}" for pattern in FOLDERS for path in sorted(host.root.glob(pattern))]
    points = [point for point, _, _ in host.mounts() if any(point.startswith(f"{folder}/") for folder in folders)]
    cgroups = {
        entry.name
        for point, kind, _ in host.mounts()
        if kind in ("cgroup", "cgroup2")
        for entry in (host.root / point.strip("/")).glob("*/")
        if CGROUP.match(entry.name)
    }
    processes = [
        path.parent.name
        for path in host.root.glob("proc/[0-9]*/cmdline")
        if any(f"{folder}/" in host.read(str(path.relative_to(host.root))) for folder in folders)
    ]
    for what, names in (("folders", folders), ("mounts", points), ("cgroups", cgroups), ("processes", processes)):
        if names:
            shown = sorted(names)[:5]
            more = f" and {len(names) - len(shown)} more" if len(names) > len(shown) else ""
            yield Oddity(f"{what} of another run, unless it is still at work: {', '.join(shown)}{more}")
