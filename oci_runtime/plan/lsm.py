"""process.apparmorProfile, process.selinuxLabel."""

from __future__ import annotations

from oci_runtime._shim import lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.plan.operations import Plan
    from oci_runtime.spec.types import Process


def plan_lsm_labels(plan: Plan, process: Process) -> None:
    """What the process is to become at its execve(2), written to a procfs that is proven to be one (CVE-2019-16884)."""
    label = process.get("selinuxLabel")
    if label:
        plan.add(lib.OP_LSM_LABEL, "/process/selinuxLabel", ("exec", label))
    profile = process.get("apparmorProfile")
    if profile and profile != "unconfined":
        plan.add(lib.OP_LSM_LABEL, "/process/apparmorProfile", ("apparmor/exec", f"exec {profile}"))
