"""Mounts of type cgroup and cgroup2, on a host with cgroup v1 and in a view of it that has v2 alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from containers import CGROUP_ROOT, Bundle, Pyoci
from mountinfo import Mount, parse

OPTIONS = ["nosuid", "noexec", "nodev", "relatime"]


def hierarchies() -> set[str]:
    """The v1 hierarchies of the host, by the names of their mount points."""
    mounts = parse(Path("/proc/self/mountinfo").read_text()).values()
    return {Path(mount.point).name for mount in mounts if mount.type == "cgroup"}


needs_v1 = pytest.mark.skipif(not hierarchies(), reason="this host has no cgroup v1")


def cgroup_mounts(pyoci: Pyoci, bundle: Bundle) -> dict[str, Mount]:
    mounts = parse(pyoci.run(bundle.args("cat", "/proc/self/mountinfo")).out)
    return {
        point.removeprefix("/sys/fs/cgroup/"): mount
        for point, mount in mounts.items()
        if point.startswith("/sys/fs/cgroup")
    }


@needs_v1
@pytest.mark.parametrize("kind", ["cgroup", "cgroup2"])
def test_v1(bundle: Bundle, pyoci: Pyoci, kind: str) -> None:
    """One directory for each hierarchy, which holds the container's own cgroup and not the host's."""
    bundle.mount("/sys/fs/cgroup", kind, "cgroup", [*OPTIONS, "ro"])
    mounts = cgroup_mounts(pyoci, bundle)
    top = mounts.pop("/sys/fs/cgroup")
    assert (top.type, top.options) == ("tmpfs", {"ro", "nosuid", "noexec", "nodev", "relatime"})
    v1 = {name: mount for name, mount in mounts.items() if mount.type == "cgroup"}
    assert set(v1) == hierarchies()
    for mount in v1.values():
        assert Path(mount.root).name.startswith("test")
        assert mount.options == {"ro", "nosuid", "noexec", "nodev", "relatime"}


@needs_v1
def test_v1_with_a_cgroup_namespace(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.namespace("cgroup").mount("/sys/fs/cgroup", "cgroup", "cgroup", [*OPTIONS, "ro"])
    v1 = {name: mount for name, mount in cgroup_mounts(pyoci, bundle).items() if mount.type == "cgroup"}
    assert set(v1) == hierarchies()
    assert {mount.root for mount in v1.values()} == {"/"}
    out = pyoci.run(bundle.args("cat", "/proc/self/cgroup")).out
    assert {line.rpartition(":")[2] for line in out.splitlines()} == {"/"}


@needs_v1
@pytest.mark.parametrize("namespace", [True, False])
def test_v1_holds_the_container(bundle: Bundle, pyoci: Pyoci, namespace: bool) -> None:
    if namespace:
        bundle.namespace("cgroup")
    bundle.mount("/sys/fs/cgroup", "cgroup", "cgroup", [*OPTIONS, "ro"])
    bundle.shell(
        "cat /sys/fs/cgroup/pids/cgroup.procs /sys/fs/cgroup/devices/cgroup.procs; mkdir /sys/fs/cgroup/pids/x || true"
    )
    done = pyoci.run(bundle)
    assert set(done.out.split()) <= {"1", "2", "3"}
    assert "1" in done.out.split()
    assert "Read-only file system" in done.err


@needs_v1
def test_v1_writable(bundle: Bundle, pyoci: Pyoci) -> None:
    """What the container makes below its own cgroup is removed with it."""
    bundle.mount("/sys/fs/cgroup", "cgroup", "cgroup", OPTIONS)
    container = pyoci.run_detached(bundle.shell("mkdir /sys/fs/cgroup/pids/mine; echo ready; sleep 100"))
    container.expect("ready")
    lines = Path(f"/proc/{container.pid}/cgroup").read_text().splitlines()
    path = next(line.rpartition(":")[2] for line in lines if ":pids:" in line)
    assert (CGROUP_ROOT / f"pids{path}/mine").is_dir()
    container.delete(force=True)
    assert not (CGROUP_ROOT / f"pids{path}").exists()


@needs_v1
def test_v1_in_a_user_namespace(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.user_namespace().mount("/sys/fs/cgroup", "cgroup", "cgroup", [*OPTIONS, "ro"])
    assert hierarchies() <= set(cgroup_mounts(pyoci, bundle))


@needs_v1
@pytest.mark.parametrize("namespace", [True, False])
@pytest.mark.parametrize("option", ["ro", "rro"])
def test_v1_read_only_with_a_mount_below(bundle: Bundle, pyoci: Pyoci, option: str, namespace: bool) -> None:
    """The directory for it can still be made, and then no more."""
    if namespace:
        bundle.namespace("cgroup")
    bundle.mount("/sys/fs/cgroup", "cgroup", "cgroup", [*OPTIONS, option])
    bundle.mount("/sys/fs/cgroup/mine", "bind", str(bundle.path), ["bind"])
    mounts = cgroup_mounts(pyoci, bundle)
    assert "mine" in mounts
    assert "rw" in mounts.pop("mine").options
    assert all("ro" in mount.options for mount in mounts.values())
    done = pyoci.run(bundle.args("mkdir", "/sys/fs/cgroup/x"), check=False)
    assert "Read-only file system" in done.err


@pytest.mark.parametrize("kind", ["cgroup", "cgroup2"])
def test_an_option_that_is_none(bundle: Bundle, pyoci: Pyoci, kind: str) -> None:
    bundle.mount("/sys/fs/cgroup", kind, "cgroup", [*OPTIONS, "readonly"])
    done = pyoci.run(bundle, check=False)
    assert done.code == 1
    message = done.err.replace("\\", "")
    assert '/mounts/6/options/4 is "readonly"' in message
    assert '"ro" meant' in message


@needs_v1
def test_v1_at_another_place(bundle: Bundle, pyoci: Pyoci) -> None:
    (bundle.rootfs / "link").symlink_to("/mnt/groups")
    bundle.mount("/link", "cgroup", "cgroup", ["ro"])
    assert hierarchies() <= set(pyoci.run(bundle.args("ls", "/mnt/groups")).out.split())


# --- v2


@pytest.mark.parametrize("kind", ["cgroup", "cgroup2"])
@pytest.mark.parametrize("namespace", [True, False])
def test_v2(bundle: Bundle, pyoci_v2: Pyoci, kind: str, namespace: bool) -> None:
    if namespace:
        bundle.namespace("cgroup")
    bundle.mount("/sys/fs/cgroup", kind, "cgroup", [*OPTIONS, "ro"])
    mounts = cgroup_mounts(pyoci_v2, bundle)
    assert set(mounts) == {"/sys/fs/cgroup"}
    assert mounts["/sys/fs/cgroup"].type == "cgroup2"
    assert mounts["/sys/fs/cgroup"].options == {"ro", "nosuid", "noexec", "nodev", "relatime"}


def test_v2_namespace_shows_the_containers_cgroup_as_root(bundle: Bundle, pyoci_v2: Pyoci) -> None:
    bundle.namespace("cgroup").mount("/sys/fs/cgroup", "cgroup", "cgroup", [*OPTIONS, "ro"])
    assert cgroup_mounts(pyoci_v2, bundle)["/sys/fs/cgroup"].root == "/"
    out = pyoci_v2.run(bundle.shell("cat /sys/fs/cgroup/cgroup.procs; cat /sys/fs/cgroup/cgroup.events")).out
    assert "1\n" in out
    assert "populated 1" in out  # the root cgroup of the host has no such file


@pytest.mark.parametrize("namespace", [True, False])
@pytest.mark.parametrize("user_namespace", [True, False])
def test_v2_recursively_read_only(bundle: Bundle, pyoci_v2: Pyoci, namespace: bool, user_namespace: bool) -> None:
    if namespace:
        bundle.namespace("cgroup")
    if user_namespace:
        bundle.user_namespace()
    bundle.mount("/sys/fs/cgroup", "cgroup", "cgroup", [*OPTIONS, "rro"])
    assert "ro" in cgroup_mounts(pyoci_v2, bundle)["/sys/fs/cgroup"].options


def test_v2_in_a_user_namespace(bundle: Bundle, pyoci_v2: Pyoci) -> None:
    bundle.user_namespace().namespace("cgroup").mount("/sys/fs/cgroup", "cgroup", "cgroup", [*OPTIONS, "ro"])
    assert cgroup_mounts(pyoci_v2, bundle)["/sys/fs/cgroup"].root == "/"


def test_v2_in_a_user_namespace_without_a_cgroup_namespace(bundle: Bundle, pyoci_v2: Pyoci) -> None:
    """It cannot be mounted there; the container's cgroup is bound."""
    bundle.user_namespace().mount("/sys/fs/cgroup", "cgroup", "cgroup", [*OPTIONS, "ro"])
    mount = cgroup_mounts(pyoci_v2, bundle)["/sys/fs/cgroup"]
    assert mount.type == "cgroup2"
    assert "ro" in mount.options
