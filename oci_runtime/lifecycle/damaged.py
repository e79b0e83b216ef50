"""delete --force of a container whose state.json cannot be read: what can be told from its id and config.json goes."""

from __future__ import annotations

from oci_runtime.errors import PyociError
from oci_runtime.state import store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.linux.cgroups.manager import Manager


def delete_damaged(root: str, container_id: str) -> None:
    """Kills what is in the container's cgroups, removes them, and the record."""
    container = store.open_damaged(root, container_id)
    manager = _manager(container_id, _cgroups_path(container))
    if manager:
        if manager.exists():
            manager.kill_all()
        manager.delete()
    container.remove()
    container.close()


def _cgroups_path(container: store.Container) -> str | None:
    from oci_runtime.state.codec import loads

    try:
        path = loads(container.read("config.json").decode())["linux"]["cgroupsPath"]
    except (OSError, ValueError, StopIteration, KeyError, TypeError):
        return None
    return path if isinstance(path, str) else None


def _manager(container_id: str, cgroups_path: str | None) -> Manager | None:
    from oci_runtime.linux.cgroups import layout
    from oci_runtime.linux.cgroups.manager import from_state

    try:
        found = layout.find(cgroups_path, container_id)
    except PyociError:
        return None
    states = [cgroup.to_state() for cgroup in found]
    for cgroup in found:
        cgroup.close()
    return from_state({"driver": "cgroupfs", "cgroups": states})
