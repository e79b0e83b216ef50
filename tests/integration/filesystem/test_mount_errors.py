"""What a mount that fails is told with: source, destination, reason and place in config.json, never a descriptor."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from containers import PATIENCE, Bundle, Pyoci


def failure(bundle: Bundle, pyoci: Pyoci) -> str:
    """The message, without its frame."""
    done = pyoci.run(bundle, check=False)
    assert done.code == 1
    (message,) = re.findall(r'msg="pyoci run failed: (.*)"$', done.err, re.MULTILINE)
    assert "tree(" not in message
    assert " -1 " not in message
    return str(message)


@pytest.fixture(params=["by init", "by the runtime"])
def opened(bundle: Bundle, request: pytest.FixtureRequest) -> Bundle:
    """A bundle whose bind sources are opened by init, or by the runtime."""
    return bundle if request.param == "by init" else bundle.user_namespace()


@pytest.mark.parametrize("kind", ["directory on a file", "file on a directory"])
def test_bind_mount(opened: Bundle, pyoci: Pyoci, directory: Path, kind: str) -> None:
    (directory / "source").mkdir()
    if kind == "directory on a file":
        source, destination = directory / "source", "/etc/passwd"
        why = "the destination is no directory"
    else:
        source, destination = opened.path / "config.json", "/mnt"
        why = "the destination is a directory, and the source is a file"
    opened.mount(destination, "bind", str(source), ["bind"])
    assert failure(opened, pyoci) == f"cannot mount '{source}' on '{destination}' ({why}) (/mounts/6): Not a directory"


def test_a_type_that_is_no_filesystem(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.mount("/mnt", "tmpsf", "tmpfs", [])
    hint = "/proc/filesystems lists the types that the kernel has"
    assert failure(bundle, pyoci) == f"cannot mount 'tmpsf' on '/mnt' ({hint}) (/mounts/6): No such device"


def test_missing_source(opened: Bundle, pyoci: Pyoci) -> None:
    opened.mount("/mnt", "bind", "/no/such/source", ["bind"])
    assert failure(opened, pyoci) == "cannot open /no/such/source (/mounts/6/source): No such file or directory"


def test_bind_mount_inside_proc(opened: Bundle, pyoci: Pyoci, directory: Path) -> None:
    (directory / "source").mkdir()
    (opened.rootfs / "data").symlink_to("/proc/self/attr")
    opened.mount("/data", "bind", str(directory / "source"), ["rbind"])
    why = "the destination lies inside procfs"
    expected = f"cannot mount '{directory}/source' on '/data' ({why}) (/mounts/6): Operation not permitted"
    assert failure(opened, pyoci) == expected


def test_filesystem_on_a_file(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.mount("/etc/passwd", "tmpfs", "tmpfs")
    why = "the destination is no directory"
    assert failure(bundle, pyoci) == f"cannot mount 'tmpfs' on '/etc/passwd' ({why}) (/mounts/6): Not a directory"


def test_filesystem_of_a_device(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.mount("/mnt", "ext4", "/dev/no-such-disk")
    message = failure(bundle, pyoci)
    assert message.startswith("cannot mount 'ext4' of '/dev/no-such-disk' on '/mnt' (")
    assert message.endswith("(/mounts/6): No such file or directory")


@pytest.mark.parametrize("options", [["remount", "ro"], ["remount", "bind", "ro"]])
def test_remount(bundle: Bundle, pyoci: Pyoci, options: list[str]) -> None:
    bundle.mount("/etc", "", "/etc", options)
    why = "there is no mount"
    assert failure(bundle, pyoci) == f"cannot change the mount at '/etc' ({why}) (/mounts/6): Invalid argument"


def test_mounts_that_are_needed_later_do_not_add_up(bundle: Bundle, pyoci: Pyoci, directory: Path) -> None:
    """They are kept open no longer than there are operations on paths in them (native/init/kept.c)."""
    (directory / "source").mkdir()
    for i in range(200):
        bundle.mount(f"/mnt/{i}", "bind", str(directory / "source"), ["bind", "rprivate", "rslave"])
    bundle.args("grep", "-c", " /mnt/", "/proc/self/mountinfo").save()
    command = pyoci.command("run", "--bundle", str(bundle.path), pyoci.new_id())
    done = subprocess.run(["prlimit", "--nofile=64", *command], capture_output=True, text=True, timeout=PATIENCE)
    assert done.stdout == "200\n", done.stderr
