"""procfs is what settings are written through and what limits are read from: it must be the real one.

Each defence was taken out of a copy of the tree to see the test fail; the docstrings say which.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from containers import Bundle, Container, Pyoci


def test_proc_is_a_link(bundle: Bundle, pyoci: Pyoci) -> None:
    """CVE-2019-19921: procfs is mounted where the image's link leads, and /proc is the attacker's.

    Fails without MOUNT_NO_SYMLINK (plan/mounts.py).
    """
    (bundle.rootfs / "proc").rmdir()
    (bundle.rootfs / "evil").mkdir()
    (bundle.rootfs / "proc").symlink_to("evil")
    done = pyoci.run(bundle, check=False)
    assert done.code != 0
    assert "/mounts/0" in done.err
    assert "ordinary directory" in done.err


def test_sys_is_a_link(bundle: Bundle, pyoci: Pyoci) -> None:
    """The same for sysfs, which runc refuses too. Fails without MOUNT_NO_SYMLINK."""
    (bundle.rootfs / "sys").rmdir()
    (bundle.rootfs / "evil").mkdir()
    (bundle.rootfs / "sys").symlink_to("evil")
    done = pyoci.run(bundle, check=False)
    assert done.code != 0
    assert "ordinary directory" in done.err


@pytest.mark.parametrize("path", ["/proc/self/attr", "/proc/sys", "/proc/1", "/proc/self/fd", "/proc/cmdline"])
def test_nothing_is_mounted_inside_proc(bundle: Bundle, pyoci: Pyoci, directory: Path, path: str) -> None:
    """CVE-2019-16884: a volume over /proc/self/attr swallows the label. config.json is refused.

    Fails without the checks in spec/ and in open_destination() (mount.c).
    """
    (directory / "file").write_text("")
    if path == "/proc/cmdline":
        bundle.mount(path, "bind", str(directory / "file"), ["bind"])
    else:
        bundle.mount(path, "tmpfs", "tmpfs")
    done = pyoci.run(bundle, check=False)
    assert done.code != 0
    assert "/mounts/6" in done.err


def test_nothing_is_mounted_inside_proc_by_way_of_a_link(bundle: Bundle, pyoci: Pyoci) -> None:
    """CVE-2019-16884: the destination of a volume is a link of the image's.

    Fails without the check of the destination's filesystem in open_destination() (mount.c).
    """
    (bundle.rootfs / "data").symlink_to("/proc/self/attr")
    bundle.mount("/data", "tmpfs", "tmpfs")
    done = pyoci.run(bundle, check=False)
    assert done.code != 0
    assert "inside procfs" in done.err


def test_long_options_take_no_other_way(bundle: Bundle, pyoci: Pyoci, directory: Path) -> None:
    """The same, for a filesystem mounted by mount(2). Fails like the test before."""
    lower = directory / ("n" * 200) / ("m" * 100)
    lower.mkdir(parents=True)
    (bundle.rootfs / "data").symlink_to("/proc/self/attr")
    bundle.mount("/data", "overlay", "overlay", [f"lowerdir={lower}", "ro"])
    done = pyoci.run(bundle, check=False)
    assert done.code != 0
    assert "inside procfs" in done.err


def test_only_a_procfs_is_bound_on_proc(bundle: Bundle, pyoci: Pyoci, directory: Path) -> None:
    """CVE-2019-16884: a volume on /proc itself. Fails without Tree.must_be_proc (plan/mounts.py)."""
    (directory / "fake/self").mkdir(parents=True)
    bundle.mount("/proc", "bind", str(directory / "fake"), ["bind"])
    done = pyoci.run(bundle, check=False)
    assert done.code != 0
    assert "procfs" in done.err


def test_tmpfs_on_proc_is_refused(bundle: Bundle, pyoci: Pyoci) -> None:
    """CVE-2019-16884: nothing else may be mounted on /proc either. Fails without the check in spec/."""
    bundle.unmount("/proc").mount("/proc", "tmpfs", "tmpfs")
    done = pyoci.run(bundle, check=False)
    assert done.code != 0
    assert "mounted on /proc" in done.err


def test_what_lxcfs_mounts_is_allowed(bundle: Bundle, pyoci: Pyoci, directory: Path) -> None:
    """Files of procfs that hold no setting may be covered."""
    (directory / "file").write_text("from LXCFS")
    for name in ("cpuinfo", "meminfo", "stat", "uptime", "loadavg"):
        bundle.mount(f"/proc/{name}", "bind", str(directory / "file"), ["bind"])
    assert pyoci.run(bundle.args("cat", "/proc/meminfo")).out == "from LXCFS"


# --- writes


def setting(container: Container, name: str) -> str:
    """A sysctl of the container's network namespace, read by the host."""
    command = ["nsenter", f"--net=/proc/{container.pid}/ns/net", "cat", f"/proc/sys/{name.replace('.', '/')}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("fake", ["file", "link", "tree is a link"])
def test_sysctl_is_not_written_to_the_image(bundle: Bundle, pyoci: Pyoci, fake: str) -> None:
    """CVE-2025-52881: without a mount of procfs the image's own /proc would swallow a setting, or lead it elsewhere.

    Fails with open_procfs() (path.c) opening the root's /proc unchecked.
    """
    bundle.unmount("/proc")
    bundle.linux["maskedPaths"] = bundle.linux["readonlyPaths"] = []
    place = bundle.rootfs / "proc/sys/net/ipv4"
    target = bundle.rootfs / "target"
    if fake == "tree is a link":
        (bundle.rootfs / "tree/net/ipv4").mkdir(parents=True)
        (bundle.rootfs / "proc/sys").symlink_to("/tree")
        target = bundle.rootfs / "tree/net/ipv4/ip_default_ttl"
    else:
        place.mkdir(parents=True)
        if fake == "file":
            target = place / "ip_default_ttl"
        else:
            (place / "ip_default_ttl").symlink_to("/target")
    target.write_text("untouched")
    bundle.linux["sysctl"] = {"net.ipv4.ip_default_ttl": "77"}
    container = pyoci.create(bundle)
    assert setting(container, "net.ipv4.ip_default_ttl") == "77"
    assert target.read_text() == "untouched"


@pytest.mark.parametrize("cover", ["none", "tmpfs"])
def test_exec_trusts_no_proc_of_the_container(bundle: Bundle, pyoci: Pyoci, cover: str) -> None:
    """CVE-2025-52881: a container that has covered its /proc gets neither a write of exec nor a failure.

    Labels, which are what is written, cannot be had on a kernel without an LSM for them; this is what is left.
    """
    bundle.capabilities("CAP_SYS_ADMIN", "CAP_KILL")
    fake = "/proc/self/attr /proc/thread-self/attr"
    bundle.shell(
        f"mount -t tmpfs {cover} /proc; mkdir -p {fake}; for d in {fake}; do touch $d/exec $d/current; done; "
        "echo ready; sleep 100"
    )
    container = pyoci.run_detached(bundle).expect("ready")
    assert container.exec("echo", "hi").out == "hi\n"
    assert container.exec("cat", "/proc/self/attr/exec", "/proc/thread-self/attr/current").out == ""


# --- the working directory, descriptors


@pytest.mark.parametrize("verb", ["run", "exec"])
def test_working_directory_by_a_descriptor(bundle: Bundle, pyoci: Pyoci, directory: Path, verb: str) -> None:
    """CVE-2024-21626: a working directory of /proc/self/fd/N leads out of the root if init still has a descriptor."""
    (directory / "host").mkdir()
    (directory / "host/secret").write_text("")
    container = pyoci.run_detached(bundle.args("sleep", "100")) if verb == "exec" else None
    inside = sorted(entry.name for entry in bundle.rootfs.iterdir())
    for n in range(3, 16):
        for more in ("", "/..", f"/../../../../../..{directory}/host"):
            cwd = f"/proc/self/fd/{n}{more}"
            if container:
                done = container.exec("ls", options=("--cwd", cwd), check=False)
            else:
                bundle.process["cwd"] = cwd
                done = pyoci.run(bundle.args("ls"), check=False, cwd=directory / "host")
            # a descriptor of the container's own root leads nowhere new, or to a directory that was made there
            assert done.code != 0 or done.out.split() in (inside, []), f"{cwd}: {done}"


def test_working_directory_by_a_link_to_a_descriptor(bundle: Bundle, pyoci: Pyoci) -> None:
    """CVE-2024-21626: the image has a link to /proc/self/fd/N. No descriptor that init still has leads to the host."""
    bundle.process["cwd"] = "/link"
    for n in range(3, 16):
        (bundle.rootfs / "link").unlink(missing_ok=True)
        (bundle.rootfs / "link").symlink_to(f"/proc/self/fd/{n}")
        done = pyoci.run(bundle.args("ls"), check=False)
        assert done.code != 0
        assert done.out == ""


@pytest.mark.parametrize("verb", ["run", "exec"])
def test_working_directory_by_a_preserved_descriptor(bundle: Bundle, pyoci: Pyoci, directory: Path, verb: str) -> None:
    """CVE-2024-21626: the process may have the descriptor, but does not start outside of its root.

    For exec: fails without directory_lies_in_root() (process.c).
    """
    (directory / "host").mkdir()
    (directory / "host/secret").write_text("")
    if verb == "exec":
        container = pyoci.run_detached(bundle.args("sleep", "100"))
        command = pyoci.command("exec", "--preserve-fds", "1", "--cwd", "/proc/self/fd/3", container.id, "ls")
    else:
        bundle.process["cwd"] = "/proc/self/fd/3"
        bundle.args("ls").save()
        command = pyoci.command("run", "--preserve-fds", "1", "--bundle", str(bundle.path), pyoci.new_id())
    shell = ["sh", "-c", f'exec "$@" 3< {directory}/host', "sh", *command]
    done = subprocess.run(shell, capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    assert done.stdout == ""


@pytest.mark.parametrize("verb", ["run", "exec"])
def test_descriptors(bundle: Bundle, pyoci: Pyoci, directory: Path, verb: str) -> None:
    """CVE-2024-21626, CVE-2016-9962: the process has 0, 1, 2 and no more, whatever the caller has left open.

    Fails without CLOSE_RANGE_CLOEXEC in init_main() and op_exec().
    """
    # the list is of itself, with one for the directory that it reads
    command = ("/bin/ls", "/proc/self/fd")
    container = pyoci.run_detached(bundle.args("sleep", "100")) if verb == "exec" else None
    with (directory / "leak").open("w") as one, Path("/etc/passwd").open() as two:
        fds = (one.fileno(), two.fileno())
        if container:
            done = pyoci("exec", container.id, *command, pass_fds=fds)
        else:
            done = pyoci.run(bundle.args(*command), pass_fds=fds)
    assert done.out.split() == ["0", "1", "2", "3"]


def test_descriptors_of_the_first_process(bundle: Bundle, pyoci: Pyoci) -> None:
    """Seen from the host. Fails like the test before."""
    container = pyoci.run_detached(bundle.shell("echo ready; exec sleep 100")).expect("ready")
    assert {entry.name for entry in Path(f"/proc/{container.pid}/fd").iterdir()} == {"0", "1", "2"}


# --- what lies outside


def test_old_root_is_gone(bundle: Bundle, pyoci: Pyoci) -> None:
    """No mount of the host is left, and what lies below the root when it is unmounted is nothing.

    Fails without umount2(2) in op_pivot_root() (mount.c).
    """
    bundle.capabilities("CAP_SYS_ADMIN", "CAP_SYS_CHROOT")
    out = pyoci.run(bundle.args("cat", "/proc/self/mountinfo")).out
    mounts = {line.split()[0]: line.split() for line in out.splitlines()}
    destinations = {"/", "/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/sys"}
    masks = {*bundle.linux["maskedPaths"], *bundle.linux["readonlyPaths"]}
    assert {fields[4] for fields in mounts.values()} - masks == destinations
    done = pyoci.run(bundle.shell("umount -l / 2>&1 || true; cd /; cd ..; cd ../..; ls /proc/../../.. /"), check=False)
    assert "lib64" not in done.out.split()


@pytest.mark.parametrize("options", [[], ["--no-pivot"]], ids=["pivot", "no pivot"])
def test_classic_escape_by_chroot(bundle: Bundle, pyoci: Pyoci, directory: Path, options: list[str]) -> None:
    """chroot(2) below the working directory, then up: with pivot_root(2) there is nothing above, and without it the new
    root lies over the old one.

    Fails without umount2(2) in op_pivot_root(), and without move_mount(2) in op_move_root() (mount.c).
    """
    (directory / "secret").write_text("secret")
    bundle.capabilities("CAP_SYS_CHROOT")
    program = bundle.rootfs / "escape.c"
    program.write_text(
        """#include <stdio.h>
        #include <unistd.h>
        #include <sys/stat.h>
        int main(int n, char **argv) {
            mkdir("/below", 0755);
            if (chroot("/below")) return 3;
            for (int i = 0; i < 100; i++) if (chdir("..")) return 4;
            if (chroot(".")) return 5;
            FILE *f = fopen(argv[1], "r");
            puts(f ? "escaped" : "inside");
            return 0;
        }"""
    )
    subprocess.run(["cc", "-static", "-o", bundle.rootfs / "escape", program], check=True)
    assert pyoci.run(bundle.args("/escape", str(directory / "secret")), *options).out == "inside\n"


def test_without_pivot_root_no_procfs_of_the_host_is_left(bundle: Bundle, pyoci: Pyoci) -> None:
    """A procfs of the host in the mount namespace, though out of reach, would let a user namespace in the container
    mount one that is not masked.

    Fails without hide_host_filesystems() in op_move_root() (mount.c).
    """
    bundle.linux["maskedPaths"] = ["/proc/kallsyms"]
    bundle.process["noNewPrivileges"] = False
    bundle.capabilities("CAP_SETFCAP")
    script = (
        "cat /proc/self/mounts; unshare -Urmpf sh -c 'mount -t proc p /tmp && head -c 1 /tmp/kallsyms' || echo refused"
    )
    result = pyoci.run(bundle.shell(script), "--no-pivot")
    assert result.out.endswith("refused\n")
