"""linux.sysctl."""

from __future__ import annotations

from oci_runtime._shim import lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.plan.operations import Plan
    from oci_runtime.spec.types import Linux


def plan_sysctl(plan: Plan, linux: Linux) -> None:
    """One write a parameter, through a procfs that the image cannot have replaced (CVE-2025-52881)."""
    for key, value in linux.get("sysctl", {}).items():
        escaped = key.replace("~", "~0").replace("/", "~1")
        plan.add(lib.OP_SYSCTL, f"/linux/sysctl/{escaped}", (sysctl_path(key), value))


def sysctl_path(key: str) -> str:
    """The file below /proc/sys, by the rule of sysctl(8): the separator that comes first is the separator."""
    dot, slash = key.find("."), key.find("/")
    return key if slash >= 0 and (dot < 0 or slash < dot) else key.replace("/", "\0").replace(".", "/").replace("\0", ".")
