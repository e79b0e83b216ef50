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
    cgroups_path = _cgroups_path(container)
    for manager in (_manager(container_id, cgroups_path), _systemd_manager(container_id, cgroups_path)):
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


def _systemd_manager(container_id: str, cgroups_path: str | None) -> Manager | None:
    """Of the unit that --systemd-cgroup would have made: which driver it was is not known any more."""
    from oci_runtime.linux.cgroups.systemd_bus import check_booted

    try:
        check_booted()
        from oci_runtime.lifecycle.host_facts import is_rootless
        from oci_runtime.linux.cgroups import systemd

        return systemd.find(cgroups_path, container_id, rootless=is_rootless())
    except PyociError:
        return None  # no systemd, or a path that is none of its


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
