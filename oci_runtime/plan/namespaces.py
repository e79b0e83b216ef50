"""linux.namespaces: which are new, which are joined, and in what step of the container's birth."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.plan.operations import Plan
    from oci_runtime.spec.types import Linux, NamespaceType

# clone(2)
CLONE_FLAGS: dict[NamespaceType, int] = {
    "mount": 0x00020000,
    "cgroup": 0x02000000,
    "uts": 0x04000000,
    "ipc": 0x08000000,
    "user": 0x10000000,
    "pid": 0x20000000,
    "network": 0x40000000,
    "time": 0x00000080,
}
# A cgroup namespace has its root where its creator is, so the process must be in its cgroup first; a time namespace
# that has been entered takes no offsets. init makes both.
MADE_BY_INIT: tuple[NamespaceType, ...] = ("cgroup", "time")


class Namespaces:
    """The namespaces of a container.

    `new`: types to be made; `joined`: (type, path, pointer) in the configuration's order.
    """

    __slots__ = ("joined", "new")

    def __init__(self, linux: Linux) -> None:
        self.new: set[NamespaceType] = set()
        self.joined: list[tuple[NamespaceType, str, str]] = []
        for i, namespace in enumerate(linux.get("namespaces", ())):
            path = namespace.get("path")
            if path:
                self.joined.append((namespace["type"], path, f"/linux/namespaces/{i}/path"))
            else:
                self.new.add(namespace["type"])

    def has(self, kind: NamespaceType) -> bool:
        """Whether the container has a namespace of this type that is not the runtime's own."""
        return kind in self.new or any(joined[0] == kind for joined in self.joined)

    def clone_flags(self) -> int:
        """CLONE_NEW* flags for the clone that makes init."""
        flags = 0
        for kind in self.new:
            if kind not in MADE_BY_INIT:
                flags |= CLONE_FLAGS[kind]
        return flags


def plan_namespaces(plan: Plan, linux: Linux, namespaces: Namespaces) -> None:
    """The namespaces that init makes itself, and the loopback device of a new network."""
    from oci_runtime._shim import lib

    if "time" in namespaces.new:
        from oci_runtime.plan.time_offsets import plan_time_offsets

        plan_time_offsets(plan, linux)
    if "cgroup" in namespaces.new:
        plan.add(lib.OP_CGROUP_NAMESPACE, "/linux/namespaces")
    if "network" in namespaces.new:
        plan.add(lib.OP_LOOPBACK_UP, "/linux/namespaces")
