"""Hybrid hosts: what of linux.resources is for the v1 hierarchies, and what for the v2 tree beside them.

Each controller is in one of the two. Which, the host decides; new kernels may be built without v1's memory and cpuset.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from oci_runtime.spec.types import Resources

#: Property of linux.resources, controller in v1, controller in v2.
_PROPERTIES = (
    ("memory", "memory", "memory"),
    ("pids", "pids", "pids"),
    ("blockIO", "blkio", "io"),
    ("hugepageLimits", "hugetlb", "hugetlb"),
    ("rdma", "rdma", "rdma"),
)
_CPUSET = ("cpus", "mems")


def split(
    resources: Resources, in_v1: Callable[[str], object], v2_controllers: Callable[[], Sequence[str]]
) -> tuple[Resources, Resources]:
    """The resources for v1, and those for v2: of controllers that v1 has not and v2 has. Most often that is nothing."""
    there: dict[str, Any] = {**resources}
    here: dict[str, Any] = {}
    for name, v1, v2 in _PROPERTIES:
        if name in there and not in_v1(v1) and v2 in v2_controllers():
            here[name] = there.pop(name)
    cpu = there.get("cpu") or {}
    parts = {"cpuset": [name for name in cpu if name in _CPUSET], "cpu": [name for name in cpu if name not in _CPUSET]}
    for controller, names in parts.items():
        if names and not in_v1(controller) and controller in v2_controllers():
            here["cpu"] = {**here.get("cpu", {}), **{name: cpu[name] for name in names}}
            there["cpu"] = {name: value for name, value in there["cpu"].items() if name not in names}
    return there, here  # type: ignore[return-value]
