"""What a container mounts is not to be seen on the host, where mounts are shared as systemd has them.

Each defence was taken out to see the test fail; the docstrings say which.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from containers import CGROUP_ROOT, Bundle, Pyoci

DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
ALL = ("CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE")


@pytest.fixture
def shared(directory: Path, pyoci: Pyoci) -> Path:
    """Runs the runtime on a host whose mounts are shared; the file that is returned tells its mounts afterwards."""
    mounts = directory / "mounts"
    script = directory / "pyoci-shared"
    command = f'mount --make-rshared /; {pyoci.executable} "$@"; code=$?; cp /proc/self/mountinfo {mounts}; exit $code'
    script.write_text(f"#!/bin/sh\nexec unshare -m --propagation private sh -c '{command}' sh \"$@\"\n")
    script.chmod(0o755)
    pyoci.executable = str(script)
    return mounts


def over(*paths: str) -> str:
    """A shell script that mounts a directory's file over each, and says which mounts of them are not private."""
    mounts = "; ".join(f"mount --bind /bin/busybox {path} && echo covered" for path in paths)
    return f"grep -E ' (shared|master):' /proc/self/mountinfo | grep -E ' ({'|'.join(paths)}) ' && echo seen; {mounts}"


def test_a_mount_over_a_device_of_a_user_namespace(bundle: Bundle, pyoci: Pyoci, shared: Path) -> None:
    """Root of a user namespace mounted a file of its own over the host's /dev/null.

    Fails without MS_PRIVATE in attach_unasked() (mount.c).
    """
    bundle.user_namespace().capabilities(*ALL)
    bundle.linux["devices"] = [{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229}]
    paths = [f"/dev/{name}" for name in (*DEVICES, "fuse")]
    done = pyoci.run(bundle.shell(f"set +e; {over(*paths)}; true"))
    assert done.out.split() == ["covered"] * len(paths)
    assert not [line for line in shared.read_text().splitlines() if "/bin/busybox" in line]


@pytest.mark.parametrize("user", [True, False], ids=["user namespace", "root"])
def test_a_mount_over_a_masked_path(bundle: Bundle, pyoci: Pyoci, shared: Path, directory: Path, user: bool) -> None:
    """It is masked with the host's /dev/null where /dev is bound. Fails like the test before."""
    (directory / "dev").mkdir()
    for name in ("/dev", "/dev/pts", "/dev/shm", "/dev/mqueue"):
        bundle.unmount(name)
    bundle.mount("/dev", "bind", str(directory / "dev"), ["rbind"])
    (bundle.rootfs / "secret").write_text("secret")
    if user:
        bundle.user_namespace()
    bundle.capabilities(*ALL)
    bundle.linux["maskedPaths"] = ["/secret"]
    done = pyoci.run(bundle.shell(f"set +e; {over('/secret')}; true"))
    assert done.out.split() == ["covered"]
    assert not [line for line in shared.read_text().splitlines() if "/bin/busybox" in line]


@pytest.mark.skipif(not any(path.is_mount() for path in CGROUP_ROOT.iterdir()), reason="needs a v1 hierarchy")
def test_bound_cgroups_of_a_shared_root(bundle: Bundle, pyoci: Pyoci, shared: Path) -> None:
    """rootfsPropagation is for what the configuration mounts.

    Fails without the propagation of _plan_v1() (plan/cgroup_mounts.py).
    """
    bundle.linux["rootfsPropagation"] = "shared"
    bundle.mount("/sys/fs/cgroup", "cgroup", "cgroup", ["ro"])
    lines = pyoci.run(bundle.args("grep", " /sys/fs/cgroup/", "/proc/self/mountinfo")).out.splitlines()
    hosts = {field for line in shared.read_text().splitlines() for field in line.split() if field.startswith("shared:")}
    assert hosts
    assert lines
    for line in lines:
        assert not hosts & set(line.split()), line


def test_notification_socket_of_a_shared_root(bundle: Bundle, pyoci: Pyoci, shared: Path, directory: Path) -> None:
    """Nor is the directory of the socket that systemd is told by, which the configuration does not speak of.

    Fails without "slave" in pass_on() (lifecycle/systemd.py).
    """
    bundle.linux["rootfsPropagation"] = "shared"
    bundle.args("grep", " /run/notify ", "/proc/self/mountinfo")
    line = pyoci.run(bundle, env={"NOTIFY_SOCKET": str(directory / "systemd")}).out
    hosts = {field for line in shared.read_text().splitlines() for field in line.split() if field.startswith("shared:")}
    assert hosts
    assert {"ro", "nosuid", "nodev", "noexec"} <= set(line.split()[5].split(","))
    assert not hosts & set(line.split()), line
