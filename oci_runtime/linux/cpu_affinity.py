"""The CPUs that a process may run on: sched_setaffinity(2)."""

from __future__ import annotations

from posix import strerror

from oci_runtime._shim import lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# more than any kernel has; those that do not exist, or that the cpuset has not, do not matter
_EVERY_CPU = b"\xff" * 1024


def reset_affinity(pid: int, warn: Callable[[str], None]) -> None:
    """Lets the process run on every CPU that its cgroup has, whatever the runtime was confined to, as runc does."""
    error = lib.sys_sched_setaffinity(pid, _EVERY_CPU, len(_EVERY_CPU))
    if error:
        warn(f"the container may inherit the CPU affinity of pyoci: {strerror(-error)}")
