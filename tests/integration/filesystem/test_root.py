"""root and linux.rootfsPropagation (config.md, config-linux.md)."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from containers import Bundle, Container, Pyoci
from host_mounts import HostMounts, mount
from mountinfo import parse

SLEEP = "echo ready; exec sleep 100"


def host_mounts(directory: Path) -> str:
    """The lines of the host's mountinfo that name the test's directory."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines(keepends=True)
    return "".join(line for line in lines if str(directory) in line)


def test_path_is_relative_to_the_bundle(bundle: Bundle, pyoci: Pyoci) -> None:
    (bundle.rootfs / "mark").write_text("here")
    assert pyoci.run(bundle.args("cat", "/mark"), cwd=Path("/")).out == "here"


def test_relative_path_of_several_components(bundle: Bundle, pyoci: Pyoci) -> None:
    (bundle.path / "a").mkdir()
    bundle.config["root"]["path"] = "./a/../rootfs/"
    assert pyoci.run(bundle.args("echo", "hi")).out == "hi\n"


def test_absolute_path(bundle: Bundle, pyoci: Pyoci, directory: Path) -> None:
    bundle.rootfs.rename(directory / "elsewhere")
    bundle.config["root"]["path"] = str(directory / "elsewhere")
    assert pyoci.run(bundle.args("echo", "hi")).out == "hi\n"


def test_path_is_a_symbolic_link(bundle: Bundle, pyoci: Pyoci, directory: Path) -> None:
    bundle.rootfs.rename(directory / "elsewhere")
    bundle.rootfs.symlink_to(directory / "elsewhere")
    assert pyoci.run(bundle.args("echo", "hi")).out == "hi\n"


def test_missing_path_is_named(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.config["root"]["path"] = "missing"
    done = pyoci.run(bundle, check=False)
    assert done.code != 0
    assert "/root/path" in done.err
    assert "missing" in done.err


def test_writes_reach_the_rootfs(bundle: Bundle, pyoci: Pyoci) -> None:
    pyoci.run(bundle.shell("echo written > /file"))
    assert (bundle.rootfs / "file").read_text() == "written\n"


def test_readonly(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.config["root"]["readonly"] = True
    bundle.mount("/tmp", "tmpfs", "tmpfs")
    done = pyoci.run(bundle.shell("echo x > /tmp/file; echo x > /dev/shm/file; touch /file || echo refused"))
    assert done.out == "refused\n"
    assert "Read-only file system" in done.err
    assert not (bundle.rootfs / "file").exists()


def test_readonly_is_the_containers_alone(bundle: Bundle, pyoci: Pyoci, host: HostMounts) -> None:
    """The file system may be mounted elsewhere; only the container's mount of it is read-only."""
    bundle.config["root"]["readonly"] = True
    point = host.bind(bundle.rootfs, bundle.rootfs)
    pyoci.run(bundle)
    assert "rw" in parse(host_mounts(bundle.path.parent))[str(point)].options
    (bundle.rootfs / "file").write_text("still writable")


def test_readonly_makes_missing_mount_points(bundle: Bundle, pyoci: Pyoci) -> None:
    """They are made before the root becomes read-only."""
    bundle.config["root"]["readonly"] = True
    bundle.mount("/data/deep", "tmpfs", "tmpfs")
    assert pyoci.run(bundle.args("stat", "-c", "%F", "/data/deep")).out == "directory\n"


def test_mounts_below_the_rootfs_are_taken_along(bundle: Bundle, pyoci: Pyoci, host: HostMounts) -> None:
    point = host.tmpfs(bundle.rootfs / "mnt")
    (point / "file").write_text("below")
    assert pyoci.run(bundle.args("cat", "/mnt/file")).out == "below"


@pytest.mark.parametrize("command", ["run", "create"])
def test_hosts_mounts_are_as_before(bundle: Bundle, pyoci: Pyoci, command: str) -> None:
    before = host_mounts(bundle.path.parent)
    if command == "run":
        pyoci.run(bundle)
    else:
        container = pyoci.create(bundle)
        assert host_mounts(bundle.path.parent) == before
        container.delete(force=True)
    assert host_mounts(bundle.path.parent) == before


# --- propagation. The rootfs lies on a shared mount of the host's.


@pytest.fixture
def shared(bundle: Bundle, host: HostMounts, directory: Path) -> Path:
    """A shared mount that holds the rootfs; the bundle's container may mount."""
    point = host.tmpfs("shared", propagation="shared")
    bundle.capabilities("CAP_SYS_ADMIN", "CAP_KILL")
    new = point / "rootfs"
    new.mkdir()
    shutil.copytree(bundle.rootfs, new, symlinks=True, dirs_exist_ok=True)
    shutil.rmtree(bundle.rootfs)
    bundle.config["root"]["path"] = str(new)
    (new / "mnt/host").mkdir()
    (new / "mnt/container").mkdir()
    return new


def running(pyoci: Pyoci, bundle: Bundle) -> Container:
    return pyoci.run_detached(bundle.shell(SLEEP)).expect("ready")


def sees(container: Container, path: str) -> bool:
    return path in parse(Path(f"/proc/{container.pid}/mountinfo").read_text())


def host_sees(point: Path) -> bool:
    return str(point) in parse(host_mounts(point))


@pytest.mark.parametrize(
    ("propagation", "kinds", "inwards", "outwards"),
    [
        (None, {"master"}, True, False),
        ("slave", {"master"}, True, False),
        ("rslave", {"master"}, True, False),
        ("private", set(), False, False),
        ("rprivate", set(), False, False),
        ("shared", {"shared"}, False, False),
        ("rshared", {"shared"}, False, False),
        ("unbindable", {"unbindable"}, False, False),
        ("runbindable", {"unbindable"}, False, False),
    ],
)
def test_rootfs_propagation(
    bundle: Bundle,
    pyoci: Pyoci,
    host: HostMounts,
    shared: Path,
    propagation: str | None,
    kinds: set[str],
    inwards: bool,
    outwards: bool,
) -> None:
    """Whether a mount that the host makes below the rootfs shows inside, and one of the container's on the host.

    "shared" is a peer group of the container's own (config-linux.md).
    """
    if propagation:
        bundle.linux["rootfsPropagation"] = propagation
    before = host_mounts(bundle.path.parent)
    container = running(pyoci, bundle)
    assert parse(Path(f"/proc/{container.pid}/mountinfo").read_text())["/"].propagation_kinds == kinds
    if not outwards:
        assert host_mounts(bundle.path.parent) == before, "the container's mounts show on the host"
    host.tmpfs(shared / "mnt/host")
    assert sees(container, "/mnt/host") == inwards
    container.exec("mount", "-t", "tmpfs", "none", "/mnt/container")
    assert sees(container, "/mnt/container")
    assert host_sees(shared / "mnt/container") == outwards


def test_unbindable_root_cannot_be_bound(bundle: Bundle, pyoci: Pyoci, shared: Path) -> None:
    bundle.linux["rootfsPropagation"] = "unbindable"
    done = pyoci.run(bundle.shell("mount -o bind /etc /mnt"), check=False)
    assert done.code != 0
    assert "Invalid argument" in done.err


# --- propagation of single mounts


@pytest.mark.parametrize(
    ("options", "kinds", "inwards", "outwards"),
    [
        ((), {"master"}, True, False),
        (("rslave",), {"master"}, True, False),
        (("slave",), {"master"}, True, False),
        (("private",), set(), False, False),
        (("rprivate",), set(), False, False),
        (("unbindable",), {"unbindable"}, False, False),
        (("rshared", "rslave"), {"master"}, True, False),
        (("slave", "shared"), {"master", "shared"}, True, False),
    ],
)
def test_propagation_of_a_bind_mount(
    bundle: Bundle,
    pyoci: Pyoci,
    host: HostMounts,
    options: tuple[str, ...],
    kinds: set[str],
    inwards: bool,
    outwards: bool,
) -> None:
    source = host.tmpfs("source", propagation="shared")
    (source / "in").mkdir()
    (source / "out").mkdir()
    bundle.mount("/mnt", "bind", str(source), ["rbind", *options])
    bundle.capabilities("CAP_SYS_ADMIN", "CAP_KILL")
    container = running(pyoci, bundle)
    assert parse(Path(f"/proc/{container.pid}/mountinfo").read_text())["/mnt"].propagation_kinds == kinds
    host.tmpfs(source / "in")
    assert sees(container, "/mnt/in") == inwards
    container.exec("mount", "-t", "tmpfs", "none", "/mnt/out")
    assert host_sees(source / "out") == outwards


def test_shared_bind_mount_in_a_shared_root(bundle: Bundle, pyoci: Pyoci, host: HostMounts, shared: Path) -> None:
    """What Kubernetes calls Bidirectional: the container's mounts appear on the host, and go with their unmounting."""
    source = host.tmpfs("source", propagation="shared")
    (source / "out").mkdir()
    bundle.linux["rootfsPropagation"] = "rshared"
    bundle.mount("/mnt", "bind", str(source), ["rbind", "rshared"])
    container = running(pyoci, bundle)
    container.exec("mount", "-t", "tmpfs", "none", "/mnt/out")
    assert host_sees(source / "out")
    container.exec("umount", "/mnt/out")
    assert not host_sees(source / "out")


@pytest.mark.parametrize("option", ["shared", "rshared"])
@pytest.mark.parametrize(
    ("root", "kinds"),
    [
        ("private", {"shared"}),
        ("rprivate", {"shared"}),
        ("slave", {"shared", "master"}),
        ("rslave", {"shared", "master"}),
    ],
)
def test_shared_bind_mount_in_another_root(
    bundle: Bundle, pyoci: Pyoci, host: HostMounts, root: str, kinds: set[str], option: str
) -> None:
    """A peer group of its own, which rootfsPropagation does not take away; the host sees nothing of it."""
    source = host.tmpfs("source", propagation="shared")
    (source / "out").mkdir()
    bundle.linux["rootfsPropagation"] = root
    bundle.mount("/mnt", "bind", str(source), ["rbind", option])
    bundle.mount("/mnt2", "tmpfs", "tmpfs", [option])
    bundle.capabilities("CAP_SYS_ADMIN")
    container = running(pyoci, bundle)
    mounts = parse(Path(f"/proc/{container.pid}/mountinfo").read_text())
    assert mounts["/mnt"].propagation_kinds == kinds
    assert mounts["/mnt2"].propagation_kinds == {"shared"}
    assert "shared" not in mounts["/"].propagation_kinds
    container.exec("mount", "-t", "tmpfs", "none", "/mnt/out")
    assert not host_sees(source / "out")


def test_recursive_propagation_reaches_mounts_below(bundle: Bundle, pyoci: Pyoci, host: HostMounts) -> None:
    source = host.tmpfs("source", propagation="shared")
    (source / "below").mkdir()
    host.tmpfs(source / "below", propagation="shared")
    bundle.mount("/mnt/private", "bind", str(source), ["rbind", "rprivate"])
    bundle.mount("/mnt/slave", "bind", str(source), ["rbind", "rslave"])
    bundle.mount("/mnt/top", "bind", str(source), ["rbind", "private"])
    mounts = parse(pyoci.run(bundle.args("cat", "/proc/self/mountinfo")).out)
    assert mounts["/mnt/private"].propagation_kinds == mounts["/mnt/private/below"].propagation_kinds == set()
    assert mounts["/mnt/slave"].propagation_kinds == mounts["/mnt/slave/below"].propagation_kinds == {"master"}
    assert mounts["/mnt/top"].propagation_kinds == set()
    assert mounts["/mnt/top/below"].propagation_kinds == {"master"}


def test_unmounting_inside_leaves_the_host_alone(bundle: Bundle, pyoci: Pyoci, host: HostMounts) -> None:
    """Propagation of unmounting, the end of the container's mount namespace too."""
    source = host.tmpfs("source", propagation="shared")
    (source / "below").mkdir()
    host.tmpfs(source / "below", propagation="shared")
    bundle.capabilities("CAP_SYS_ADMIN")
    bundle.mount("/mnt", "bind", str(source), ["rbind"])
    pyoci.run(bundle.shell("umount /mnt/below; umount /mnt"))
    assert host_sees(source / "below")


def test_shared_mounts_of_the_host_are_not_made_private(bundle: Bundle, pyoci: Pyoci, host: HostMounts) -> None:
    point = host.tmpfs("source", propagation="shared")
    mount("--make-shared", point)
    pyoci.run(bundle)
    assert parse(host_mounts(bundle.path.parent))[str(point)].propagation_kinds == {"shared"}
