"""process.rlimits: prlimit(2), by the runtime, whose privileges raise a limit where the container's would not."""

from __future__ import annotations

from oci_runtime._shim import lib
from oci_runtime.errors import SystemCallError
from oci_runtime.plan.process import OPEN_FILES_OF_INIT
from oci_runtime.spec.validate_process import RLIMITS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.spec.types import Process


def set_rlimits(pid: int, process: Process) -> None:
    """Sets the limits of init, which the process inherits; a soft limit of open files that is too low it lowers later,
    see plan_open_files()."""
    for i, rlimit in enumerate(process.get("rlimits", ())):
        soft, hard = rlimit["soft"] & (1 << 64) - 1, rlimit["hard"] & (1 << 64) - 1
        if rlimit["type"] == "RLIMIT_NOFILE" and soft < OPEN_FILES_OF_INIT:
            if hard < OPEN_FILES_OF_INIT:
                continue
            soft = OPEN_FILES_OF_INIT
        error = lib.sys_prlimit(pid, RLIMITS.index(rlimit["type"]), soft, hard)
        if error:
            what = f"cannot set {rlimit['type']} to {rlimit['soft']}:{rlimit['hard']}"
            raise SystemCallError(what, -error, f"/process/rlimits/{i}")
