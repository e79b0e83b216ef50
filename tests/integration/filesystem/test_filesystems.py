"""Filesystems of the container's own: tmpfs, proc, sysfs, mqueue, devpts, overlay."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from containers import Bundle, Pyoci
from host_mounts import HostMounts
from mountinfo import parse

# --- tmpfs


def test_tmpfs_size(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.mount("/mnt", "tmpfs", "tmpfs", ["size=64k", "nr_inodes=10"])
    out = pyoci.run(bundle.shell("dd if=/dev/zero of=/mnt/f bs=1k count=100 2>/dev/null || stat -c %s /mnt/f")).out
    assert out == "65536\n"


@pytest.mark.parametrize("mode", ["700", "1777", "755", "2750"])
def test_tmpfs_takes_the_mode_of_what_it_covers(bundle: Bundle, pyoci: Pyoci, mode: str) -> None:
    (bundle.rootfs / "data").mkdir()
    (bundle.rootfs / "data").chmod(int(mode, 8))
    bundle.mount("/data", "tmpfs", "tmpfs", ["size=64k"])
    assert pyoci.run(bundle.args("stat", "-c", "%a", "/data")).out == f"{mode}\n"


@pytest.mark.parametrize("mode", ["mode=0700", "mode=1777"])
def test_tmpfs_mode_is_as_asked(bundle: Bundle, pyoci: Pyoci, mode: str) -> None:
    bundle.mount("/tmp", "tmpfs", "tmpfs", [mode, "uid=7", "gid=8"])
    assert pyoci.run(bundle.args("stat", "-c", "%a %u %g", "/tmp")).out == f"{mode[5:].lstrip('0')} 7 8\n"


def test_tmpfs_on_a_missing_directory(bundle: Bundle, pyoci: Pyoci) -> None:
    """The default of the kernel, as with runc."""
    bundle.mount("/data", "tmpfs", "tmpfs")
    assert pyoci.run(bundle.args("stat", "-c", "%a", "/data")).out == "1777\n"


def test_tmpfs_is_of_the_container_alone(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.mount("/tmp", "tmpfs", "tmpfs")
    pyoci.run(bundle.args("touch", "/tmp/file"))
    assert list((bundle.rootfs / "tmp").iterdir()) == []


def test_read_only_tmpfs_with_mounts_in_it(bundle: Bundle, pyoci: Pyoci, directory: Path) -> None:
    """The directories for later mounts can still be made."""
    (directory / "file").write_text("content")
    bundle.mount("/data", "tmpfs", "tmpfs", ["ro"])
    bundle.mount("/data/deep/tmp", "tmpfs", "tmpfs")
    bundle.mount("/data/file", "bind", str(directory / "file"), ["bind"])
    done = pyoci.run(bundle.shell("touch /data/deep/tmp/x; cat /data/file; touch /data/x || true"))
    assert done.out == "content"
    assert "Read-only file system" in done.err


def test_read_only_dev(bundle: Bundle, pyoci: Pyoci) -> None:
    """/dev gets its nodes and then no more."""
    next(mount for mount in bundle.mounts if mount["destination"] == "/dev")["options"].append("ro")
    done = pyoci.run(bundle.shell("head -c 2 /dev/zero | wc -c; touch /dev/shm/x; touch /dev/x || true"))
    assert done.out.strip() == "2"
    assert "Read-only file system" in done.err


@pytest.fixture
def content(bundle: Bundle) -> Path:
    """A directory of the image with one entry of each kind."""
    bundle.capabilities("CAP_DAC_OVERRIDE")
    top = bundle.rootfs / "data"
    (top / "dir/sub").mkdir(parents=True)
    (top / "dir/sub/file").write_text("deep")
    (top / "big").write_bytes(os.urandom(100_000))
    (top / "link").symlink_to("dir/sub/file")
    (top / "dangling").symlink_to("/nowhere")
    (top / "hard").hardlink_to(top / "big")
    os.mkfifo(top / "fifo", 0o620)
    os.mknod(top / "null", 0o020666, os.makedev(1, 3))
    os.mknod(top / "large", 0o060600, os.makedev(259, 300))
    for name, mode, uid, gid in (("dir", 0o2770, 3, 4), ("dir/sub/file", 0o4711, 5, 6), ("big", 0o640, 7, 8)):
        os.chown(top / name, uid, gid)
        (top / name).chmod(mode)
    os.chown(top / "link", 9, 10, follow_symlinks=False)
    os.chown(top, 11, 12)
    top.chmod(0o750)
    return top


def test_copy_up(bundle: Bundle, pyoci: Pyoci, content: Path) -> None:
    """tmpcopyup: contents, links, modes and owners are those of the directory that is covered."""
    script = """cd /data; for f in . dir dir/sub dir/sub/file big link dangling fifo null large; do
        stat -c '%n %F %a %u:%g %t:%T' $f; done; md5sum < big; cat link; readlink dangling; stat -f -c %T ."""
    *expected, _ = pyoci.run(bundle.shell(script)).out.splitlines()
    bundle.mount("/data", "tmpfs", "tmpfs", ["tmpcopyup"])
    *found, filesystem = pyoci.run(bundle.shell(script)).out.splitlines()
    assert found == expected
    assert filesystem == "tmpfs"
    pyoci.run(bundle.shell("rm -r /data/*; touch /data/new"))
    assert (content / "big").exists()
    assert not (content / "new").exists()


def test_copy_up_read_only(bundle: Bundle, pyoci: Pyoci, content: Path) -> None:
    bundle.mount("/data", "tmpfs", "tmpfs", ["tmpcopyup", "ro", "nosuid", "noexec"])
    done = pyoci.run(bundle.shell("cat /data/dir/sub/file; grep ' /data ' /proc/self/mountinfo; touch /data/x || true"))
    assert done.out.startswith("deep")
    assert "ro,nosuid,noexec" in done.out
    assert "Read-only file system" in done.err


def test_copy_up_of_many_files(bundle: Bundle, pyoci: Pyoci) -> None:
    (bundle.rootfs / "data").mkdir()
    for i in range(500):
        (bundle.rootfs / f"data/a-name-of-some-length-{i}").write_text(str(i))
    bundle.mount("/data", "tmpfs", "tmpfs", ["tmpcopyup"])
    assert pyoci.run(bundle.shell("ls /data | wc -l; cat /data/*-499")).out.split() == ["500", "499"]


def test_copy_up_that_does_not_fit(bundle: Bundle, pyoci: Pyoci, content: Path) -> None:
    bundle.mount("/data", "tmpfs", "tmpfs", ["tmpcopyup", "size=8k"])
    done = pyoci.run(bundle, check=False)
    assert done.code != 0
    assert "/mounts/6" in done.err
    assert "No space left" in done.err


def test_copy_up_on_a_missing_directory(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.mount("/new", "tmpfs", "tmpfs", ["tmpcopyup"])
    assert pyoci.run(bundle.args("ls", "-A", "/new")).out == ""


# --- proc, sysfs, mqueue, devpts


def test_proc_is_of_the_containers_pid_namespace(bundle: Bundle, pyoci: Pyoci) -> None:
    assert pyoci.run(bundle.shell("cd /proc; echo [0-9]*; readlink self")).out.split() == ["1", "1"]


def test_proc_options(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.unmount("/proc").mount("/proc", "proc", "proc", ["nosuid", "noexec", "nodev", "hidepid=2"])
    mounts = parse(pyoci.run(bundle.args("cat", "/proc/self/mountinfo")).out)
    assert mounts["/proc"].options == {"rw", "nosuid", "noexec", "nodev", "relatime"}
    assert "hidepid=invisible" in mounts["/proc"].superblock


def test_sysfs_shows_the_network_namespace(bundle: Bundle, pyoci: Pyoci) -> None:
    done = pyoci.run(bundle.shell("ls /sys/class/net; mkdir /sys/x 2>&1 || true"))
    assert done.out.split("\n")[0] == "lo"
    assert "Read-only file system" in done.out


def test_mqueue(bundle: Bundle, pyoci: Pyoci) -> None:
    done = pyoci.run(bundle.shell("touch /dev/mqueue/queue; cat /dev/mqueue/queue; ls /dev/mqueue"))
    assert "QSIZE" in done.out
    assert "queue" in done.out.split("\n")[1]
    assert not Path("/dev/mqueue/queue").exists()


def test_devpts(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.shell("ls /dev/pts; readlink /dev/ptmx; stat -c %a /dev/pts/ptmx; grep devpts /proc/mounts")
    out = pyoci.run(bundle).out.splitlines()
    assert out[:3] == ["ptmx", "pts/ptmx", "666"]
    assert "gid=5,mode=620,ptmxmode=666" in out[3]


def test_unknown_filesystem(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.mount("/mnt", "nosuchfs", "x")
    done = pyoci.run(bundle, check=False)
    assert done.code != 0
    assert "/mounts/6" in done.err
    assert "No such device" in done.err


# --- overlay


@pytest.fixture
def layers(directory: Path) -> tuple[str, list[str]]:
    """The directories upper and work as options, and 40 lower ones."""
    lower = []
    for i in range(40):
        layer = directory / "layers" / f"layer-with-a-rather-long-name-{i:03}"
        layer.mkdir(parents=True)
        (layer / f"file{i}").write_text(str(i))
        lower.append(str(layer))
    for name in ("upper", "work"):
        (directory / name).mkdir()
    return f"upperdir={directory}/upper,workdir={directory}/work", lower


@pytest.mark.parametrize("count", [2, 40])
def test_overlay(bundle: Bundle, pyoci: Pyoci, directory: Path, layers: tuple[str, list[str]], count: int) -> None:
    """40 layers make an option longer than the 256 bytes that fsconfig(2) takes."""
    rest, lower = layers
    bundle.mount("/mnt", "overlay", "overlay", [f"lowerdir={':'.join(lower[:count])}", *rest.split(","), "nosuid"])
    bundle.shell("cat /mnt/file0 /mnt/file1; ls /mnt | wc -l; touch /mnt/new; cat /proc/self/mountinfo")
    out = pyoci.run(bundle).out
    assert out.startswith(f"01{count}\n")
    assert (directory / "upper/new").exists()
    assert parse(out)["/mnt"].options == {"rw", "nosuid", "relatime"}


def test_read_only_overlay_of_many_layers(bundle: Bundle, pyoci: Pyoci, layers: tuple[str, list[str]]) -> None:
    bundle.mount("/mnt", "overlay", "overlay", ["ro", "nodev", f"lowerdir={':'.join(layers[1])}"])
    done = pyoci.run(bundle.shell("cat /mnt/file39; grep ' /mnt ' /proc/self/mountinfo; touch /mnt/x || true"))
    assert done.out.startswith("39")
    assert "ro,nodev,relatime" in done.out
    assert "Read-only file system" in done.err


def test_attributes_beside_long_options(bundle: Bundle, pyoci: Pyoci, layers: tuple[str, list[str]]) -> None:
    """That way has flags of its own for them."""
    plain = {"ro": {"ro", "relatime"}, "noatime": {"rw", "noatime"}, "strictatime": {"rw"}}
    expected = {}
    for option in ("nosuid", "nodev", "noexec", "noatime", "nodiratime", "strictatime", "nosymfollow", "ro"):
        bundle.mount(f"/mnt/{option}", "overlay", "overlay", [f"lowerdir={':'.join(layers[1])}", option])
        expected[f"/mnt/{option}"] = plain.get(option, {"rw", option, "relatime"})
    mounts = parse(pyoci.run(bundle.args("cat", "/proc/self/mountinfo")).out)
    assert {point: mounts[point].options for point in expected} == expected


def test_overlay_option_error_says_what_the_kernel_says(bundle: Bundle, pyoci: Pyoci, directory: Path) -> None:
    bundle.mount("/mnt", "overlay", "overlay", [f"lowerdir={directory}/missing"])
    done = pyoci.run(bundle, check=False)
    assert done.code != 0
    assert "/mounts/6" in done.err
    assert "No such file or directory" in done.err


def test_long_option_through_a_link(bundle: Bundle, pyoci: Pyoci, layers: tuple[str, list[str]]) -> None:
    """The way that long options take resolves the destination as safely as the other."""
    (bundle.rootfs / "link").symlink_to("/var/data")
    bundle.mount("/link", "overlay", "overlay", [f"lowerdir={':'.join(layers[1])}", "ro"])
    assert pyoci.run(bundle.args("cat", "/var/data/file7")).out == "7"


# --- a block device


def test_filesystem_of_a_block_device(bundle: Bundle, pyoci: Pyoci, host: HostMounts, directory: Path) -> None:
    """A source that is a device of the host's, by way of a loop device."""
    import subprocess

    image = directory / "image"
    with image.open("wb") as file:
        file.truncate(4 << 20)
    subprocess.run(["/usr/sbin/mke2fs", "-q", "-t", "ext2", image], check=True, capture_output=True)
    found = subprocess.run(["losetup", "--show", "-f", image], capture_output=True, text=True)
    if found.returncode:
        pytest.skip(f"no loop device here: {found.stderr.strip()}")
    device = found.stdout.strip()
    try:
        bundle.mount("/mnt", "ext2", device, ["ro", "noexec"])
        mounts = parse(pyoci.run(bundle.args("cat", "/proc/self/mountinfo")).out)
        assert mounts["/mnt"].type in ("ext2", "ext4")
        assert "ro" in mounts["/mnt"].superblock
    finally:
        subprocess.run(["losetup", "-d", device], check=True)
