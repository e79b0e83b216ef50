"""All of config.md's table, Linux mount options: each seen from inside, at the mount and at one below it."""

from __future__ import annotations

import json

import pytest
from containers import Bundle, Pyoci
from host_mounts import HostMounts, mount
from mountinfo import Mount, parse

# option: flag that it sets
SETS = {
    "ro": "ro",
    "nosuid": "nosuid",
    "nodev": "nodev",
    "noexec": "noexec",
    "noatime": "noatime",
    "nodiratime": "nodiratime",
    "nosymfollow": "nosymfollow",
}
# option: flag that it takes away
CLEARS = {
    "rw": "ro",
    "suid": "nosuid",
    "dev": "nodev",
    "exec": "noexec",
    "atime": "noatime",
    "diratime": "nodiratime",
    "symfollow": "nosymfollow",
    "relatime": "noatime",
    "strictatime": "relatime",
}
# option: what it leaves as it is; relatime is what the kernel does unless told otherwise
NO_OPPOSITE = {"norelatime": "relatime", "nostrictatime": "relatime"}
# option: tags of the mount, and of the one below it; by default both are slaves
PROPAGATION = {
    "private": (set(), {"master"}),
    "rprivate": (set(), set()),
    "slave": ({"master"}, {"master"}),
    "rslave": ({"master"}, {"master"}),
    "shared": ({"master", "shared"}, {"master"}),
    "rshared": ({"master", "shared"}, {"master", "shared"}),
    "unbindable": ({"unbindable"}, {"master"}),
    "runbindable": ({"unbindable"}, {"unbindable"}),
}
# option: those before it, flags of the filesystem that are there then, flags that are not
SUPERBLOCK = {
    "sync": ([], {"sync"}, set()),
    "async": (["sync"], set(), {"sync"}),
    "dirsync": ([], {"dirsync"}, set()),
    "lazytime": ([], {"lazytime"}, set()),
    "nolazytime": (["lazytime"], set(), {"lazytime"}),
}
# without effect on Linux 5.15 and later, or on what is mounted
ACCEPTED = ("defaults", "iversion", "noiversion", "loud", "silent", "mand", "nomand")
ELSEWHERE = ("bind", "rbind", "remount", "tmpcopyup", "idmap", "ridmap")
MAPPING = [{"containerID": 0, "hostID": 5000, "size": 10}]


def tree(host: HostMounts, flags: str = "rw", propagation: str = "private") -> str:
    """A mount with another below it, both with these flags."""
    top = host.tmpfs("source", propagation=propagation)
    (top / "below").mkdir()
    host.tmpfs("source/below", propagation=propagation)
    for point in (top / "below", top):
        mount("-o", f"remount,bind,{flags}", point)
    return str(top)


def mounts_with(pyoci: Pyoci, bundle: Bundle, source: str, *options: str) -> dict[str, Mount]:
    bundle.mount("/mnt", "bind", source, options)
    return parse(pyoci.run(bundle.args("cat", "/proc/self/mountinfo")).out)


def test_the_table_is_whole(pyoci: Pyoci) -> None:
    """`features` has the same."""
    both = [*SETS, *CLEARS, *NO_OPPOSITE]
    here = {*both, *(f"r{option}" for option in both), *PROPAGATION, *SUPERBLOCK, *ACCEPTED, *ELSEWHERE}
    assert here <= set(json.loads(pyoci("features").out)["mountOptions"])


@pytest.mark.parametrize("recursive", ["", "r"])
@pytest.mark.parametrize("option", SETS)
def test_sets(bundle: Bundle, pyoci: Pyoci, host: HostMounts, option: str, recursive: str) -> None:
    mounts = mounts_with(pyoci, bundle, tree(host), "rbind", recursive + option)
    assert SETS[option] in mounts["/mnt"].options
    assert (SETS[option] in mounts["/mnt/below"].options) == bool(recursive)


@pytest.mark.parametrize("recursive", ["", "r"])
@pytest.mark.parametrize("option", CLEARS)
def test_clears(bundle: Bundle, pyoci: Pyoci, host: HostMounts, option: str, recursive: str) -> None:
    mounts = mounts_with(pyoci, bundle, tree(host, CLEARS[option]), "rbind", recursive + option)
    assert CLEARS[option] not in mounts["/mnt"].options
    assert (CLEARS[option] in mounts["/mnt/below"].options) != bool(recursive)


@pytest.mark.parametrize("recursive", ["", "r"])
@pytest.mark.parametrize("option", NO_OPPOSITE)
def test_takes_nothing_away(bundle: Bundle, pyoci: Pyoci, host: HostMounts, option: str, recursive: str) -> None:
    mounts = mounts_with(pyoci, bundle, tree(host, NO_OPPOSITE[option]), "rbind", recursive + option)
    assert NO_OPPOSITE[option] in mounts["/mnt"].options & mounts["/mnt/below"].options


@pytest.mark.parametrize("recursive", ["", "r"])
def test_nostrictatime(bundle: Bundle, pyoci: Pyoci, host: HostMounts, recursive: str) -> None:
    mounts = mounts_with(pyoci, bundle, tree(host, "strictatime"), "rbind", f"{recursive}nostrictatime")
    assert "relatime" in mounts["/mnt"].options
    assert ("relatime" in mounts["/mnt/below"].options) == bool(recursive)


@pytest.mark.parametrize("option", PROPAGATION)
def test_propagation(bundle: Bundle, pyoci: Pyoci, host: HostMounts, option: str) -> None:
    mounts = mounts_with(pyoci, bundle, tree(host, propagation="shared"), "rbind", option)
    assert (mounts["/mnt"].propagation_kinds, mounts["/mnt/below"].propagation_kinds) == PROPAGATION[option]


@pytest.mark.parametrize("option", SUPERBLOCK)
def test_of_the_filesystem(bundle: Bundle, pyoci: Pyoci, option: str) -> None:
    before, there, gone = SUPERBLOCK[option]
    bundle.mount("/mnt", "tmpfs", "tmpfs", [*before, option])
    found = parse(pyoci.run(bundle.args("cat", "/proc/self/mountinfo")).out)["/mnt"].superblock
    assert there <= found
    assert not gone & found


@pytest.mark.parametrize("option", ACCEPTED)
def test_accepted(bundle: Bundle, pyoci: Pyoci, host: HostMounts, option: str) -> None:
    source = tree(host, "nosuid")
    bundle.mount("/tmp", "tmpfs", "tmpfs", [option])
    mounts = mounts_with(pyoci, bundle, source, "rbind", option)
    assert mounts["/tmp"].type == "tmpfs"
    assert "rw" in mounts["/mnt"].options


@pytest.mark.parametrize(("option", "below"), [("bind", False), ("rbind", True)])
def test_bind(bundle: Bundle, pyoci: Pyoci, host: HostMounts, option: str, below: bool) -> None:
    assert ("/mnt/below" in mounts_with(pyoci, bundle, tree(host), option)) == below


def test_remount(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.mount("/tmp", "tmpfs", "tmpfs").mount("/tmp", "tmpfs", "tmpfs", ["remount", "noexec"])
    assert "noexec" in parse(pyoci.run(bundle.args("cat", "/proc/self/mountinfo")).out)["/tmp"].options


def test_tmpcopyup(bundle: Bundle, pyoci: Pyoci) -> None:
    (bundle.rootfs / "mnt/file").write_text("content")
    bundle.mount("/mnt", "tmpfs", "tmpfs", ["tmpcopyup"])
    assert pyoci.run(bundle.shell("cat /mnt/file; stat -f -c %T /mnt")).out == "contenttmpfs\n"


@pytest.mark.parametrize(("option", "below"), [("idmap", "0"), ("ridmap", "5000")])
def test_idmap(bundle: Bundle, pyoci: Pyoci, host: HostMounts, option: str, below: str) -> None:
    bundle.mount("/mnt", "bind", tree(host), ["rbind", option])
    bundle.mounts[-1] |= {"uidMappings": MAPPING, "gidMappings": MAPPING}
    assert pyoci.run(bundle.args("stat", "-c", "%u", "/mnt", "/mnt/below")).out.split() == ["5000", below]
