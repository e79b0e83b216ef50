"""linux.sysctl."""

from __future__ import annotations

from oci_runtime._shim import lib
from oci_runtime.spec.validate_sysctl import components

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.plan.operations import Plan
    from oci_runtime.spec.types import Linux


def plan_sysctl(plan: Plan, linux: Linux) -> None:
    """One write a parameter, through a procfs that the image cannot have replaced (CVE-2025-52881)."""
    for key, value in linux.get("sysctl", {}).items():
        escaped = key.replace("~", "~0").replace("/", "~1")
        plan.add(lib.OP_SYSCTL, f"/linux/sysctl/{escaped}", ("/".join(components(key)), value))
