"""Paths that an image, or another container, controls must lead nowhere but into the container's root.

Each defence was taken out of a copy of the tree to see the test fail; the docstrings say which.
"""

from __future__ import annotations

import os
import socket
from array import array
from pathlib import Path

import pytest
from containers import Bundle, Pyoci
from race import exchanging

STARTS = 25  # containers started against a racing process


@pytest.fixture
def victim(directory: Path) -> Path:
    """A directory of the host that the attacker wants to be written to; it must stay empty."""
    path = directory / "victim"
    path.mkdir()
    return path


@pytest.fixture
def volume(directory: Path, victim: Path) -> Path:
    """A directory shared with an attacker: `door`, a directory, and `link`, which leads out of the container."""
    path = directory / "volume"
    (path / "door").mkdir(parents=True)
    (path / "link").symlink_to(victim)
    return path


def contents(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir())


# --- races


def test_race_for_the_directories_above_a_destination(bundle: Bundle, pyoci: Pyoci, volume: Path, victim: Path) -> None:
    """CVE-2024-45310: while the directories of a destination are made, one of them becomes a link to the host.

    Fails with open_in_root() (path.c) reduced to openat(2) of the path.
    """
    bundle.mount("/volume", "bind", str(volume), ["bind"])
    for i in range(20):
        bundle.mount(f"/volume/door/{i}/deep", "tmpfs", "tmpfs")
    with exchanging(volume / "door", volume / "link"):
        for _ in range(STARTS):
            pyoci.run(bundle, check=False)
            assert contents(victim) == []


def test_race_for_a_file_at_a_destination(bundle: Bundle, pyoci: Pyoci, volume: Path, victim: Path) -> None:
    """CVE-2024-45310 again, for files. Fails like the test before."""
    (bundle.path / "file").write_text("content")
    bundle.mount("/volume", "bind", str(volume), ["bind"])
    for i in range(20):
        bundle.mount(f"/volume/door/{i}", "bind", "file", ["bind"])
    with exchanging(volume / "door", volume / "link"):
        for _ in range(STARTS):
            pyoci.run(bundle, check=False)
            assert contents(victim) == []


def test_race_for_the_destination_itself(bundle: Bundle, pyoci: Pyoci, volume: Path, victim: Path) -> None:
    """CVE-2021-30465: the destination becomes a link between its check and the mount, which lands on the host's path,
    over the root filesystem for instance.

    Fails with open_in_root() (path.c) reduced to openat(2) of the path.
    """
    (bundle.path / "source").mkdir()
    bundle.mount("/volume", "bind", str(volume), ["bind"])
    bundle.mount("/volume/door", "bind", "source", ["bind"])
    bundle.args("grep", "-c", "/bundle/source ", "/proc/self/mountinfo")
    with exchanging(volume / "door", volume / "link"):
        found = [pyoci.run(bundle, check=False) for _ in range(STARTS)]
    # where it has started, the mount lies in the root, by whichever name
    started = [done.out for done in found if "level=error" not in done.err]
    assert started == ["1\n"] * len(started)
    assert started


def test_race_for_the_directory_of_a_device(bundle: Bundle, pyoci: Pyoci, volume: Path, victim: Path) -> None:
    """CVE-2024-45310 for mknod(2), chown(2) and chmod(2). Fails with open_in_root() reduced to openat(2)."""
    bundle.mount("/volume", "bind", str(volume), ["bind"])
    bundle.linux["devices"] = [
        {"path": f"/volume/door/{i}", "type": "p", "uid": 1, "fileMode": 0o777} for i in range(20)
    ]
    with exchanging(volume / "door", volume / "link"):
        for _ in range(STARTS):
            pyoci.run(bundle, check=False)
            assert contents(victim) == []


def test_race_for_a_device_itself(bundle: Bundle, pyoci: Pyoci, volume: Path, victim: Path) -> None:
    """A device is exchanged for a link when it has been made: owner and mode must go to the device.

    Fails with open_device() (device.c) following links and not checking what it has opened.
    """
    target = victim / "target"
    target.write_text("")
    target.chmod(0o600)
    (volume / "switch").symlink_to(target)
    os.mkfifo(volume / "pipe")
    bundle.mount("/volume", "bind", str(volume), ["bind"])
    fifo = {"path": "/volume/pipe", "type": "p", "uid": 1, "fileMode": 0o777}
    bundle.linux["devices"] = [fifo] * 50
    with exchanging(volume / "pipe", volume / "switch"):
        for _ in range(STARTS):
            pyoci.run(bundle, check=False)
            assert (target.stat().st_uid, target.stat().st_mode & 0o777) == (0, 0o600)


def test_race_for_a_working_directory(bundle: Bundle, pyoci: Pyoci, volume: Path, victim: Path) -> None:
    """The working directory is made where it is missing. Fails with open_in_root() reduced to openat(2)."""
    bundle.mount("/volume", "bind", str(volume), ["bind"])
    with exchanging(volume / "door", volume / "link"):
        for i in range(STARTS):
            bundle.process["cwd"] = f"/volume/door/{i}/a/b/c/d"
            pyoci.run(bundle, check=False)
            assert contents(victim) == []


# --- links


@pytest.mark.parametrize("up", ["", "../../../../../../../../../.."])
def test_dev_is_a_link(bundle: Bundle, pyoci: Pyoci, victim: Path, up: str) -> None:
    """CVE-2026-41579: the image's /dev leads to the host, and devices, links and ptmx are made in it.

    Fails, for the absolute link, with open_in_root() reduced to openat(2); the root is mounted over "/", so that ".."
    never leaves it.
    """
    (victim / "ptmx").write_text("kept")
    for name in ("/dev/pts", "/dev/shm", "/dev/mqueue", "/dev"):
        bundle.unmount(name)
    (bundle.rootfs / "dev").rmdir()
    (bundle.rootfs / "dev").symlink_to(f"{up}{victim}")
    bundle.linux["devices"] = [{"path": "/dev/pipe", "type": "p"}]
    pyoci.run(bundle)
    assert contents(victim) == ["ptmx"]
    assert (victim / "ptmx").read_text() == "kept"
    assert (bundle.rootfs / str(victim)[1:] / "pipe").is_fifo()


def test_masked_path_leads_out(bundle: Bundle, pyoci: Pyoci, victim: Path) -> None:
    """A masked path is masked inside, and the host's path of that name stays as it is.

    Fails with open_in_root() reduced to openat(2).
    """
    (victim / "file").write_text("host")
    inside = bundle.rootfs / str(victim)[1:]
    inside.mkdir(parents=True)
    (inside / "file").write_text("image")
    (bundle.rootfs / "link").symlink_to(victim)
    bundle.linux["maskedPaths"] = ["/link/file"]
    assert pyoci.run(bundle.args("cat", str(victim / "file"))).out == ""
    assert (victim / "file").read_text() == "host"


def test_magic_links_are_not_followed(bundle: Bundle, pyoci: Pyoci, victim: Path) -> None:
    """A destination through /proc/self/fd/N or /proc/self/cwd would leave the root by a descriptor of init's.

    Fails with open_in_root() reduced to openat(2); each of its two flags alone would do.
    """
    for i, way in enumerate(("self/cwd", "self/root", *(f"self/fd/{n}" for n in range(3, 12)))):
        (bundle.rootfs / f"link{i}").symlink_to(f"/proc/{way}/..{victim}")
        bundle.mounts.append({"destination": f"/link{i}/new", "type": "tmpfs", "source": "tmpfs"})
        done = pyoci.run(bundle, check=False)
        bundle.mounts.pop()
        assert done.code != 0, way
        assert "/mounts/6" in done.err
    assert contents(victim) == []


# --- /dev/null, /dev/console, /dev/pts


@pytest.fixture
def image_dev(bundle: Bundle) -> Path:
    """/dev is a directory of the image."""
    for name in ("/dev", "/dev/shm", "/dev/mqueue", "/dev/pts"):
        bundle.unmount(name)
    return bundle.rootfs / "dev"


def test_null_of_the_image_masks_nothing(bundle: Bundle, pyoci: Pyoci, directory: Path) -> None:
    """CVE-2025-31133: what masks a file is the host's null device, not what the container's /dev/null leads to, which
    would bind a file of procfs writable over another.

    Fails with null_device() (mount.c) opening the root's /dev/null unchecked.
    """
    dev = directory / "dev"
    dev.mkdir()
    (dev / "null").symlink_to("/proc/sys/kernel/hostname")
    for name in ("/dev", "/dev/shm", "/dev/mqueue", "/dev/pts"):
        bundle.unmount(name)
    bundle.mount("/dev", "bind", str(dev), ["bind"])
    (bundle.rootfs / "secret").write_text("secret")
    bundle.linux["maskedPaths"] = ["/secret", "/proc/kcore", "/proc/keys"]
    done = pyoci.run(bundle.args("stat", "-c", "%F %t:%T", "/secret"))
    assert done.out == "character special file 1:3\n"


class Console:
    """The other end of --console-socket."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "console"
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.settimeout(10)
        self._listener.bind(str(self.path))
        self._listener.listen()
        self.master = -1

    def receive(self) -> None:
        """Takes the terminal's master."""
        connection, _ = self._listener.accept()
        with connection:
            _, ancillary, _, _ = connection.recvmsg(100, socket.CMSG_SPACE(4))
            self.master = array("i", ancillary[0][2])[0]

    def close(self) -> None:
        """Closes everything."""
        self._listener.close()
        if self.master >= 0:
            os.close(self.master)


def with_terminal(bundle: Bundle, pyoci: Pyoci, directory: Path) -> str:
    """Runs the bundle with a terminal; what it wrote there."""
    bundle.process["terminal"] = True
    console = Console(directory)
    try:
        container = pyoci.run_detached(bundle, "--console-socket", str(console.path))
        console.receive()
        container.wait()
        os.set_blocking(console.master, False)
        output = b""
        try:
            while data := os.read(console.master, 4096):
                output += data
        except OSError:
            pass
        return output.decode().replace("\r", "")
    finally:
        console.close()


@pytest.mark.parametrize("target", ["/proc/sys/kernel/hostname", "/etc/passwd", "/nowhere"])
def test_console_is_a_link(bundle: Bundle, pyoci: Pyoci, directory: Path, image_dev: Path, target: str) -> None:
    """CVE-2025-52565: the terminal is bound on /dev/console, not on what the image's link of that name leads to.

    Fails with make_in_root() in place of make_place() (device.c).
    """
    (image_dev / "pts").mkdir()
    bundle.mount("/dev/pts", "devpts", "devpts", ["newinstance", "ptmxmode=0666", "mode=0620"])
    (image_dev / "console").symlink_to(target)
    bundle.shell(f"stat -c %F /dev/console; [ ! -c {target} ] && echo untouched")
    assert with_terminal(bundle, pyoci, directory) == "character special file\nuntouched\n"
    assert not (bundle.rootfs / "nowhere").exists()


def test_terminals_of_the_image_are_not_used(bundle: Bundle, pyoci: Pyoci, directory: Path, image_dev: Path) -> None:
    """CVE-2025-52565: /dev/pts is no devpts but a directory of the image's, where ptmx works, since the kernel finds a
    devpts beside it, and the terminal's name is a link to what is to be bound, writable, on /dev/console.

    Fails without the check of the filesystem in open_terminal() (device.c). The terminal is never asked for by name.
    """
    (image_dev / "pts/pts").mkdir(parents=True)
    os.mknod(image_dev / "pts/ptmx", 0o020666, os.makedev(5, 2))
    (image_dev / "pts/0").symlink_to("/proc/sys/kernel/hostname")
    bundle.mount("/dev/pts/pts", "devpts", "devpts", ["newinstance", "ptmxmode=0666", "mode=0620"])
    with pytest.raises(AssertionError, match="exit code 1"):
        with_terminal(bundle, pyoci, directory)
    assert not (image_dev / "console").exists()


def test_terminal_works(bundle: Bundle, pyoci: Pyoci, directory: Path) -> None:
    """The way the tests above go, with nothing in it."""
    bundle.shell("tty; stat -c '%F %u' /dev/console")
    assert with_terminal(bundle, pyoci, directory).startswith("/dev/pts/0\ncharacter special file 0\n")
