"""ps: the processes of a container."""

from __future__ import annotations

from oci_runtime.errors import StateError
from oci_runtime.state import store
from oci_runtime.state.status import status


def pids(root: str, container_id: str) -> list[int]:
    """Their pids in the runtime's pid namespace, sorted; none when it has stopped."""
    container = store.load(root, container_id)
    cgroups = container.record["cgroups"]
    if not cgroups:
        if status(container) == "stopped":
            return []
        if "pid" in container.record["namespaces"]:
            from oci_runtime.linux.pid_namespace import members

            return members(container.record["pid"])
        raise StateError(
            "the container has neither a cgroup nor a pid namespace of its own, "
            "so its processes cannot be told from others"
        )
    from oci_runtime.linux.cgroups.manager import from_state

    manager = from_state(cgroups)
    try:
        return manager.pids(recursive=True)
    finally:
        manager.close()
