"""linux.resources and linux.cgroupsPath on a real process: limits that bite, devices that are denied, who owns what.

The host's own cgroups (v1 or hybrid, or v2), and a view of it in which there is only cgroup v2.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from containers import Bundle, Pyoci

CGROUPS = Path("/sys/fs/cgroup")
V1 = not (CGROUPS / "cgroup.controllers").exists()
FUSE = {"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 0o666, "uid": 0, "gid": 0}
DENY_ALL = {"allow": False, "access": "rwm"}


@pytest.fixture(params=["host", "v2"])
def either(request: pytest.FixtureRequest) -> Pyoci:
    """Both of them, one after the other."""
    found: Pyoci = request.getfixturevalue("pyoci" if request.param == "host" else "pyoci_v2")
    return found


def resources(bundle: Bundle, **properties: Any) -> Bundle:
    bundle.linux["resources"] = properties
    return bundle


def path_of(pid: int, controller: str) -> Path:
    """The directory on the host of the cgroup that a process is in."""
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            return CGROUPS / controller / path[1:]
        if not controllers:  # the last line; on a hybrid host the controller may be in that tree
            return CGROUPS / ("unified" if V1 else "") / path[1:]
    raise AssertionError(f"no cgroup of {controller}")


# --- limits that bite


def test_memory(bundle: Bundle, pyoci: Pyoci) -> None:
    resources(bundle, memory={"limit": 16 << 20, "swap": 16 << 20})
    done = pyoci.run(bundle.shell("dd if=/dev/zero of=/dev/null bs=64M count=1 2>&1; echo survived $?"), check=False)
    assert "survived 0" not in done.out
    assert pyoci.run(bundle.shell("dd if=/dev/zero of=/dev/null bs=4M count=1 2>&1")).code == 0


def test_pids(bundle: Bundle, pyoci: Pyoci) -> None:
    resources(bundle, pids={"limit": 10})
    done = pyoci.run(bundle.args("/bin/sh", "-c", "for i in $(seq 30); do sleep 9 & done; :"), check=False)
    assert "can't fork" in done.err
    assert "can't fork" not in pyoci.run(bundle.args("/bin/sh", "-c", "for i in 1 2 3 4 5; do sleep 9 & done; :")).err


def test_cpu_quota(bundle: Bundle, pyoci: Pyoci) -> None:
    resources(bundle, cpu={"quota": 10_000, "period": 100_000})
    container = pyoci.run_detached(bundle.shell("while :; do :; done"))
    stat = Path(f"/proc/{container.pid}/schedstat")
    before, start = int(stat.read_text().split()[0]), time.monotonic()
    time.sleep(0.8)
    used = (int(stat.read_text().split()[0]) - before) / 1e9
    assert used / (time.monotonic() - start) < 0.3


def test_cpuset(bundle: Bundle, pyoci: Pyoci) -> None:
    last = max(os.sched_getaffinity(0))
    resources(bundle, cpu={"cpus": str(last), "mems": "0"})
    container = pyoci.run_detached(bundle.args("/bin/sleep", "60"))
    assert os.sched_getaffinity(container.pid) == {last}
    assert container.exec("grep", "Cpus_allowed_list", "/proc/self/status").out.split()[1] == str(last)


def test_oom_kills_only_the_container(bundle: Bundle, pyoci: Pyoci) -> None:
    resources(bundle, memory={"limit": 16 << 20, "swap": 16 << 20})
    container = pyoci.run_detached(bundle.args("/bin/dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1"))
    container.wait()


@pytest.mark.parametrize(
    ("wanted", "pointer"),
    [
        ({"cpu": {"quota": 1}}, "/linux/resources/cpu/quota"),
        ({"cpu": {"cpus": "4000"}}, "/linux/resources/cpu/cpus"),
        ({"cpu": {"mems": "900"}}, "/linux/resources/cpu/mems"),
        ({"hugepageLimits": [{"pageSize": "3MB", "limit": 0}]}, "/linux/resources/hugepageLimits/0"),
    ],
)
def test_a_value_that_the_kernel_refuses_is_named(
    bundle: Bundle, pyoci: Pyoci, wanted: dict[str, Any], pointer: str
) -> None:
    done = pyoci.run(resources(bundle, **wanted), check=False)
    assert done.code != 0
    assert pointer in done.err


def test_limits_hold_for_exec(bundle: Bundle, pyoci: Pyoci) -> None:
    resources(bundle, pids={"limit": 8})
    container = pyoci.run_detached(bundle.args("/bin/sleep", "60"))
    done = container.exec("/bin/sh", "-c", "for i in $(seq 30); do sleep 9 & done; :", check=False)
    assert "can't fork" in done.err


# --- where it is


def test_the_process_never_runs_outside_its_cgroup(bundle: Bundle, either: Pyoci) -> None:
    """What it sees first is the cgroup of its own, and the hooks see it there too."""
    trace = bundle.path / "trace"
    hook = {"path": "/bin/sh", "args": []}
    hook["args"] = ["sh", "-c", f"pid=$(sed 's/.*\"pid\":\\([0-9]*\\).*/\\1/'); cat /proc/$pid/cgroup > {trace}"]
    bundle.config["hooks"] = {"createRuntime": [hook]}
    id = either.new_id()
    done = either.run(bundle.args("cat", "/proc/self/cgroup"), id=id)
    for text in (done.out, trace.read_text()):
        lines = [
            line for line in text.splitlines() if line.startswith("0::") or ":pids:" in line or ":devices:" in line
        ]
        ours = [line for line in lines if line.endswith(f"/{id}")]
        assert ours
        if "unshare" not in Path(either.executable).read_text(errors="replace"):
            assert ours == lines


def test_a_configured_path(bundle: Bundle, either: Pyoci) -> None:
    id = either.new_id()
    bundle.linux["cgroupsPath"] = f"/{id}-parent/{id}"
    done = either.run(bundle.args("cat", "/proc/self/cgroup"), id=id)
    assert f"/{id}-parent/{id}" in done.out
    assert not [path for path in CGROUPS.glob(f"*/{id}-parent") if path.exists()]


def test_exec_is_placed_too(bundle: Bundle, either: Pyoci) -> None:
    container = either.run_detached(bundle.args("/bin/sleep", "60"))
    ours = Path(f"/proc/{container.pid}/cgroup").read_text()
    assert container.exec("cat", "/proc/self/cgroup").out == ours


# --- devices


def test_a_device_that_is_not_allowed(bundle: Bundle, either: Pyoci) -> None:
    bundle.linux["devices"] = [FUSE]
    bundle.shell("(: < /dev/fuse) 2>&1 || true; echo x > /dev/null; head -c 1 /dev/zero | wc -c")
    denied = either.run(resources(bundle, devices=[DENY_ALL]))
    assert "Operation not permitted" in denied.out
    assert denied.out.endswith("1\n")
    allow = {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rw"}
    allowed = either.run(resources(bundle, devices=[DENY_ALL, allow]))
    assert "Operation not permitted" not in allowed.out


def test_without_rules_devices_are_denied(bundle: Bundle, either: Pyoci) -> None:
    bundle.linux["devices"] = [FUSE]
    bundle.linux.pop("resources", None)
    done = either.run(bundle.shell("cat /dev/fuse 2>&1 || true"))
    assert "Operation not permitted" in done.out


def test_access_is_told_apart(bundle: Bundle, either: Pyoci) -> None:
    """Allowed to be read only."""
    bundle.linux["devices"] = [FUSE]
    allow = {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "r"}
    resources(bundle, devices=[DENY_ALL, allow])
    bundle.shell("(: < /dev/fuse) && echo read; (: > /dev/fuse) 2>&1 || true")
    done = either.run(bundle)
    assert done.out.startswith("read\n")
    assert "Operation not permitted" in done.out


def test_devices_are_denied_to_exec(bundle: Bundle, either: Pyoci) -> None:
    bundle.linux["devices"] = [FUSE]
    container = either.run_detached(bundle.args("/bin/sleep", "60"))
    assert "Operation not permitted" in container.exec("cat", "/dev/fuse", check=False).err


def test_no_device_can_be_made_and_used(bundle: Bundle, either: Pyoci) -> None:
    """mknod(2) is allowed, as with runc; what it makes cannot be opened."""
    bundle.capabilities("CAP_MKNOD").mount("/home", "tmpfs", "tmpfs")
    done = either.run(bundle.shell("mknod /home/fuse c 10 229; cat /home/fuse 2>&1 || true"))
    assert "Operation not permitted" in done.out


@pytest.fixture
def block_device(directory: Path) -> Iterator[str]:
    """A loop device with an empty file system."""
    image = directory / "image"
    image.touch()
    os.truncate(image, 1 << 20)
    subprocess.run(["mke2fs", "-q", "-t", "ext2", image], check=True)
    found = subprocess.run(["losetup", "--find", "--show", image], capture_output=True, text=True, check=True)
    yield found.stdout.strip()
    subprocess.run(["losetup", "--detach", found.stdout.strip()], check=True)


def test_what_is_mounted_may_be_what_is_denied(bundle: Bundle, either: Pyoci, block_device: str) -> None:
    """The rules come after the mounts, as with runc: a container may have a file system and not its device."""
    bundle.mount("/mnt", "ext2", block_device)
    resources(bundle, devices=[DENY_ALL])
    major, minor = os.major(os.stat(block_device).st_rdev), os.minor(os.stat(block_device).st_rdev)
    bundle.capabilities("CAP_MKNOD").mount("/home", "tmpfs", "tmpfs")
    bundle.shell(f"ls /mnt; mknod /home/device b {major} {minor}; cat /home/device 2>&1 || true")
    done = either.run(bundle)
    assert "lost+found" in done.out
    assert "Operation not permitted" in done.out


def test_exec_into_a_paused_container(bundle: Bundle, either: Pyoci) -> None:
    """It waits for resume, and can be interrupted meanwhile, also where v2 lets nobody be born that is not frozen."""
    container = either.run_detached(bundle.args("/bin/sleep", "60"))
    either("pause", container.id)
    interrupted = either.spawn("exec", "--ignore-paused", container.id, "true")
    patient = either.spawn("exec", "--ignore-paused", container.id, "sh", "-c", "exit 5")
    time.sleep(0.5)
    assert interrupted.poll() is patient.poll() is None
    interrupted.terminate()
    assert interrupted.wait(60) != 0
    either("resume", container.id)
    assert patient.wait(60) == 5


# --- delegation (config-linux.md, Cgroup ownership)

DELEGATED = {"cgroup.procs", "cgroup.subtree_control", "cgroup.threads"}


def owners(path: Path) -> dict[str, int]:
    """Who owns the cgroup ('.') and its files."""
    return {".": path.stat().st_uid, **{each.name: each.stat().st_uid for each in path.iterdir() if each.is_file()}}


def unified(pid: int) -> Path:
    line = next(line for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines() if line.startswith("0::"))
    return (CGROUPS / "unified" if V1 else CGROUPS) / line[4:]


def writable_cgroup(bundle: Bundle, *options: str) -> Bundle:
    return bundle.namespace("cgroup").mount("/sys/fs/cgroup", "cgroup", "cgroup", ["nosuid", "noexec", *options])


@pytest.mark.parametrize(
    ("uid", "user_namespace", "owner"), [(0, True, 100000), (1000, True, 101000), (1000, False, 1000)]
)
def test_a_cgroup_is_delegated_to_the_process(
    bundle: Bundle, pyoci_v2: Pyoci, uid: int, user_namespace: bool, owner: int
) -> None:
    if user_namespace:
        bundle.user_namespace()
    bundle.process["user"] = {"uid": uid, "gid": 0}
    writable_cgroup(bundle).args("/bin/sleep", "60")
    container = pyoci_v2.run_detached(bundle)
    found = owners(unified(container.pid))
    theirs = {name for name, uid in found.items() if uid == owner}
    assert {".", "cgroup.procs", "cgroup.threads", "cgroup.subtree_control"} <= theirs
    assert found["cgroup.freeze"] == 0
    made = container.exec(
        "/bin/sh", "-ec", "mkdir /sys/fs/cgroup/own; echo $$ > /sys/fs/cgroup/own/cgroup.procs; cat /proc/self/cgroup"
    )
    assert made.out.endswith("0::/own\n")


@pytest.mark.parametrize("how", ["read-only", "no mount", "no namespace"])
def test_a_cgroup_is_not_delegated_without_reason(bundle: Bundle, pyoci_v2: Pyoci, how: str) -> None:
    bundle.user_namespace().args("/bin/sleep", "60")
    if how == "read-only":
        writable_cgroup(bundle, "ro")
    elif how == "no mount":
        bundle.namespace("cgroup")
    else:
        writable_cgroup(bundle).without_namespace("cgroup")
    container = pyoci_v2.run_detached(bundle)
    assert set(owners(unified(container.pid)).values()) == {0}


def test_a_v1_cgroup_is_not_delegated(bundle: Bundle, pyoci: Pyoci) -> None:
    if not V1:
        pytest.skip("this host has cgroup v2")
    container = pyoci.run_detached(writable_cgroup(bundle.user_namespace()).args("/bin/sleep", "60"))
    assert set(owners(path_of(container.pid, "memory")).values()) == {0}
