"""A pid namespace in which no memory file is executed: each has a sysctl vm.memfd_noexec of its own."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_KEEP = "echo 2 > /proc/sys/vm/memfd_noexec && echo ready && exec sleep 100000"


@contextmanager
def memfd_noexec() -> Iterator[list[str]]:
    """The beginning of a command line that runs the rest in it, with a procfs of it. What is left in it is killed."""
    argv = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", _KEEP]
    keeper = subprocess.Popen(argv, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    try:
        assert keeper.stdout
        assert keeper.stdout.readline() == b"ready\n", "the kernel has no vm.memfd_noexec"
        children = Path(f"/proc/{keeper.pid}/task/{keeper.pid}/children").read_text().split()
        yield ["nsenter", "--target", children[0], "--pid", "--mount", "--"]
    finally:
        keeper.kill()
        keeper.wait()


def pid_on_the_host(enter: list[str], pid: int) -> int:
    """Of a process in there whose parent has ended, so that the first process in there is its parent."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            fields = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
        except OSError:  # it ended meanwhile
            continue
        if fields["PPid"].strip() == enter[2] and fields["NSpid"].split()[1] == str(pid):
            return int(process.name)
    raise AssertionError(f"there is no process {pid}")
