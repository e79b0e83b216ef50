"""idmap and ridmap: where their mappings come from (config.md; crun(1) for those in the option; runc: idmap.bats)."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from containers import Bundle, Pyoci
from host_mounts import HostMounts

OVERFLOW = "65534:65534"


@pytest.fixture
def tree(host: HostMounts) -> Path:
    """A mount of the host with another below it; in both a file of 100:200."""

    top = host.tmpfs("top", "mode=755")
    (top / "below").mkdir()
    host.tmpfs("top/below", "mode=755")
    for path in (top / "file", top / "below/file"):
        path.write_text("")
        os.chown(path, 100, 200)
    return top


def owners(pyoci: Pyoci, bundle: Bundle) -> list[str]:
    return pyoci.run(bundle.args("stat", "-c", "%u:%g", "/mnt/file", "/mnt/below/file")).out.split()


@pytest.mark.parametrize(("option", "below"), [("idmap", OVERFLOW), ("ridmap", "100:200")])
@pytest.mark.parametrize("joined", [False, True])
def test_the_mappings_of_the_user_namespace(
    bundle: Bundle, pyoci: Pyoci, new_bundle: object, tree: Path, directory: Path, option: str, below: str, joined: bool
) -> None:
    """That of the container, whether it is new or joined."""
    bundle.user_namespace()
    if joined:
        other = Bundle(directory / "other").user_namespace().args("sleep", "1000")
        pid = pyoci.run_detached(other).pid
        bundle.namespace("user", f"/proc/{pid}/ns/user")
        del bundle.linux["uidMappings"], bundle.linux["gidMappings"]
    bundle.mount("/mnt", "bind", str(tree), ["rbind", option])
    assert owners(pyoci, bundle) == ["100:200", below]


def test_mappings_of_the_mount_in_a_user_namespace(bundle: Bundle, pyoci: Pyoci, tree: Path) -> None:
    bundle.user_namespace()
    bundle.mount("/mnt", "bind", str(tree), ["rbind", "ridmap"])
    bundle.mounts[-1]["uidMappings"] = [{"containerID": 100, "hostID": 100007, "size": 1}]
    bundle.mounts[-1]["gidMappings"] = [{"containerID": 200, "hostID": 100008, "size": 1}]
    assert owners(pyoci, bundle) == ["7:8", "7:8"]


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("idmap=uids=0-1000-10#100-5-1;gids=0-1000-10#200-6-1", ["5:6", "100:200"]),
        ("ridmap=uids=100-5-1;gids=200-6-1", ["5:6", "5:6"]),
        ("idmap=gids=150-1050-100;uids=50-950-100", ["1000:1100", "100:200"]),
    ],
)
def test_mappings_in_the_option(bundle: Bundle, pyoci: Pyoci, tree: Path, option: str, expected: list[str]) -> None:
    bundle.mount("/mnt", "bind", str(tree), ["rbind", option])
    assert owners(pyoci, bundle) == expected


def test_mappings_in_the_option_that_are_relative(bundle: Bundle, pyoci: Pyoci, tree: Path) -> None:
    """With @ the second number is an id of the container's user namespace."""
    bundle.user_namespace()
    bundle.mount("/mnt", "bind", str(tree), ["rbind", "ridmap=uids=@100-5-1;gids=@200-6-1"])
    assert owners(pyoci, bundle) == ["5:6", "5:6"]


@pytest.mark.parametrize(
    ("option", "why"),
    [
        ("idmap=uids=0-1", "must be idmap"),
        ("idmap=uids=0-1-x;gids=0-0-1", "must be idmap"),
        ("idmap=users=0-0-1", "must be idmap"),
        ("idmap=uids=0-0-1", "both uids and gids"),
        ("ridmap=uids=0-0-0;gids=0-0-1", "at least one id"),
        ("idmap=uids=@0-5-1;gids=0-0-1", "id 5"),
        ("idmap=uids=0-0-5#3-9-1;gids=0-0-1", "overlaps"),
    ],
)
def test_mappings_that_are_none(bundle: Bundle, pyoci: Pyoci, tree: Path, option: str, why: str) -> None:
    bundle.mount("/mnt", "bind", str(tree), ["rbind", option])
    done = pyoci.run(bundle, check=False)
    assert done.code == 1
    assert "/mounts/6/options/1" in done.err
    assert why in done.err
    assert done.err.count("\n") == 1


def test_the_same_mappings_many_times(bundle: Bundle, pyoci: Pyoci, tree: Path) -> None:
    """A user namespace is made once for all of them."""
    for i in range(30):
        bundle.mount(f"/mnt/{i}", "bind", str(tree), ["bind", "idmap=uids=100-5-1;gids=200-6-1"])
    assert set(pyoci.run(bundle.shell("stat -c %u:%g /mnt/*/file")).out.split()) == {"5:6"}


def test_a_filesystem_without_id_mapped_mounts(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.mount("/mnt", "bind", "/sys/kernel", ["bind", "idmap=uids=0-5-1;gids=0-6-1"])
    done = pyoci.run(bundle, check=False)
    assert done.code == 1
    assert "has its filesystem" in done.err or "does its filesystem have no" in done.err
    assert "/mounts/6/source" in done.err


def test_a_user_namespace_that_nobody_is_in(bundle: Bundle, pyoci: Pyoci, tree: Path, directory: Path) -> None:
    """Kept by a mount of it, as engines do; with a source in the root that another mount shows (userns.bats)."""

    kept = directory / "userns"
    kept.touch()
    other = pyoci.run_detached(Bundle(directory / "other").user_namespace().args("sleep", "1000"))
    subprocess.run(["mount", "--bind", f"/proc/{other.pid}/ns/user", kept], check=True)
    try:
        other.delete(force=True)
        bundle.user_namespace().namespace("user", str(kept))
        del bundle.linux["uidMappings"], bundle.linux["gidMappings"]
        bundle.mount("/mnt", "bind", str(tree), ["rbind", "ridmap"])
        bundle.mount("/again", "bind", "rootfs/mnt", ["rbind", "ro"])
        bundle.args("stat", "-c", "%u:%g", "/mnt/file", "/mnt/below/file", "/again/below/file")
        assert pyoci.run(bundle).out.split() == ["100:200"] * 3
    finally:
        subprocess.run(["umount", kept], check=True)
