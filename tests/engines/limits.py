"""Resource limits of a running container, as the host's cgroup filesystem has them."""

from __future__ import annotations

from pathlib import Path

from .cleanup import CGROUP_ROOT


def limit(pid: int, controller: str, v1: str, v2: str) -> str:
    """The content of a cgroup file of the process `pid`: `v1` where the controller is on version 1, else `v2`."""
    paths: dict[str, str] = {}
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        paths |= {name: path.lstrip("/") for name in controllers.split(",")}
    if controller in paths:
        return (CGROUP_ROOT / controller / paths[controller] / v1).read_text().rstrip("\n")
    return (CGROUP_ROOT / paths[""] / v2).read_text().rstrip("\n")


def memory_limit(pid: int) -> int:
    """In bytes."""
    return int(limit(pid, "memory", "memory.limit_in_bytes", "memory.max"))


def cpu_quota(pid: int) -> int:
    """Microseconds in each period of 100 ms."""
    return int(limit(pid, "cpu", "cpu.cfs_quota_us", "cpu.max").split()[0])


def process_limit(pid: int) -> int:
    """How many processes and threads."""
    return int(limit(pid, "pids", "pids.max", "pids.max"))
