"""The flags of bind mounts whose source has some itself (runc: mounts_sshfs.bats)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from containers import Bundle, Pyoci
from host_mounts import HostMounts, mount
from mountinfo import parse

FLAGS = {"ro", "nosuid", "nodev", "noexec", "nosymfollow", "noatime", "nodiratime", "relatime"}
Flagged = Callable[[str], Path]


@pytest.fixture
def flagged(host: HostMounts) -> Flagged:
    """Makes a mount of the host with these flags, of the mount and not of its filesystem, that anybody may write to."""

    def make(flags: str) -> Path:
        point = host.tmpfs("source", "rw,mode=777")
        mount("-o", f"remount,bind,{flags}", point)
        return point

    return make


def flags_of(pyoci: Pyoci, bundle: Bundle, source: Path, options: str) -> set[str]:
    bundle.mount("/mnt", "bind", str(source), options.split(","))
    return FLAGS & parse(pyoci.run(bundle.args("cat", "/proc/self/mountinfo")).out)["/mnt"].options


# flags of the source, options, flags in the container
KEPT = [
    ("ro,noexec,nosymfollow,nodiratime", "bind", "ro,noexec,nosymfollow,nodiratime,relatime"),
    ("ro,nosuid,noatime", "bind,rprivate", "ro,nosuid,noatime"),
    ("ro,nosuid", "bind,defaults", "ro,nosuid,relatime"),
    ("noatime", "bind", "noatime"),
    ("strictatime", "bind", ""),
    ("noatime,nodiratime", "bind", "noatime,nodiratime"),
]
WITHOUT_USER_NAMESPACE = [
    ("ro,noexec,nosymfollow,nodiratime", "bind,dev", "nodiratime,relatime"),
    ("ro", "bind,nosuid,nodev,rprivate", "nosuid,nodev,relatime"),
    ("ro", "bind,rw,nosuid,nodev,rprivate", "nosuid,nodev,relatime"),
    ("noexec", "bind,rw", "relatime"),
    ("noexec", "rbind,rw,private", "relatime"),
    ("noexec", "bind,sync", "relatime"),
    ("nosuid,nodev,noexec,noatime", "bind,dev,suid,exec", "noatime"),
    ("nosuid,nodev,noexec,noatime", "bind,ro", "ro,noatime"),
    ("nodev,nosymfollow", "bind,ro,symfollow", "ro,relatime"),
    ("nodev,nosuid,noatime", "bind,ro,exec", "ro,noatime"),
    ("noatime", "bind,relatime", "relatime"),
    ("noatime", "bind,nodiratime", "nodiratime,relatime"),
    ("nodiratime", "bind,strictatime", ""),
    ("noatime", "bind,nodiratime,strictatime", "nodiratime"),
    ("noatime", "bind,atime", "relatime"),
    ("nodiratime", "bind,diratime", "relatime"),
    ("nosuid,noexec", "rbind,rro", "ro,nosuid,noexec,relatime"),
    ("nosuid,noexec", "rbind,rro,nosuid", "ro,nosuid,relatime"),
]
LOCKED = [
    ("ro,noexec,nosymfollow,nodiratime", "bind,dev", "ro,noexec,nodiratime,relatime"),
    ("ro", "bind,nosuid,nodev,rprivate", "ro,nosuid,nodev,relatime"),
    ("nodev,nosuid,noexec,noatime", "bind,ro", "ro,nosuid,nodev,noexec,noatime"),
    ("nodev,nosymfollow", "bind,ro,symfollow", "ro,nodev,relatime"),
    ("nodev,nosymfollow", "bind,rw", "nodev,relatime"),
    ("nodev,nosuid,noatime", "bind,ro,exec", "ro,nosuid,nodev,noatime"),
    ("noatime", "bind,noatime,nosuid", "nosuid,noatime"),
    ("nosuid,noexec", "rbind,rro", "ro,nosuid,noexec,relatime"),
]
REFUSED = [
    ("ro", "bind,rw,nosuid,nodev,rprivate"),
    ("nodev,nosuid,noatime", "bind,dev,suid,exec"),
    ("noexec", "bind,exec"),
    ("ro", "rbind,rrw"),
    ("nodiratime", "bind,strictatime"),
    ("relatime", "bind,strictatime"),
    ("noatime", "bind,strictatime"),
    ("nodiratime", "bind,noatime"),
    ("relatime", "bind,noatime"),
    ("relatime", "bind,nodiratime"),
    ("strictatime", "bind,relatime"),
    ("strictatime", "bind,noatime"),
    ("strictatime", "bind,nodiratime"),
    ("noatime", "bind,relatime"),
]


@pytest.mark.parametrize(("source", "options", "expected"), KEPT + WITHOUT_USER_NAMESPACE)
def test_flags(bundle: Bundle, pyoci: Pyoci, flagged: Flagged, source: str, options: str, expected: str) -> None:
    """Without flags all of the source's stay; with any, only those that are named."""
    assert flags_of(pyoci, bundle, flagged(source), options) == set(filter(None, expected.split(",")))


@pytest.mark.parametrize(("source", "options", "expected"), KEPT + LOCKED)
def test_locked_flags_stay(
    bundle: Bundle, pyoci: Pyoci, flagged: Flagged, source: str, options: str, expected: str
) -> None:
    """In a user namespace what the host has set is locked."""
    bundle.user_namespace()
    assert flags_of(pyoci, bundle, flagged(source), options) == set(filter(None, expected.split(",")))


@pytest.mark.parametrize(("source", "options"), REFUSED)
def test_locked_flags_that_are_named(bundle: Bundle, pyoci: Pyoci, flagged: Flagged, source: str, options: str) -> None:
    """A mount that is not as it was asked for is none."""
    bundle.user_namespace()
    bundle.mount("/mnt", "bind", str(flagged(source)), options.split(","))
    done = pyoci.run(bundle, check=False)
    assert done.code == 1
    assert f"/mounts/{len(bundle.mounts) - 1}" in done.err
    assert "locked" in done.err
    assert "Operation not permitted" in done.err


def test_a_writable_volume_of_a_noexec_source_executes(bundle: Bundle, pyoci: Pyoci, flagged: Flagged) -> None:
    bundle.mount("/mnt", "bind", str(flagged("noexec,nosuid")), ["rbind", "rw", "rprivate"])
    assert pyoci.run(bundle.shell("cp /bin/busybox /mnt/echo; /mnt/echo runs")).out == "runs\n"


@pytest.mark.parametrize("accessible", [True, False])
def test_locked_flags_cannot_be_changed_later(
    bundle: Bundle, pyoci: Pyoci, host: HostMounts, directory: Path, accessible: bool
) -> None:
    """What the host has mounted read-only stays so for root of a user namespace, with whatever capabilities there:
    also where its root may not go to the source, so that the runtime opens it."""
    bundle.user_namespace()
    (directory / "private").mkdir(mode=0o755 if accessible else 0o700)
    source = host.tmpfs("private/source", "rw,mode=777")
    mount("-o", "remount,bind,ro,noexec", source)
    bundle.mount("/mnt", "bind", str(source), ["bind"])
    bundle.capabilities("CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE")
    bundle.shell("mount -o remount,bind,rw,exec /mnt || true; touch /mnt/x || true; grep ' /mnt ' /proc/mounts")
    done = pyoci.run(bundle)
    assert " ro," in done.out
    assert "noexec" in done.out
    assert list(source.iterdir()) == []
