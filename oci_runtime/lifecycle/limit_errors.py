"""Which limit of the container kept init from getting on: what the kernel did not tell, its counters do."""

from __future__ import annotations

import posix
from errno import EAGAIN, ENOMEM, ESRCH

from oci_runtime.errors import PyociError, SystemCallError
from oci_runtime.linux.processes import wait_for_end

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from oci_runtime.linux.cgroups.manager import Manager
    from oci_runtime.linux.spawn import Child

# seconds that the end of a process, whose descriptors are closed already, may take
_END_TIMEOUT = 2.0
_CLD_EXITED = 1  # waitid(2)
# bytes; with more it is something else that could not have its memory
_ENOUGH_FOR_INIT = 16 << 20


def ended(child: Child, before: str, manager: Manager | None, resources: Mapping[str, Any] | None) -> PyociError:
    """The error for an init that ended without a word before `before`."""
    how = _how_it_ended(child)
    reason = _out_of_memory(manager, resources) or ("was it killed?" if not how else "")
    return PyociError(f"init {how or 'ended'} before {before}" + (f"; {reason}" if reason else ""))


def _how_it_ended(child: Child) -> str:
    """Leaves it to be reaped."""
    if not wait_for_end(child.pidfd, _END_TIMEOUT):
        return ""
    try:
        result = posix.waitid(posix.P_PID, child.pid, posix.WEXITED | posix.WNOWAIT)
    except ChildProcessError:
        return ""
    if result is None:
        return ""
    if result.si_code == _CLD_EXITED:
        return f"ended with status {result.si_status}"
    return f"was killed by signal {result.si_status}"


def with_limit(error: SystemCallError, manager: Manager | None, resources: Mapping[str, Any] | None) -> PyociError:
    """The error, with the limit that it comes from, if it does from one."""
    reason = ""
    if error.errno in (ENOMEM, ESRCH):
        reason = _out_of_memory(manager, resources, failed=error.errno == ENOMEM)
    elif error.errno == EAGAIN:
        reason = _out_of_processes(resources)
    return PyociError(f"{error}; {reason}") if reason else error


def _out_of_memory(manager: Manager | None, resources: Mapping[str, Any] | None, failed: bool = False) -> str:
    """`failed`: a system call did; where nothing is killed, the kernel counts nothing that could be asked for."""
    limit = ((resources or {}).get("memory") or {}).get("limit")
    if not failed and not _has_been_killed(manager):
        return ""
    if failed and (limit or 0) > _ENOUGH_FOR_INIT:
        return ""
    if limit is None or limit < 0:
        return "" if failed else "it was out of memory, by the limit of a cgroup above it or by the host's"
    return f"it was out of memory: /linux/resources/memory/limit, {limit} bytes, is too little for it"


def _has_been_killed(manager: Manager | None) -> bool:
    try:
        return bool(manager and manager.oom_kills())
    except (OSError, PyociError):  # it is gone
        return False


def _out_of_processes(resources: Mapping[str, Any] | None) -> str:
    limit = ((resources or {}).get("pids") or {}).get("limit")
    if limit is None or limit < 0:
        return ""
    return f"/linux/resources/pids/limit, {limit}, is used up"
