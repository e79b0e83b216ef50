"""Root of a user namespace: the runtime in `unshare -Ur`, and in a container of its own."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from containers import MINIMAL, Bundle
from memfd_noexec import memfd_noexec
from rootless_support import RootlessPyoci, rootless_bundle

NEEDED = "CHOWN DAC_OVERRIDE KILL NET_ADMIN NET_BIND_SERVICE SETGID SETPCAP SETUID SYS_ADMIN SYS_CHROOT AUDIT_WRITE"
KINDS: tuple[list[str], ...] = ([], ["--mount"], ["--mount", "--pid", "--fork", "--mount-proc"], ["--net"])


@pytest.fixture
def plain(box: Bundle) -> Bundle:
    """What root would run, without a user namespace of its own."""
    config = json.loads(MINIMAL.read_text())
    config["root"]["readonly"] = False
    del config["linux"]["resources"]
    for mount in config["mounts"]:
        mount["options"] = [option for option in mount.get("options", []) if option != "gid=5"]
    box.config = config
    return box.unmount("/sys/fs/cgroup")


@pytest.mark.parametrize("kind", KINDS, ids=" ".join)
def test_unshare(rootless: RootlessPyoci, plain: Bundle, kind: list[str]) -> None:
    """Also where the mount namespace is not of this user namespace, so that its mounts are not to be had from there."""
    rootless.inside = ["unshare", "-Ur", *kind]
    plain.mount("/mnt", "bind", str(plain.path), ["rbind", "ro"])
    done = rootless.run(plain.shell("id -u; cat /proc/self/uid_map; ls /mnt; echo x > /dev/null; hostname"))
    uid, mapping, *rest = done.out.splitlines()
    assert (uid, mapping.split()) == ("0", ["0", str(rootless.user.uid), "1"])
    assert {"config.json", "rootfs"} <= set(rest)


@pytest.mark.parametrize("kind", [[], ["--mount"]], ids=" ".join)
def test_where_no_memory_files_are_executed(rootless: RootlessPyoci, plain: Bundle, kind: list[str]) -> None:
    with memfd_noexec() as enter:
        rootless.around, rootless.inside = enter, ["unshare", "-Ur", *kind]
        assert rootless.run(plain.args("id", "-u")).out == "0\n"
    rootless.around = ()


def test_its_life(rootless: RootlessPyoci, plain: Bundle) -> None:
    """Each command from a user namespace that it joins, as those of podman do."""
    first = rootless.spawn_as_user("unshare", "-Urm", "sh", "-c", "echo up; exec sleep 60")
    rootless.inside = ["nsenter", "-t", str(first), "-U", "-m", "--preserve-credentials"]
    container = rootless.create(plain.shell("echo started; exec sleep 60"))
    assert container.status == "created"
    container.start().expect("started")
    assert container.exec("id", "-u").out == "0\n"
    assert "sleep 60" in rootless("ps", container.id).out
    container.kill("KILL")
    container.wait().delete()


def test_ranges(rootless: RootlessPyoci, plain: Bundle) -> None:
    rootless.inside = ["unshare", "-Ur", "--map-auto"]
    plain.process["user"] = {"uid": 7, "gid": 8, "additionalGids": [5]}
    assert rootless.run(plain.args("id")).out == "uid=7 gid=8 groups=5(tty)\n"


@pytest.mark.parametrize("kind", KINDS[:2], ids=" ".join)
def test_a_user_namespace_below(rootless: RootlessPyoci, plain: Bundle, kind: list[str]) -> None:
    rootless.inside = ["unshare", "-Ur", *kind]
    plain.namespace("user")
    plain.linux["uidMappings"] = plain.linux["gidMappings"] = [{"containerID": 0, "hostID": 0, "size": 1}]
    done = rootless.run(plain.shell("id -u; cat /proc/self/uid_map; touch /made"))
    assert done.out.split() == ["0", "0", "0", "1"]
    assert (plain.rootfs / "made").stat().st_uid == rootless.user.uid


def test_supplementary_groups_where_setgroups_is_denied(rootless: RootlessPyoci, plain: Bundle) -> None:
    rootless.inside = ["unshare", "-Urm"]
    plain.process["user"] = {"uid": 0, "gid": 0, "additionalGids": [0]}
    done = rootless.run(plain, check=False)
    assert done.code == 1
    assert "setgroups is denied" in done.err


def test_limits_without_cgroups(rootless: RootlessPyoci, plain: Bundle) -> None:
    rootless.inside = ["unshare", "-Urm"]
    plain.linux["resources"] = {"memory": {"limit": 64 << 20}, "devices": [{"allow": False, "access": "rwm"}]}
    done = rootless.run(plain, check=False)
    assert done.code == 1
    assert "/linux/resources/memory: cannot be had" in done.err


def test_a_container_in_a_container(rootless: RootlessPyoci, box: Bundle, plain: Bundle, directory: Path) -> None:
    """The outer one has the host's root, and the runtime in it."""
    plain.shell("cat /proc/self/uid_map; uname -m").save()
    outer = rootless_bundle(directory / "outer", rootless)
    outer.process["env"] = [f"PATH={rootless.environment['PATH']}"]
    outer.config["root"] = {"path": "/"}
    outer.linux.update(maskedPaths=[], readonlyPaths=[])  # a procfs that is hidden in part cannot be mounted again
    for place in ("/dev", "/dev/pts", "/dev/shm", "/dev/mqueue"):
        outer.unmount(place)
    outer.mounts.insert(0, {"destination": "/dev", "type": "bind", "source": "/dev", "options": ["rbind"]})
    outer.capabilities(*(f"CAP_{name}" for name in NEEDED.split()))
    outer.args(rootless.executable, "--root", str(box.path / "state"), "run", "--bundle", str(box.path), "inner")
    done = rootless.run(outer)
    assert done.out.split() == ["0", str(rootless.user.uid), "1", os.uname().machine]
