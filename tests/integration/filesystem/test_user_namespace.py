"""The container's mounts under a user namespace, where the kernel refuses some of what root may do."""

from __future__ import annotations

from pathlib import Path

from containers import Bundle, Pyoci
from host_mounts import HostMounts
from mountinfo import parse


def test_filesystems(bundle: Bundle, pyoci: Pyoci) -> None:
    """proc, sysfs, tmpfs, devpts and mqueue are the container's own."""
    bundle.user_namespace()
    mounts = parse(pyoci.run(bundle.args("cat", "/proc/self/mountinfo")).out)
    expected = {"/proc": "proc", "/sys": "sysfs", "/dev": "tmpfs", "/dev/pts": "devpts", "/dev/mqueue": "mqueue"}
    assert {point: mounts[point].type for point in expected} == expected
    assert mounts["/"].propagation_kinds <= {"master"}  # of the host's mount that it is in, if that is shared


def test_root_owns_what_it_makes(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.user_namespace(host_id=70000)
    assert pyoci.run(bundle.shell("touch /new; stat -c %u:%g / /new /dev /dev/shm")).out.split() == ["0:0"] * 4
    assert (bundle.rootfs / "new").stat().st_uid == 70000


def test_missing_destinations_belong_to_root(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.user_namespace()
    bundle.mount("/new/deep", "tmpfs", "tmpfs")
    assert pyoci.run(bundle.args("stat", "-c", "%u:%g", "/new", "/new/deep")).out.split() == ["0:0", "0:0"]


def test_bundle_that_the_users_cannot_reach(bundle: Bundle, pyoci: Pyoci) -> None:
    """The rootfs and bind mounts are opened by the runtime, not by the container's root."""
    bundle.user_namespace()
    bundle.path.chmod(0o700)
    (bundle.path / "file").write_text("content")
    bundle.mount("/mnt/file", "bind", "file", ["bind"])
    assert pyoci.run(bundle.args("cat", "/mnt/file")).out == "content"


def test_read_only_bind_mount_is_not_made_writable_again(bundle: Bundle, pyoci: Pyoci, host: HostMounts) -> None:
    """Options of the host's mounts that come along are locked."""
    bundle.user_namespace()
    source = host.tmpfs("source")
    bundle.mount("/mnt", "bind", str(source), ["bind", "ro"])
    bundle.capabilities("CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE")
    bundle.shell("mount -o remount,bind,rw /mnt || true; touch /mnt/x || true")
    pyoci.run(bundle)
    assert list(source.iterdir()) == []


def test_mounts_never_reach_the_host(bundle: Bundle, pyoci: Pyoci, host: HostMounts) -> None:
    """Not even where rootfsPropagation and the mount say shared."""
    bundle.user_namespace()
    source = host.tmpfs("source", propagation="shared")
    (source / "out").mkdir()
    bundle.linux["rootfsPropagation"] = "shared"
    bundle.mount("/mnt", "bind", str(source), ["rbind", "rshared"])
    bundle.capabilities("CAP_SYS_ADMIN")
    pyoci.run(bundle.shell("mount -t tmpfs none /mnt/out; sleep 0.1"))
    assert str(source / "out") not in Path("/proc/self/mountinfo").read_text()


def test_copy_up(bundle: Bundle, pyoci: Pyoci) -> None:
    (bundle.rootfs / "data").mkdir()
    (bundle.rootfs / "data/file").write_text("content")
    bundle.user_namespace()
    bundle.mount("/data", "tmpfs", "tmpfs", ["tmpcopyup"])
    assert pyoci.run(bundle.shell("cat /data/file; stat -c ' %u' /data/file")).out == "content 0\n"


def test_tmpfs_keeps_the_mode(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.user_namespace()
    bundle.mount("/tmp", "tmpfs", "tmpfs")
    assert pyoci.run(bundle.args("stat", "-c", "%a %u", "/tmp")).out == "1777 0\n"
