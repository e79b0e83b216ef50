"""Namespaces as a test sees them: inodes, and processes of the host that hold namespaces of their own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from containers import Bundle, wait_for

# the names of config.json and those of /proc/PID/ns
FILES = {
    "pid": "pid",
    "network": "net",
    "ipc": "ipc",
    "uts": "uts",
    "mount": "mnt",
    "cgroup": "cgroup",
    "time": "time",
    "user": "user",
}
SHOW = "for each in cgroup ipc mnt net pid time user uts; do echo $each $(readlink /proc/self/ns/$each); done"


def inode(pid: int | str, kind: str) -> str:
    """The namespace of a process: `net:[4026531840]`."""
    return os.readlink(f"/proc/{pid}/ns/{FILES[kind]}")


def shown(output: str) -> dict[str, str]:
    """What SHOW printed, by the names of config.json."""
    found = dict(line.split(" ", 1) for line in output.splitlines() if ":[" in line)
    return {kind: found[file] for kind, file in FILES.items()}


def only(bundle: Bundle, *kinds: str) -> Bundle:
    """Sets the namespaces to new ones of these types."""
    bundle.linux["namespaces"] = [{"type": kind} for kind in kinds]
    return bundle


@contextmanager
def holder(*options: str) -> Iterator[int]:
    """The pid of a process with namespaces made by unshare(1); it ends with the context."""
    child = subprocess.Popen(["unshare", *options, "sleep", "60"])
    try:
        wait_for(lambda: _command(child.pid) == b"sleep")
        yield child.pid
    finally:
        child.kill()
        child.wait()


def _command(pid: int) -> bytes:
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        return file.read().split(b"\0")[0]
