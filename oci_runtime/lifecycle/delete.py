"""delete: removes what create made (runtime.md, Delete)."""

from __future__ import annotations

import posix

from oci_runtime._shim import lib
from oci_runtime.errors import NoCgroupfsError, PyociError, StateError
from oci_runtime.lifecycle.warnings import to_stderr
from oci_runtime.linux.processes import open_process, wait_for_end
from oci_runtime.state import store
from oci_runtime.state.record import DamagedState
from oci_runtime.state.status import status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from oci_runtime.linux.cgroups.manager import Manager
    from oci_runtime.spec.types import Hook
    from oci_runtime.state.record import Record
    from oci_runtime.state.store import Container

SIGKILL = 9
# seconds
DEATH_TIMEOUT = 10.0
CREATE_TIMEOUT = 10.0


def delete(root: str, container_id: str, force: bool = False, warn: Callable[[str], None] = to_stderr) -> None:
    """Deletes a stopped container, with `force` any, and then one that does not exist is no error.

    StateError when it has not stopped or does not exist.
    """
    if force:
        store.remove_unfinished(root, container_id)
    try:
        container = store.load(root, container_id)
        try:
            _lock(container, force)
        except BaseException:
            container.close()  # who goes on with a damaged one waits for the lock anew
            raise
    except StateError:
        if force:
            return
        raise
    except DamagedState:
        if not force:
            raise
        _delete_damaged(root, container_id, warn)
        return
    found = status(container)
    if found != "stopped" and not force:
        hint = "; kill it before, or delete it with --force" if found == "created" else ""
        raise StateError(f"cannot delete container {container_id} that is not stopped: {found}{hint}")
    try:
        kill_and_destroy(container, warn)
    except NoCgroupfsError as error:  # the record is whole, but what it says cannot be
        if not force:
            raise
        warn(str(error))
        container.close()
        _delete_damaged(root, container_id, warn)


def _delete_damaged(root: str, container_id: str, warn: Callable[[str], None]) -> None:
    from oci_runtime.lifecycle.damaged import delete_damaged

    delete_damaged(root, container_id, warn)


def _lock(container: Container, force: bool) -> None:
    """The lock. With force a create that is at work is made to fail, which ends it: its init is killed. Its death is
    waited for with the lock only, as it may be `pause` that is at work, and freezes what is about to die."""
    if not force:
        container.lock(to_stderr)
        return
    if not container.try_lock():
        pidfd = _send_kill(container, _manager(container))
        if pidfd >= 0:
            posix.close(pidfd)
        container.lock(to_stderr, CREATE_TIMEOUT)


def kill_and_destroy(container: Container, warn: Callable[[str], None]) -> None:
    """Ends the container's processes, removes its cgroups and its record, and runs the poststop hooks.

    The container must be locked. What is removed first is what `delete` can find again.
    """
    manager = _manager(container)
    _kill(container, manager)
    if manager:
        manager.delete()
    if "mount" not in container.record["namespaces"]:
        from oci_runtime.linux.inherited_mounts import unmount

        unmount(container.directory)
    if container.record["resctrl"]:
        from oci_runtime.linux.resctrl import remove_groups

        remove_groups(container.record["resctrl"])
    hooks = poststop_hooks(container, warn) if "poststop" in container.record["hooks"] else []
    container.remove()
    container.close()
    if hooks:
        run_poststop_hooks(container.record, hooks, warn)


def _manager(container: Container) -> Manager | None:
    if not container.record["cgroups"]:
        return None
    from oci_runtime.linux.cgroups.manager import from_state

    return from_state(container.record["cgroups"])


def _kill(container: Container, manager: Manager | None) -> None:
    """Ends all processes."""
    pidfd = _send_kill(container, manager)
    if pidfd >= 0:
        ended = wait_for_end(pidfd, DEATH_TIMEOUT)
        posix.close(pidfd)
        if not ended:
            record = container.record
            raise PyociError(f"process {record['pid']} of container {record['id']} does not end after SIGKILL")


def _send_kill(container: Container, manager: Manager | None) -> int:
    """SIGKILL to all processes; a pidfd of init, or -1 if it has ended. init first, whose death ends those of its pid
    namespace; a frozen one dies when it is thawed."""
    record = container.record
    pidfd = open_process(record["pid"], record["start_time"])
    if pidfd >= 0:
        lib.sys_pidfd_send_signal(pidfd, SIGKILL)
    if manager and manager.exists():
        manager.kill_all()
    return pidfd


def poststop_hooks(container: Container, warn: Callable[[str], None]) -> list[Hook]:
    """Those of a container that has some; `warn` is told when they cannot be."""
    from oci_runtime.lifecycle.saved import saved_hooks

    try:
        return saved_hooks(container, "poststop")
    except PyociError as error:  # an earlier delete may have been interrupted at its end
        warn(f"the poststop hooks are not known any more: {error}")
        return []


def run_poststop_hooks(record: Record, hooks: list[Hook], warn: Callable[[str], None]) -> None:
    """All of them, whether they fail or not (runtime.md, Lifecycle, step 13)."""
    from oci_runtime.lifecycle.hook_state import hook_state, surroundings
    from oci_runtime.linux.hooks import run_hook

    state, around = hook_state(record, "stopped"), surroundings(record["bundle"], record["annotations"])
    for i, hook in enumerate(hooks):
        try:
            run_hook(hook, "poststop", f"/hooks/poststop/{i}", state, around)
        except PyociError as error:
            warn(str(error))
