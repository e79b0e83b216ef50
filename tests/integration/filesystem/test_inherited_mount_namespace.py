"""Without a mount namespace of its own: the mounts are made in the one that is inherited, below the root filesystem, as
by runc; and they go with the container, which the specification demands of `delete` (runtime.md)."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
from pathlib import Path

import pytest
from containers import Bundle, Pyoci, wait_for
from host_mounts import HostMounts
from mountinfo import Mount, parse


@pytest.fixture
def bundle(bundle: Bundle) -> Bundle:
    """One without a mount namespace and what needs one."""
    bundle.without_namespace("mount")
    del bundle.linux["maskedPaths"], bundle.linux["readonlyPaths"]
    return bundle


def mounts_of_host(bundle: Bundle) -> dict[str, Mount]:
    """By their paths inside of the container."""
    found = parse(Path("/proc/self/mountinfo").read_text())
    root = str(bundle.rootfs)
    return {path.removeprefix(root) or "/": mount for path, mount in found.items() if path.startswith(root)}


def lines_of_host(bundle: Bundle) -> list[str]:
    return [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if f" {bundle.path}" in line]


def test_mounts_are_made_and_removed(bundle: Bundle, pyoci: Pyoci, directory: Path) -> None:
    (directory / "file").write_text("content")
    bundle.mount("/mnt", "bind", str(directory), ["bind", "ro", "nosuid"])
    bundle.mount("/data", "tmpfs", "tmpfs", ["rro"])
    container = pyoci.run_detached(bundle.shell("cat /mnt/file; cat /proc/1/comm; sleep 100")).expect("sh")
    mounts = mounts_of_host(bundle)
    assert {"/", "/proc", "/dev", "/dev/pts", "/sys", "/mnt", "/data"} <= mounts.keys()
    assert {"ro", "nosuid"} <= mounts["/mnt"].options
    assert "ro" in mounts["/data"].options
    assert os.readlink(f"/proc/{container.pid}/ns/mnt") == os.readlink("/proc/self/ns/mnt")
    assert container.exec("cat", "/mnt/file").out == "content"
    assert container.output.startswith("content")
    container.delete(force=True)
    assert mounts_of_host(bundle) == {}
    assert (directory / "file").exists()


def test_the_bundle_is_the_root(bundle: Bundle, pyoci: Pyoci) -> None:
    """As the OCI's validation programs have it."""
    for entry in bundle.rootfs.iterdir():
        entry.rename(bundle.path / entry.name)
    bundle.config["root"]["path"] = "."
    assert pyoci.run(bundle.shell("cat /proc/self/comm")).out == "cat\n"


def test_nothing_over_the_root_of_the_host(bundle: Bundle, pyoci: Pyoci, directory: Path) -> None:
    """An option longer than the 256 bytes that fsconfig(2) takes needs a place to mount at first: over "/" that would
    show wherever the host's is shared, and stay if init were killed."""
    layers = [directory / f"layer-with-a-rather-long-name-{i:03}" for i in range(40)]
    for layer in layers:
        layer.mkdir()
    (layers[7] / "file").write_text("content")
    bundle.mount("/mnt", "overlay", "overlay", [f"lowerdir={':'.join(map(str, layers))}"])
    id = pyoci.new_id()
    command = pyoci.command("run", "--bundle", str(bundle.args("cat", "/mnt/file").path), id)
    bundle.save()
    calls = directory / "calls"
    traced = ["strace", "-f", "-qq", "-o", str(calls), "-e", "trace=move_mount", *command]
    done = subprocess.run(traced, check=True, stdin=subprocess.DEVNULL, capture_output=True)
    assert done.stdout == b"content"
    assert 'AT_FDCWD, "/"' not in calls.read_text()
    assert calls.read_text().count("move_mount(") >= 7
    assert mounts_of_host(bundle) == {}


def test_devices(bundle: Bundle, pyoci: Pyoci) -> None:
    done = pyoci.run(bundle.shell("head -c 3 /dev/zero | wc -c; echo x > /dev/null; readlink /dev/stdin"))
    assert done.out.split() == ["3", "/proc/self/fd/0"]
    assert mounts_of_host(bundle) == {}


def test_devices_without_any_mount(bundle: Bundle, pyoci: Pyoci) -> None:
    """In the root filesystem itself, as with both runc and crun."""
    bundle.config["mounts"] = []
    assert pyoci.run(bundle.shell("head -c 3 /dev/zero | wc -c")).out.strip() == "3"
    assert stat.S_ISCHR((bundle.rootfs / "dev/zero").stat().st_mode)


def test_a_read_only_root(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.config["mounts"] = []
    bundle.config["root"]["readonly"] = True
    assert pyoci.run(bundle.shell("touch /x || echo refused")).out == "refused\n"
    (bundle.rootfs / "x").touch()


def test_a_rootfs_that_is_a_mount(bundle: Bundle, pyoci: Pyoci, host: HostMounts) -> None:
    """The host's own mount there stays, shared as it is, and shows nothing elsewhere."""
    point = host.bind(bundle.rootfs, bundle.rootfs)
    subprocess.run(["mount", "--make-shared", point], check=True)
    before = lines_of_host(bundle)
    with subprocess.Popen(
        ["unshare", "-m", "--propagation", "unchanged", "sh", "-c", "echo; read x"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as peer:
        assert peer.stdout
        assert peer.stdin
        peer.stdout.readline()
        container = pyoci.run_detached(bundle.shell("echo ready; sleep 100")).expect("ready")
        seen = parse(Path(f"/proc/{peer.pid}/mountinfo").read_text())
        assert f"{bundle.rootfs}/proc" not in seen
        container.delete(force=True)
        peer.stdin.close()
    assert lines_of_host(bundle) == before


def test_a_create_that_fails_leaves_none(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.mount("/mnt", "tmpfs", "tmpfs").mount("/mnt/x", "nosuchfs", "x")
    assert pyoci.run(bundle, check=False).code == 1
    assert mounts_of_host(bundle) == {}


def test_delete_after_a_create_that_was_killed(bundle: Bundle, pyoci: Pyoci, directory: Path) -> None:
    """What it had mounted is found."""
    hook = directory / "hook"
    hook.write_text(
        f"#!/bin/sh\necho $$ > {directory}/there.new; mv {directory}/there.new {directory}/there; exec sleep 100\n"
    )
    hook.chmod(0o755)
    bundle.config["hooks"] = {"createRuntime": [{"path": str(hook)}]}
    bundle.save()
    id = pyoci.new_id()
    create = pyoci.spawn("create", "--bundle", str(bundle.path), id, stdin=subprocess.DEVNULL)
    wait_for((directory / "there").exists)
    assert "/proc" in mounts_of_host(bundle)
    create.send_signal(signal.SIGKILL)
    create.wait()
    os.kill(int((directory / "there").read_text()), signal.SIGKILL)
    pyoci("delete", "--force", id)
    assert mounts_of_host(bundle) == {}


def test_delete_in_another_mount_namespace(bundle: Bundle, pyoci: Pyoci) -> None:
    """It cannot reach them, says so, and keeps the record."""
    container = pyoci.create(bundle)
    command = pyoci.command("delete", "--force", container.id)
    done = subprocess.run(["unshare", "-m", *command], capture_output=True, text=True)
    assert done.returncode == 1
    assert "another mount namespace" in done.stderr
    container.delete(force=True)
    assert mounts_of_host(bundle) == {}


@pytest.mark.parametrize("how", ["link", "directory"])
def test_delete_unmounts_nothing_of_the_host(bundle: Bundle, pyoci: Pyoci, host: HostMounts, how: str) -> None:
    """Who owns a directory on the way to the root filesystem can put another one, or a link, in its place."""
    theirs = host.tmpfs("theirs/rootfs")
    container = pyoci.run_detached(bundle.args("sleep", "100"))
    moved = bundle.path.rename(f"{bundle.path} moved")
    if how == "link":
        bundle.path.symlink_to(theirs.parent)
    else:
        theirs.parent.rename(bundle.path)
    try:
        container.delete(force=True)
        mounts = parse(Path("/proc/self/mountinfo").read_text())
        there = theirs if how == "link" else bundle.rootfs
        assert [path for path in mounts if str(pyoci.directory) in path] == [str(there)]
    finally:
        subprocess.run(["umount", "-l", moved / "rootfs"], stderr=subprocess.DEVNULL)
        if how == "directory":
            bundle.path.rename(theirs.parent)


@pytest.mark.parametrize("what", ["user", "root", "link"])
def test_where_nothing_can_be_mounted(bundle: Bundle, pyoci: Pyoci, what: str) -> None:
    """Not in a namespace that the container's user namespace does not own, and not over the host's own /proc."""
    if what == "user":
        bundle.user_namespace()
    elif what == "root":
        bundle.config["root"]["path"] = "/"
    else:
        (bundle.path / "host").symlink_to("/")
        bundle.config["root"]["path"] = "host"
    procs = Path("/proc/self/mountinfo").read_text().count(" /proc ")
    done = pyoci.run(bundle, check=False)
    assert done.code == 1
    assert ("/root/path" if what == "link" else "/mounts") in done.err
    assert "mount" in done.err
    assert mounts_of_host(bundle) == {}
    assert Path("/proc/self/mountinfo").read_text().count(" /proc ") == procs


def test_a_mount_on_the_root(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.mounts.insert(0, {"destination": "/", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup"]})
    assert pyoci.run(bundle.shell("echo x > /new; cat /new; stat -f -c %T /")).out == "x\ntmpfs\n"
    assert mounts_of_host(bundle) == {}
    assert not (bundle.rootfs / "new").exists()
