"""linux.personality: personality(2)."""

from __future__ import annotations

from oci_runtime._shim import lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.plan.operations import Plan
    from oci_runtime.spec.types import Linux

DOMAINS = {"LINUX": 0x0000, "LINUX32": 0x0008}


def plan_personality(plan: Plan, linux: Linux) -> None:
    """The execution domain; the specification has no flags for it yet."""
    plan.add(lib.OP_PERSONALITY, "/linux/personality", (), (DOMAINS[linux["personality"]["domain"]],))
