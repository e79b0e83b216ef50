"""linux.memoryPolicy: set_mempolicy(2)."""

from __future__ import annotations

from oci_runtime._shim import lib
from oci_runtime.plan.cpu_lists import bit_mask

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.plan.operations import Plan
    from oci_runtime.spec.types import Linux

MODES = {
    "MPOL_DEFAULT": 0,
    "MPOL_PREFERRED": 1,
    "MPOL_BIND": 2,
    "MPOL_INTERLEAVE": 3,
    "MPOL_LOCAL": 4,
    "MPOL_PREFERRED_MANY": 5,
    "MPOL_WEIGHTED_INTERLEAVE": 6,
}
FLAGS = {"MPOL_F_STATIC_NODES": 1 << 15, "MPOL_F_RELATIVE_NODES": 1 << 14, "MPOL_F_NUMA_BALANCING": 1 << 13}


def plan_memory_policy(plan: Plan, linux: Linux) -> None:
    """The NUMA policy, kept over execve(2)."""
    policy = linux["memoryPolicy"]
    mode = MODES[policy["mode"]]
    for flag in policy.get("flags", ()):
        mode |= FLAGS[flag]
    nodes = policy.get("nodes")
    mask = bit_mask(nodes) if nodes else None
    # the kernel reads one bit less than it is told
    plan.add(lib.OP_MEMORY_POLICY, "/linux/memoryPolicy", (mask,), (mode, len(mask) * 8 + 1 if mask else 0))
