"""What a container can do to others that start beside it, and to their runtime.

Each defence was taken out of a copy of the tree to see the test fail; the docstrings say which.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from containers import Bundle, Container, Pyoci, compile_static

# Opens a file of the host by way of every process that comes, for as long as it is let.
PEEP = r"""
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int main(int argc, char **argv)
{
    char path[512];
    (void)argc;
    puts("ready"), fflush(stdout);
    for (;;)
        for (int pid = getpid() + 1, last = pid + atoi(argv[2]); pid < last; pid++) {
            snprintf(path, sizeof path, "/proc/%d/root%s", pid, argv[1]);
            if (open(path, O_RDWR) >= 0) {
                char who[256] = "";
                snprintf(path, sizeof path, "/proc/%d/cmdline", pid);
                long size = read(open(path, O_RDONLY), who, sizeof who - 1);
                for (long i = 0; i + 1 < size; i++)
                    who[i] = who[i] ? who[i] : ' ';
                if (strstr(who, "pyoci")) /* whatever else root starts is not ours to protect */
                    printf("got it by %d %s\n", pid, who), fflush(stdout), exit(0);
            }
        }
}
"""

# Makes a link of this name, and takes it away, without a pause.
FLIP = r"""
#include <unistd.h>
int main(int argc, char **argv)
{
    (void)argc;
    for (;;)
        symlink(argv[1], argv[2]), unlink(argv[2]);
}
"""


def peeping(bundle: Bundle, pyoci: Pyoci, secret: Path, *, joined: bool) -> Container:
    """A container that tries; in a pid namespace that others join, or in the host's."""
    compile_static(PEEP, bundle.rootfs / "peep")
    bundle.args("/peep", str(secret), "60" if joined else "400")
    if not joined:
        bundle.without_namespace("pid")
    return pyoci.run_detached(bundle).expect("ready")


@pytest.mark.parametrize("joined", [True, False], ids=["joined pid namespace", "host's pid namespace"])
def test_a_child_on_its_way_to_a_user_namespace(
    new_bundle: object, pyoci: Pyoci, directory: Path, joined: bool
) -> None:
    """CVE-2016-9962: between clone3(2) and the execution of init the child is a copy of the runtime, with the host's
    root. In a user namespace that belongs to its own uid on the host, a neighbour of that uid has every capability over
    it.

    Fails without PR_SET_DUMPABLE in sys_spawn() (shim.c), in the host's pid namespace also with an init that the user
    namespace can read (spawn.py, init_program).
    """
    assert callable(new_bundle)
    secret = directory / "secret"
    secret.write_text("of the host")
    secret.chmod(0o600)
    attacker = peeping(new_bundle("attacker"), pyoci, secret, joined=joined)
    victim = new_bundle("victim").args("true").user_namespace()
    if joined:
        victim.without_namespace("pid").namespace("pid", f"/proc/{attacker.pid}/ns/pid")
    for _ in range(12):
        pyoci.run(victim, check=False)
        output = attacker.output
        assert "got it" not in output, output
    assert attacker.status == "running"


@pytest.fixture
def leaked(directory: Path) -> Iterator[int]:
    """An open directory of the host, as a careless engine leaves it to its runtime."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


@pytest.mark.parametrize("verb", ["run", "exec"])
def test_the_executable_is_not_reached_by_a_leaked_descriptor(
    bundle: Bundle, pyoci: Pyoci, directory: Path, leaked: int, verb: str
) -> None:
    """CVE-2024-21626, by process.args: the program would be a file of the host, and could be overwritten.

    Fails without sys_close_on_exec() in sys_spawn() (shim.c).
    """
    shutil.copy("/bin/busybox", directory / "busybox")
    program = [f"/proc/self/fd/{leaked}/busybox", "echo", "from the host"]
    if verb == "run":
        bundle.args(*program).save()
        argv = pyoci.command("run", "--bundle", str(bundle.path), "box")
    else:
        container = pyoci.run_detached(bundle.args("sleep", "1000"))
        argv = pyoci.command("exec", container.id, *program)
    quiet = subprocess.DEVNULL
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, pass_fds=[leaked], stdin=quiet)
    assert done.returncode != 0
    assert "from the host" not in done.stdout
    assert "no such file or directory" in done.stderr


def test_a_created_container_holds_nothing_of_the_engine_open(
    bundle: Bundle, pyoci: Pyoci, directory: Path, leaked: int
) -> None:
    """An engine that waits for the end of a pipe would wait for ever."""
    bundle.args("true").save()
    argv = pyoci.command("create", "--bundle", str(bundle.path), "box")
    quiet = subprocess.DEVNULL
    subprocess.run(argv, stdin=quiet, stdout=quiet, stderr=quiet, timeout=120, check=True, pass_fds=[leaked])
    pid = json.loads(pyoci("state", "box").out)["pid"]
    links = {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
    assert str(directory) not in links


def test_proc_is_not_mounted_where_a_link_points_to(bundle: Bundle, pyoci: Pyoci) -> None:
    """CVE-2023-27561: who shares the root filesystem makes /proc a link at the right moment, and masks nothing then.

    Fails with open_destination() (mount.c) using what it has made without opening it again.
    """
    shutil.rmtree(bundle.rootfs / "proc", ignore_errors=True)
    flip = compile_static(FLIP, bundle.path / "flip")
    process = subprocess.Popen([flip, "tmp", bundle.rootfs / "proc"])
    try:
        for _ in range(25):
            result = pyoci.run(bundle.args("ls", "/tmp"), check=False)
            assert "self" not in result.out.split()
            with contextlib.suppress(OSError):  # the link may be there just now
                (bundle.rootfs / "proc").rmdir()
    finally:
        process.kill()
        process.wait()


def test_the_pid_file_follows_no_link(bundle: Bundle, pyoci: Pyoci, directory: Path) -> None:
    """Its directory may be somebody else's to write to.

    Fails without O_EXCL and O_NOFOLLOW in _write_new() (lifecycle/pid_file.py).
    """
    victim = directory / "victim"
    victim.write_text("precious")
    (directory / ".pid").symlink_to(victim)
    container = pyoci.create(bundle.args("true"), "--pid-file", str(directory / "pid"))
    assert (directory / "pid").read_text() == str(container.pid)
    assert victim.read_text() == "precious"
    assert not (directory / ".pid").is_symlink()


def test_the_runtimes_own_mount_namespace_is_not_joined(bundle: Bundle, pyoci: Pyoci) -> None:
    """pivot_root(2) there would be the host's. Tried in a mount namespace of the test's own, in case the defence fails.

    Fails without refuse_own_namespaces() (lifecycle/own_namespaces.py).
    """
    bundle.without_namespace("mount").namespace("mount", "/proc/self/ns/mnt")
    bundle.args("true").save()
    argv = ["unshare", "-m", *pyoci.command("run", "--bundle", str(bundle.path), "box")]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
    assert done.returncode == 1
    assert "the runtime's own mount namespace" in done.stderr
    assert "/linux/namespaces/" in done.stderr


@pytest.mark.parametrize(
    ("kind", "file", "key"),
    [("network", "net", "net.ipv4.ip_forward"), ("ipc", "ipc", "kernel.msgmax"), ("uts", "uts", "kernel.domainname")],
)
def test_no_sysctl_of_a_namespace_that_is_the_hosts(
    bundle: Bundle, pyoci: Pyoci, kind: str, file: str, key: str
) -> None:
    """Fails without refuse_own_namespaces() (lifecycle/own_namespaces.py)."""
    setting = Path("/proc/sys") / key.replace(".", "/")
    value = setting.read_text().strip()
    bundle.without_namespace(kind).namespace(kind, f"/proc/self/ns/{file}")
    if kind == "uts":
        del bundle.config["hostname"]
    bundle.linux["sysctl"] = {key: value}  # the one that it has, in case the defence fails
    result = pyoci.run(bundle.args("true"), check=False)
    assert result.code == 1
    assert f"/linux/sysctl/{key}" in result.err
    assert "namespace in /linux/namespaces that is not the runtime's own" in result.err


def test_a_namespace_that_is_a_fifo_does_not_hold_us_up(bundle: Bundle, pyoci: Pyoci, directory: Path) -> None:
    os.mkfifo(directory / "fifo")
    bundle.without_namespace("ipc").namespace("ipc", str(directory / "fifo"))
    assert "cannot join namespaces" in pyoci.run(bundle.args("true"), check=False).err


def test_an_interrupted_exec_does_not_wait_for_a_paused_process(bundle: Bundle, pyoci: Pyoci) -> None:
    container = pyoci.run_detached(bundle.args("sleep", "1000"))
    pyoci("pause", container.id)
    process = pyoci.spawn("exec", "--ignore-paused", container.id, "true")
    time.sleep(0.5)
    assert process.poll() is None, "it is not the pause that it waits for"
    started = time.monotonic()
    process.terminate()
    assert process.wait(120) != 0
    assert time.monotonic() - started < 60
    pyoci("resume", container.id)
