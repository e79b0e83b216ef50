"""The image is changed while the container is made, by somebody who shares its root filesystem or a volume.

What the plan mounts is kept open, and whatever lies below goes from there (native/init/kept.c). Else a name that is
exchanged for a moment makes a path vanish, and what vanishes is not masked. The tests fail with kept_base() finding
nothing, the last one as it says. ROUNDS in the environment makes them longer; they were run with 200.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest
from containers import Bundle, Pyoci
from race import exchanging

ROUNDS = int(os.environ.get("ROUNDS", "40"))


def results(bundle: Bundle, pyoci: Pyoci, one: Path, other: Path, rounds: int = ROUNDS) -> Counter[str]:
    """What containers wrote that were made meanwhile. That one fails would be no hole, but there is no need for it."""
    found: Counter[str] = Counter()
    with exchanging(one, other):
        for _ in range(rounds):
            done = pyoci.run(bundle, check=False)
            assert "level=error" not in done.err, done
            found[done.out] += 1
    return found


@pytest.mark.parametrize("user", [False, True], ids=["root", "user namespace"])
def test_masked_and_read_only_paths_of_proc(bundle: Bundle, pyoci: Pyoci, user: bool) -> None:
    """When a container runs, /proc may be the other directory, which has nothing; but procfs is never without masks."""
    other = bundle.rootfs / "other"
    other.mkdir()
    (other / "keys").write_text("of the image")
    bundle.capabilities("CAP_SYS_ADMIN")
    bundle.linux["maskedPaths"] = ["/proc/version", "/proc/keys"]
    bundle.linux["readonlyPaths"] = ["/proc/sys"]
    if user:
        bundle.user_namespace()
    # procfs is looked for in both places; once in it, one stays in it
    bundle.shell(
        "for d in /proc /other; do cd $d; [ -d self ] || continue; echo procfs; [ -s version ] && echo not masked; "
        "[ -c version ] || echo no mask; echo x > sys/kernel/domainname && echo writable; done 2> /dev/null; echo done"
    )
    found = results(bundle, pyoci, bundle.rootfs / "proc", other)
    assert {word for out in found for word in out.split()} == {"procfs", "done"}, found


def test_read_only_tmpfs(bundle: Bundle, pyoci: Pyoci) -> None:
    """It is made read-only at the end, when other mounts have their places in it."""
    for name in ("data", "other"):
        (bundle.rootfs / name).mkdir()
    bundle.mount("/data", "tmpfs", "tmpfs", ["ro"])
    bundle.mount("/data/deep/place", "tmpfs", "tmpfs", ["mode=700"])
    bundle.shell(
        "for d in /data /other; do cd $d; [ -d deep/place ] || continue; echo tmpfs; "
        "touch file && echo writable; done 2> /dev/null; echo done"
    )
    found = results(bundle, pyoci, bundle.rootfs / "data", bundle.rootfs / "other")
    assert {word for out in found for word in out.split()} == {"tmpfs", "done"}, found
    for name in ("data", "other"):
        assert list((bundle.rootfs / name).iterdir()) == []


def test_devices(bundle: Bundle, pyoci: Pyoci) -> None:
    """Made as root of the host, they must not come to lie in a directory of somebody else's; nor be missed."""
    other = bundle.rootfs / "other"
    other.mkdir()
    bundle.linux["devices"] = [{"path": "/dev/deep/thing", "type": "c", "major": 1, "minor": 7}]
    bundle.shell("for d in /dev /other; do cd $d; [ ! -d shm ] || ls -d null urandom stdin deep/thing pts/ptmx; done")
    found = results(bundle, pyoci, bundle.rootfs / "dev", other)
    assert "deep/thing\nnull\npts/ptmx\nstdin\nurandom\n" in found
    for path in (bundle.rootfs / "dev", other):
        assert list(path.iterdir()) == []


def test_devices_in_a_user_namespace(bundle: Bundle, pyoci: Pyoci) -> None:
    """They are bound, on files that are made for it."""
    (bundle.rootfs / "other").mkdir()
    script = "for d in /dev /other; do cd $d; [ ! -d shm ] || { echo x > null; stat -c %F null zero; }; done"
    bundle.user_namespace().shell(script)
    found = results(bundle, pyoci, bundle.rootfs / "dev", bundle.rootfs / "other")
    assert 2 * "character special file\n" in found
    for name in ("dev", "other"):
        assert list((bundle.rootfs / name).iterdir()) == []


def test_console(bundle: Bundle, pyoci: Pyoci) -> None:
    """The terminal is that of the devpts that the plan has mounted, and is bound in its /dev."""
    other = bundle.rootfs / "other"
    (other / "pts").mkdir(parents=True)
    bundle.process["terminal"] = True
    bundle.shell("for d in /dev /other; do cd $d; [ ! -d shm ] || stat -c %n:%F console pts/0; done; tty -s")
    found = results(bundle, pyoci, bundle.rootfs / "dev", other)
    assert "console:character special file\npts/0:character special file\n" in {out.replace("\r", "") for out in found}
    assert [path.name for name in ("dev", "other") for path in (bundle.rootfs / name).rglob("*")] == ["pts"]


def test_tmpcopyup(bundle: Bundle, pyoci: Pyoci, directory: Path) -> None:
    """A file that becomes a device when it has been looked at: the device was opened, and what it holds copied, of a
    disk of the host's as well. The null device holds nothing.

    Fails with copy_regular() (copy_up.c) opening the file by its name.
    """
    volume = directory / "volume"
    volume.mkdir()
    (volume / "file").write_text("content\n")
    os.mknod(volume / "device", 0o020666, os.makedev(1, 3))
    for i in range(20):
        bundle.mount(f"/mnt/{i}", "bind", str(volume), ["bind"])
        bundle.mount(f"/mnt/{i}", "tmpfs", "tmpfs", ["tmpcopyup"])
    bundle.shell("for f in /mnt/*/*; do [ -c $f ] || { read text < $f && [ $text = content ]; } || echo opened; done")
    found = results(bundle, pyoci, volume / "file", volume / "device")
    assert set(found) == {""}, found


def test_null_device_that_masks(bundle: Bundle, pyoci: Pyoci) -> None:
    """CVE-2025-31133: /dev/null of the image is exchanged for a file, or another device, before it masks a path.

    Fails with null_device() (mount.c) cloning what the root has by that name.
    """
    for name in ("/dev", "/dev/pts", "/dev/shm", "/dev/mqueue"):
        bundle.unmount(name)
    null, other = bundle.rootfs / "dev/null", bundle.rootfs / "dev/other"
    os.mknod(null, 0o020666, os.makedev(1, 3))
    other.write_text("bogus")
    (bundle.rootfs / "secret").write_text("secret")
    # one that the configuration names is not replaced when it is another file, but an error
    bundle.linux["devices"] = [{"path": "/dev/null", "type": "c", "major": 1, "minor": 3}]
    bundle.linux["maskedPaths"] = ["/secret"]
    bundle.args("stat", "-c", "%F %t:%T", "/secret")
    found: Counter[str] = Counter()
    with exchanging(null, other):
        for _ in range(ROUNDS):
            done = pyoci.run(bundle, check=False)
            found["there is another file" if "there is another file" in done.err else done.out] += 1
    assert set(found) <= {"there is another file", "character special file 1:3\n"}, found
    assert found["character special file 1:3\n"], found
