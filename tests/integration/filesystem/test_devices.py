"""linux.devices, default devices and links (config-linux.md)."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from containers import Bundle, Pyoci

DEFAULTS = {"null": 3, "zero": 5, "full": 7, "random": 8, "urandom": 9}
LINKS = {
    "/dev/fd": "/proc/self/fd",
    "/dev/stdin": "/proc/self/fd/0",
    "/dev/stdout": "/proc/self/fd/1",
    "/dev/stderr": "/proc/self/fd/2",
    "/dev/ptmx": "pts/ptmx",
}


def device(bundle: Bundle, **properties: Any) -> None:
    bundle.linux.setdefault("devices", []).append(properties)


def nodes(pyoci: Pyoci, bundle: Bundle, *paths: str) -> list[str]:
    """Kind, numbers (hexadecimal), mode and owner of each."""
    return pyoci.run(bundle.args("stat", "-c", "%F %t:%T %a %u:%g", *paths)).out.splitlines()


def test_default_devices(bundle: Bundle, pyoci: Pyoci) -> None:
    paths = [f"/dev/{name}" for name in DEFAULTS]
    expected = [f"character special file 1:{minor:x} 666 0:0" for minor in DEFAULTS.values()]
    assert nodes(pyoci, bundle, *paths, "/dev/tty") == [*expected, "character special file 5:0 666 0:0"]


def test_default_devices_work(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.shell(
        "echo x > /dev/null; head -c 5 /dev/zero | wc -c; head -c 5 /dev/urandom | wc -c; echo x > /dev/full || true"
    )
    done = pyoci.run(bundle)
    assert done.out.split() == ["5", "5"]
    assert "No space left" in done.err


def test_default_links(bundle: Bundle, pyoci: Pyoci) -> None:
    out = pyoci.run(bundle.shell(f"for f in {' '.join(LINKS)}; do readlink $f; done")).out.split()
    assert dict(zip(LINKS, out, strict=True)) == LINKS
    assert pyoci.run(bundle.shell("echo hi > /dev/stdout")).out == "hi\n"


def test_core_link_only_with_kcore(bundle: Bundle, pyoci: Pyoci) -> None:
    """As with runc: it is there where the kernel has /proc/kcore."""
    done = pyoci.run(bundle.args("readlink", "/dev/core"), check=False)
    assert (done.out == "/proc/kcore\n") == Path("/proc/kcore").exists()


def test_nothing_else_is_in_dev(bundle: Bundle, pyoci: Pyoci) -> None:
    found = set(pyoci.run(bundle.args("ls", "/dev")).out.split()) - {"core"}
    links = {link.removeprefix("/dev/") for link in LINKS}
    assert found == {*DEFAULTS, *links, "tty", "mqueue", "pts", "shm"}


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({"type": "c", "major": 10, "minor": 229}, "character special file a:e5 666 0:0"),
        ({"type": "u", "major": 10, "minor": 229}, "character special file a:e5 666 0:0"),
        ({"type": "b", "major": 8, "minor": 0, "fileMode": 0o660, "gid": 6}, "block special file 8:0 660 0:6"),
        ({"type": "p", "fileMode": 0o620, "uid": 3, "gid": 4}, "fifo 0:0 620 3:4"),
        ({"type": "p", "major": 8, "minor": 666}, "fifo 0:0 666 0:0"),
        ({"type": "c", "major": 4000, "minor": 300000, "fileMode": 0o600}, "character special file fa0:493e0 600 0:0"),
        (
            {"type": "c", "major": 1, "minor": 3, "fileMode": 0o6755, "uid": 70000},
            "character special file 1:3 6755 70000:0",
        ),
    ],
)
def test_configured_device(bundle: Bundle, pyoci: Pyoci, properties: dict[str, Any], expected: str) -> None:
    device(bundle, path="/dev/deep/er/thing", **properties)
    assert nodes(pyoci, bundle, "/dev/deep/er/thing") == [expected]


def test_device_outside_of_dev(bundle: Bundle, pyoci: Pyoci) -> None:
    device(bundle, path="/srv/zero", type="c", major=1, minor=5)
    assert nodes(pyoci, bundle, "/srv/zero") == ["character special file 1:5 666 0:0"]


def test_configured_default_device(bundle: Bundle, pyoci: Pyoci) -> None:
    """A configuration may say how a default device is to be."""
    device(bundle, path="/dev/null", type="c", major=1, minor=3, fileMode=0o600, uid=5, gid=6)
    assert nodes(pyoci, bundle, "/dev/null") == ["character special file 1:3 600 5:6"]


@pytest.fixture
def plain_dev(bundle: Bundle) -> Path:
    """/dev is the image's own directory."""
    for name in ("/dev", "/dev/pts", "/dev/shm", "/dev/mqueue"):
        bundle.unmount(name)
    return bundle.rootfs / "dev"


@pytest.mark.parametrize("kind", ["file", "link", "dangling", "fifo", "other device"])
def test_impostor_in_the_image_is_replaced(bundle: Bundle, pyoci: Pyoci, plain_dev: Path, kind: str) -> None:
    """/dev/null of an image may be anything, and what is written to it would go there (CVE-2025-31133)."""
    target = bundle.rootfs / "target"
    target.write_text("untouched")
    null = plain_dev / "null"
    if kind == "file":
        null.write_text("bogus")
    elif kind in ("link", "dangling"):
        null.symlink_to("/target" if kind == "link" else "/nowhere")
    elif kind == "fifo":
        os.mkfifo(null)
    else:
        os.mknod(null, 0o020666, os.makedev(1, 5))
    assert nodes(pyoci, bundle, "/dev/null") == ["character special file 1:3 666 0:0"]
    assert target.read_text() == "untouched"
    assert not (bundle.rootfs / "nowhere").exists()


def test_device_in_the_image_is_kept_and_corrected(bundle: Bundle, pyoci: Pyoci, plain_dev: Path) -> None:
    os.mknod(plain_dev / "null", 0o020600, os.makedev(1, 3))
    inode = (plain_dev / "null").stat().st_ino
    assert nodes(pyoci, bundle, "/dev/null") == ["character special file 1:3 666 0:0"]
    assert (plain_dev / "null").stat().st_ino == inode


def test_directory_in_place_of_a_device(bundle: Bundle, pyoci: Pyoci, plain_dev: Path) -> None:
    (plain_dev / "null").mkdir()
    done = pyoci.run(bundle, check=False)
    assert done.code != 0
    assert "/dev/null" in done.err


@pytest.mark.parametrize("kind", ["file", "other device"])
def test_other_file_in_place_of_a_configured_device(bundle: Bundle, pyoci: Pyoci, plain_dev: Path, kind: str) -> None:
    """An error (config-linux.md, Devices: MUST)."""
    if kind == "file":
        (plain_dev / "thing").write_text("kept")
    else:
        os.mknod(plain_dev / "thing", 0o020666, os.makedev(1, 3))
    device(bundle, path="/dev/thing", type="c", major=1, minor=5)
    done = pyoci.run(bundle, check=False)
    assert done.code != 0
    assert "/linux/devices/0" in done.err
    assert "there is another file" in done.err
    assert (plain_dev / "thing").exists()


def test_link_in_the_image_is_kept(bundle: Bundle, pyoci: Pyoci, plain_dev: Path) -> None:
    (plain_dev / "stdin").symlink_to("/elsewhere")
    assert pyoci.run(bundle.args("readlink", "/dev/stdin")).out == "/elsewhere\n"


def test_second_start_of_the_same_rootfs(bundle: Bundle, pyoci: Pyoci, plain_dev: Path) -> None:
    """The nodes are there already."""
    device(bundle, path="/dev/thing", type="p")
    pyoci.run(bundle)
    pyoci.run(bundle)


@pytest.mark.parametrize("options", [["bind"], ["rbind", "ro"]])
def test_dev_of_the_host_is_left_alone(bundle: Bundle, pyoci: Pyoci, directory: Path, options: list[str]) -> None:
    """Nothing is made in a /dev that is bound."""
    (directory / "dev").mkdir()
    for name in ("/dev", "/dev/pts", "/dev/shm", "/dev/mqueue"):
        bundle.unmount(name)
    bundle.mount("/dev", "bind", str(directory / "dev"), options)
    device(bundle, path="/dev/thing", type="p")
    pyoci.run(bundle)
    assert list((directory / "dev").iterdir()) == []


def test_device_that_is_not_allowed(bundle: Bundle, pyoci: Pyoci) -> None:
    """The device cgroup decides: zero is among those always allowed, mem is not."""
    bundle.linux["resources"] = {"devices": [{"allow": False, "access": "rwm"}]}
    device(bundle, path="/dev/mem", type="c", major=1, minor=1)
    done = pyoci.run(bundle.shell("head -c 1 /dev/zero | wc -c; head -c 1 /dev/mem || true"))
    assert done.out.strip() == "1"
    assert "Operation not permitted" in done.err


# --- in a user namespace nobody can make devices: the runtime does, in a tmpfs that nobody else sees


def test_devices_in_a_user_namespace(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.user_namespace()
    out = nodes(pyoci, bundle, *(f"/dev/{name}" for name in DEFAULTS), "/dev/tty")
    expected = [f"character special file 1:{minor:x} 666" for minor in DEFAULTS.values()]
    assert [line.rpartition(" ")[0] for line in out] == [*expected, "character special file 5:0 666"]
    assert pyoci.run(bundle.shell("echo x > /dev/null; head -c 5 /dev/zero | wc -c")).out == "5\n"


@pytest.mark.parametrize("kind", ["file", "link", "dangling"])
def test_impostor_in_a_user_namespace(bundle: Bundle, pyoci: Pyoci, plain_dev: Path, kind: str) -> None:
    """The host's device is bound over it, and not over what a link leads to."""
    (bundle.rootfs / "target").write_text("untouched")
    if kind == "file":
        (plain_dev / "null").write_text("bogus")
    else:
        (plain_dev / "null").symlink_to("/target" if kind == "link" else "/nowhere")
    bundle.user_namespace()
    assert nodes(pyoci, bundle, "/dev/null", "/target")[0].startswith("character special file 1:3 666")
    assert nodes(pyoci, bundle, "/target")[0].startswith("regular file")
    assert not (bundle.rootfs / "nowhere").exists()


def test_configured_devices_in_a_user_namespace(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.user_namespace()
    device(bundle, path="/dev/full", type="c", major=1, minor=7)
    device(bundle, path="/dev/queue", type="p", fileMode=0o600)
    out = nodes(pyoci, bundle, "/dev/full", "/dev/queue")
    assert out[0].startswith("character special file 1:7 666")
    assert out[1] == "fifo 0:0 600 0:0"


THINGS: list[tuple[dict[str, Any], str]] = [
    ({"path": "/dev/no-such-device", "type": "c", "major": 1, "minor": 7}, "character special file 1:7 666 0:0"),
    (
        {"path": "/dev/deep/er", "type": "b", "major": 7, "minor": 300, "fileMode": 0o640, "uid": 3, "gid": 6},
        "block special file 7:12c 640 3:6",
    ),
    (
        {"path": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o600, "uid": 5, "gid": 6},
        "character special file 1:3 600 5:6",
    ),
    (
        {"path": "/srv/tty", "type": "u", "major": 5, "minor": 0, "fileMode": 0o6711},
        "character special file 5:0 6711 0:0",
    ),
    ({"path": "/dev/pipe", "type": "p", "fileMode": 0o620, "uid": 1000}, "fifo 0:0 620 1000:0"),
    # whom the namespace does not know is nobody, as with crun
    ({"path": "/dev/odd", "type": "c", "major": 1, "minor": 5, "uid": 70000}, "character special file 1:5 666 65534:0"),
]


def test_all_kinds_in_a_user_namespace(bundle: Bundle, pyoci: Pyoci) -> None:
    """Whether the host has them or not, with mode and owner; and nothing of it is to be seen on the host."""
    before = sorted(os.listdir("/dev"))
    for properties, _ in THINGS:
        device(bundle, **properties)
    bundle.user_namespace().capabilities("CAP_DAC_OVERRIDE")
    paths = [properties["path"] for properties, _ in THINGS]
    assert nodes(pyoci, bundle, *paths) == [expected for _, expected in THINGS]
    assert nodes(pyoci, bundle, "/dev/zero", "/dev/tty") == [
        "character special file 1:5 666 0:0",
        "character special file 5:0 666 0:0",
    ]
    assert sorted(os.listdir("/dev")) == before
    assert pyoci.run(bundle.shell("head -c 3 /dev/odd | wc -c; echo x > /dev/null")).out == "3\n"


def test_all_kinds_in_a_user_namespace_that_is_joined(
    bundle: Bundle, pyoci: Pyoci, new_bundle: Callable[[str], Bundle]
) -> None:
    """Its mappings are not in the configuration."""
    pod = pyoci.run_detached(new_bundle("pod").user_namespace().args("sleep", "1000"))
    for properties, _ in THINGS:
        device(bundle, **properties)
    bundle.user_namespace().namespace("user", f"/proc/{pod.pid}/ns/user").capabilities("CAP_DAC_OVERRIDE")
    del bundle.linux["uidMappings"], bundle.linux["gidMappings"]
    paths = [properties["path"] for properties, _ in THINGS]
    assert nodes(pyoci, bundle, *paths) == [expected for _, expected in THINGS]


def test_devices_in_a_user_namespace_are_its_own(bundle: Bundle, pyoci: Pyoci) -> None:
    """As without one, the container may change what was made for it; and the directory that they lie in is not left
    anywhere."""
    bundle.user_namespace().capabilities("CAP_FOWNER")
    bundle.shell("chmod 600 /dev/zero; stat -c %a /dev/zero; grep -c ' /dev/zero ' /proc/self/mountinfo; ls /")
    mode, count, *root = pyoci.run(bundle).out.split()
    assert (mode, count) == ("600", "1")
    assert sorted(root) == sorted(os.listdir(bundle.rootfs))
    assert Path("/dev/zero").stat().st_mode & 0o777 == 0o666
    points = [line.split()[4] for line in pyoci.run(bundle.args("cat", "/proc/self/mountinfo")).out.splitlines()]
    assert points.count("/") == 1


@pytest.mark.parametrize("number", [7, None])
def test_devices_of_a_runtime_that_may_make_none(bundle: Bundle, pyoci: Pyoci, number: int | None) -> None:
    """Root of a user namespace binds the host's, if it has them, and if they are what they should be."""
    device(bundle, path="/dev/full" if number else "/dev/no-such-device", type="c", major=1, minor=number or 7)
    bundle.unmount("/dev/pts").args("stat", "-c", "%F %t:%T", "/dev/full", "/dev/zero").save()
    argv = ["unshare", "-Urm", *pyoci.command("run", "--bundle", str(bundle.path), pyoci.new_id())]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
    if number:
        assert done.stdout.splitlines() == ["character special file 1:7", "character special file 1:5"], done.stderr
    else:
        assert done.returncode != 0
        assert "/dev/no-such-device, and devices cannot be made here" in done.stderr
        assert "/linux/devices/0" in done.stderr


def test_another_device_of_the_host_is_not_bound(bundle: Bundle, pyoci: Pyoci) -> None:
    """By that name the host has something else."""
    device(bundle, path="/dev/full", type="c", major=1, minor=11)
    bundle.save()
    argv = ["unshare", "-Urm", *pyoci.command("run", "--bundle", str(bundle.path), pyoci.new_id())]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
    assert done.returncode != 0
    assert "/dev/full is another device" in done.stderr
    assert "/linux/devices/0" in done.stderr
