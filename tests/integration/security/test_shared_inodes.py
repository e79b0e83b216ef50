"""What a container gets of the host without having asked for it, devices above all, is not its own to change.

Each defence was taken out of a copy of the tree to see the test fail; the docstrings say which.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from containers import CGROUP_ROOT, Bundle, Pyoci

DEVICES = {"null": 3, "zero": 5, "full": 7, "random": 8, "urandom": 9}
OWNER_OF_ALL = ("CAP_CHOWN", "CAP_FOWNER", "CAP_DAC_OVERRIDE", "CAP_SYS_ADMIN")
OLD = 1_000_000_000  # seconds since 1970
CGROUP_OPTIONS = {"nosuid", "nodev", "noexec"}
LOOK = "[ ! -e /sys/fs/cgroup/pids ] || cd /sys/fs/cgroup/pids; grep ' /sys/fs/cgroup' /proc/self/mountinfo"


def attack(path: str) -> str:
    """A shell script that changes what can be changed of a file."""
    return (
        f"set +e; for i in 1 2; do touch {path}; chown 1000:1000 {path}; chmod 000 {path}; "
        f"mount -o remount,bind,rw {path}; done 2>/dev/null"
    )


@pytest.fixture
def host_devices(directory: Path, pyoci: Pyoci) -> Callable[[], dict[str, tuple[int, int, int, int]]]:
    """Runs the runtime where /dev/null and others of the host are nodes that a test may lose; returns what tells their
    mode, owner and time of change: (mode, uid, gid, s)."""
    nodes = directory / "nodes"
    nodes.mkdir()
    binds = []
    for name, minor in DEVICES.items():
        os.mknod(nodes / name, 0o020666, os.makedev(1, minor))
        (nodes / name).chmod(0o666)
        os.utime(nodes / name, (OLD, OLD))
        binds.append(f"mount --bind {nodes}/{name} /dev/{name}")
    script = directory / "pyoci-with-devices"
    command = f'{"; ".join(binds)}; exec {pyoci.executable} "$@"'
    script.write_text(f"#!/bin/sh\nexec unshare -m --propagation slave sh -ec '{command}' sh \"$@\"\n")
    script.chmod(0o755)
    pyoci.executable = str(script)

    def look() -> dict[str, tuple[int, int, int, int]]:
        found = {name: (nodes / name).stat() for name in DEVICES}
        return {name: (st.st_mode, st.st_uid, st.st_gid, int(st.st_mtime)) for name, st in found.items()}

    return look


AS_MADE = dict.fromkeys(DEVICES, (8630, 0, 0, OLD))
Look = Callable[[], dict[str, tuple[int, int, int, int]]]


def test_a_masked_file_is_not_the_hosts_null_device(bundle: Bundle, pyoci: Pyoci, host_devices: Look) -> None:
    """chmod 000 /proc/keys was that of the host's /dev/null. The capability to mount again, writable, is of no use: the
    inode is the container's own.

    Fails with null_device() (mount.c) cloning the host's, and without attributes.
    """
    (bundle.rootfs / "secret").write_text("secret")
    bundle.linux["maskedPaths"] = ["/secret"]
    bundle.capabilities(*OWNER_OF_ALL).shell(f"{attack('/secret')}; stat -c '%F %t:%T' /secret; cat /secret")
    assert pyoci.run(bundle).out == "character special file 1:3\n"
    assert host_devices() == AS_MADE


def test_a_masked_file_without_devices_of_its_own(
    bundle: Bundle, pyoci: Pyoci, directory: Path, host_devices: Look
) -> None:
    """/dev is bound, so the container has no /dev/null but the host's, which is attached so that it cannot be changed.

    Fails with op_masked_path() (mount.c) attaching it without attributes.
    """
    (directory / "dev").mkdir()
    for name in ("/dev", "/dev/pts", "/dev/shm", "/dev/mqueue"):
        bundle.unmount(name)
    bundle.mount("/dev", "bind", str(directory / "dev"), ["rbind"])
    (bundle.rootfs / "secret").write_text("secret")
    bundle.linux["maskedPaths"] = ["/secret"]
    bundle.capabilities("CAP_CHOWN", "CAP_FOWNER")
    pyoci.run(bundle.shell(f"{attack('/secret')}; set -e; echo x > /secret; cat /secret"))
    assert host_devices() == AS_MADE
    done = pyoci.run(bundle.shell("grep ' /secret ' /proc/self/mountinfo"))
    assert {"ro", "nosuid", "noexec"} <= set(done.out.split()[5].split(","))


def test_devices_of_a_user_namespace(bundle: Bundle, pyoci: Pyoci, host_devices: Look) -> None:
    """touch(1) needs no more than the right to write, and who has mounts of his own may make them writable again; so
    they are nodes of the container's own. They work all the same.

    Fails with DeviceNodes (plan/operations.py) never opened, and the host's bound.
    """
    bundle.user_namespace().capabilities(*OWNER_OF_ALL)
    paths = [f"/dev/{name}" for name in DEVICES]
    pyoci.run(bundle.shell("; ".join(map(attack, paths)) + "; true"))
    assert host_devices() == AS_MADE
    bundle.capabilities()
    bundle.shell("echo x > /dev/null; head -c 5 /dev/zero | wc -c; head -c 5 /dev/urandom | wc -c; echo > /dev/full")
    done = pyoci.run(bundle, check=False)
    assert done.out.split() == ["5", "5"]
    assert "No space left" in done.err


def test_masked_in_a_user_namespace(bundle: Bundle, pyoci: Pyoci, host_devices: Look) -> None:
    """Fails like the test before."""
    (bundle.rootfs / "secret").write_text("secret")
    bundle.user_namespace().capabilities(*OWNER_OF_ALL)
    bundle.linux["maskedPaths"] = ["/secret"]
    pyoci.run(bundle.shell(f"{attack('/secret')}; true"))
    assert host_devices() == AS_MADE


def test_console_is_attached_without_privileges(bundle: Bundle, pyoci: Pyoci) -> None:
    """Fails with bind_console() (device.c) attaching the terminal as it is, for a devpts without options."""
    bundle.unmount("/dev/pts")
    bundle.mount("/dev/pts", "devpts", "devpts", ["newinstance", "ptmxmode=0666", "mode=0620"])
    bundle.process["terminal"] = True
    bundle.shell("grep ' /dev/console ' /proc/self/mountinfo; chmod 600 /dev/console && echo writable")
    done = pyoci.run(bundle)
    line, writable = done.out.splitlines()
    assert {"rw", "nosuid", "noexec"} <= set(line.split()[5].split(","))
    assert writable == "writable"


@pytest.mark.parametrize("version", ["host's", "v2"])
@pytest.mark.parametrize("user", [True, False], ids=["user namespace", "root"])
def test_cgroups_are_attached_without_privileges(
    bundle: Bundle, pyoci: Pyoci, version: str, user: bool, request: pytest.FixtureRequest
) -> None:
    """Fails without the attributes that plan_cgroup_mount() (plan/cgroup_mounts.py) adds."""
    runtime = request.getfixturevalue("pyoci_v2") if version == "v2" else pyoci
    if user:
        bundle.user_namespace()
    bundle.mount("/sys/fs/cgroup", "cgroup", "cgroup")
    lines = runtime.run(bundle.shell(LOOK)).out.splitlines()
    assert lines
    for line in lines:
        assert set(line.split()[5].split(",")) >= CGROUP_OPTIONS, line


def test_cgroups_have_what_they_are_given(bundle: Bundle, pyoci: Pyoci) -> None:
    """An option that says otherwise is obeyed."""
    bundle.mount("/sys/fs/cgroup", "cgroup", "cgroup", ["exec", "nosuid"])
    line = pyoci.run(bundle.shell("grep -m 1 ' /sys/fs/cgroup ' /proc/self/mountinfo")).out
    assert "noexec" not in line.split()[5].split(",")
    assert CGROUP_ROOT.is_dir()
