"""delete --force of a container whose state.json is of no use: what can be told from what is left of it, from the id
and from config.json goes."""

from __future__ import annotations

import posix

from oci_runtime._shim import lib
from oci_runtime.errors import NoCgroupfsError, PyociError
from oci_runtime.lifecycle.delete import CREATE_TIMEOUT, DEATH_TIMEOUT, SIGKILL, poststop_hooks, run_poststop_hooks
from oci_runtime.lifecycle.warnings import to_stderr
from oci_runtime.linux.processes import open_process, wait_for_end
from oci_runtime.state import store
from oci_runtime.state.record import salvage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from oci_runtime.linux.cgroups.manager import Manager
    from oci_runtime.state.store import Container


def delete_damaged(root: str, container_id: str, warn: Callable[[str], None]) -> None:
    """Kills init and what is in the container's cgroups, removes them, and the record. PyociError when something does
    not go: then the record stays."""
    container = store.open_damaged(root, container_id)
    container.lock_directory(to_stderr, CREATE_TIMEOUT)
    known = _salvage(container)
    config = _config(container)
    hooks = poststop_hooks(container, warn) if _get(config, "hooks", "poststop") else []
    pidfd = open_process(known.get("pid", 0), known.get("start_time", 0))
    if pidfd >= 0:
        lib.sys_pidfd_send_signal(pidfd, SIGKILL)
    for manager in _managers(container_id, known.get("cgroups"), config):
        _remove(manager, warn)
    if pidfd >= 0:
        if not wait_for_end(pidfd, DEATH_TIMEOUT):
            raise PyociError(f"process {known['pid']} of container {container_id} does not end after SIGKILL")
        posix.close(pidfd)
    if "mount" not in known.get("namespaces", ()):
        from oci_runtime.linux.inherited_mounts import unmount

        unmount(container.directory)
    if known.get("resctrl"):
        from oci_runtime.linux.resctrl import remove_groups

        remove_groups(known["resctrl"])
    container.remove()
    container.close()
    if hooks:
        record: Any = {"annotations": {}, "bundle": "", **known, "id": container_id}
        run_poststop_hooks(record, hooks, warn)


def _salvage(container: Container) -> dict[str, Any]:
    try:
        return salvage(container.read("state.json"))
    except PyociError:
        return {}


def _config(container: Container) -> dict[str, Any]:
    """The configuration, whatever it is by now; empty when it cannot be read."""
    from oci_runtime.lifecycle.saved import saved_config

    try:
        return saved_config(container)  # type: ignore[return-value]
    except PyociError:
        return {}


def _get(config: dict[str, Any], section: str, name: str) -> Any:
    found = config.get(section)
    return found.get(name) if type(found) is dict else None


def _managers(container_id: str, recorded: dict[str, Any] | None, config: dict[str, Any]) -> Iterator[Manager]:
    """Of all cgroups that could be the container's: which driver made them may not be known any more."""
    from oci_runtime.linux.cgroups.manager import from_state

    if recorded:
        try:
            yield from_state(recorded)
        except PyociError:
            pass  # nothing that leads anywhere
    path = _get(config, "linux", "cgroupsPath")
    if type(path) is not str:
        path = None
    for found in (_cgroupfs(container_id, path), _systemd(container_id, path)):
        if found:
            yield found


def _remove(manager: Manager, warn: Callable[[str], None]) -> None:
    try:
        if manager.holds(posix.getpid()):  # then it may be anybody's, a session's say, that the damage leads to
            warn(f"the cgroup {manager.path()} is left as it is, since this command itself is in it")
            return
        if manager.exists():
            manager.kill_all()
        manager.delete()
    except NoCgroupfsError as error:
        warn(str(error))


def _systemd(container_id: str, cgroups_path: str | None) -> Manager | None:
    """Of the unit that --systemd-cgroup would have made."""
    from oci_runtime.linux.cgroups.systemd_bus import check_booted

    try:
        check_booted()
        from oci_runtime.lifecycle.host_facts import is_rootless
        from oci_runtime.linux.cgroups import systemd

        return systemd.find(cgroups_path, container_id, rootless=is_rootless())
    except PyociError:
        return None  # no systemd, or a path that is none of its


def _cgroupfs(container_id: str, cgroups_path: str | None) -> Manager | None:
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
