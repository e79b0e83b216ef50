"""A mount whose destination is / becomes the root, as with crun and runc 1.1 (crun: test_mounts.py)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from containers import Bundle, Pyoci, make_rootfs
from mountinfo import parse

both = pytest.mark.parametrize("user_namespace", [False, True])


@pytest.fixture
def other(directory: Path) -> Path:
    """Another root filesystem, with a file that names it."""
    path = directory / "other"
    make_rootfs(path)
    (path / "mark").write_text("other")
    return path


@both
@pytest.mark.parametrize("first", [True, False])
def test_bind(bundle: Bundle, pyoci: Pyoci, other: Path, user_namespace: bool, first: bool) -> None:
    """Listed as the first: the mounts that follow are in it. As the last: it covers them."""
    if user_namespace:
        bundle.user_namespace()
        for base, directories, files in os.walk(other):
            for name in (".", *directories, *files):
                os.chown(os.path.join(base, name), 100000, 100000, follow_symlinks=False)
    bundle.mounts.insert(
        0 if first else len(bundle.mounts),
        {"destination": "/", "type": "bind", "source": str(other), "options": ["bind", "nosuid"]},
    )
    if not first:
        bundle.mount("/proc", "proc", "proc")
    mounts = parse(pyoci.run(bundle.shell("cat /mark >&2; cat /proc/self/mountinfo")).out)
    assert pyoci.run(bundle.args("cat", "/mark")).out == "other"
    assert "nosuid" in mounts["/"].options
    assert mounts["/"].root.endswith("/other")
    assert ("/sys" in mounts) == first
    assert not (other / "dev/null").exists() or not first


def test_the_destination_may_be_written_otherwise(bundle: Bundle, pyoci: Pyoci, other: Path) -> None:
    bundle.mounts.insert(0, {"destination": "/mnt/..", "type": "bind", "source": str(other), "options": ["bind"]})
    assert pyoci.run(bundle.args("cat", "/mark")).out == "other"


@both
def test_tmpfs_with_the_contents_of_the_root(bundle: Bundle, pyoci: Pyoci, user_namespace: bool) -> None:
    """What is written there stays there."""
    if user_namespace:
        bundle.user_namespace()
    bundle.mounts.insert(0, {"destination": "/", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup"]})
    done = pyoci.run(bundle.shell("echo x > /new; stat -f -c %T /; cat /new; cat /etc/hostname 2>&1 || true"))
    assert done.out.startswith("tmpfs\nx\n")
    assert not (bundle.rootfs / "new").exists()


def test_read_only(bundle: Bundle, pyoci: Pyoci, other: Path) -> None:
    """root.readonly, masked and read-only paths are about what the root is then."""
    bundle.mounts.insert(0, {"destination": "/", "type": "bind", "source": str(other), "options": ["bind"]})
    bundle.config["root"]["readonly"] = True
    bundle.linux["maskedPaths"] = ["/mark"]
    done = pyoci.run(bundle.shell("cat /mark; touch /x || echo refused"))
    assert done.out == "refused\n"
    assert (other / "mark").read_text() == "other"


def test_read_only_by_its_options(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.mounts.insert(0, {"destination": "/", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup", "ro"]})
    assert pyoci.run(bundle.shell("touch /x || echo refused")).out == "refused\n"


@pytest.mark.parametrize("options", [(), ("--no-pivot",)])
def test_nothing_of_the_rootfs_is_left(bundle: Bundle, pyoci: Pyoci, other: Path, options: tuple[str, ...]) -> None:
    """The rootfs below cannot be had by unmounting."""
    bundle.mounts.insert(0, {"destination": "/", "type": "bind", "source": str(other), "options": ["bind"]})
    bundle.capabilities("CAP_SYS_ADMIN")
    done = pyoci.run(bundle.shell("umount / 2>/dev/null || true; cat /mark; ls -d /mark"), *options)
    assert done.out == "other/mark\n"
    points = [line.split()[4] for line in pyoci.run(bundle.args("cat", "/proc/self/mountinfo")).out.splitlines()]
    assert points.count("/") == 1


def test_a_terminal_in_it(bundle: Bundle, pyoci: Pyoci, other: Path) -> None:
    """The console's place is in the new root, too."""
    bundle.mounts.insert(0, {"destination": "/", "type": "bind", "source": str(other), "options": ["bind"]})
    bundle.mount("/dev/mine", "tmpfs", "tmpfs")
    assert pyoci.run(bundle.shell("ls -d /dev/mine /dev/null /dev/pts/ptmx")).out.split() == [
        "/dev/mine",
        "/dev/null",
        "/dev/pts/ptmx",
    ]


@both
@pytest.mark.parametrize("target", ["/", "..", "/mnt/../.."])
def test_not_where_a_link_of_the_image_says_so(
    bundle: Bundle, pyoci: Pyoci, other: Path, target: str, user_namespace: bool
) -> None:
    (bundle.rootfs / "data").symlink_to(target)
    if user_namespace:
        bundle.user_namespace()
    bundle.mount("/data", "bind", str(other), ["bind"])
    done = pyoci.run(bundle, check=False)
    assert done.code == 1
    assert "/mounts/6" in done.err
    assert "leads to the root itself" in done.err
