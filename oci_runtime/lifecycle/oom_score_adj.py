"""process.oomScoreAdj, which init gets at its birth."""

from __future__ import annotations

import posix

from oci_runtime.linux import spawn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.plan.operations import Plan
    from oci_runtime.spec.types import Process


def spawn_process(request: spawn.Request, plan: Plan, process: Process) -> spawn.Child:
    """Starts init, with process.oomScoreAdj."""
    value = process.get("oomScoreAdj")
    if value is None:
        return spawn.spawn(request, plan)
    from oci_runtime.linux.user_namespace import write_proc

    if posix.geteuid() != 0:
        from oci_runtime.linux.rootless import oom_score_adj

        # a process in another user namespace is not a user's to write to, but it inherits what he has himself
        before = oom_score_adj()
        write_proc(posix.getpid(), "oom_score_adj", str(value), "/process/oomScoreAdj")
        try:
            return spawn.spawn(request, plan)
        finally:
            write_proc(posix.getpid(), "oom_score_adj", before, "/process/oomScoreAdj")
    child = spawn.spawn(request, plan)
    try:
        write_proc(child.pid, "oom_score_adj", str(value), "/process/oomScoreAdj")
    except BaseException:
        child.kill()
        raise
    return child
