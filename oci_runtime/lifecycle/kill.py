"""kill: a signal to the container's process, or to all of its processes (runtime.md, Kill)."""

from __future__ import annotations

from oci_runtime._shim import lib
from oci_runtime.errors import StateError, SystemCallError
from oci_runtime.linux.processes import close_quietly, is_alive, open_process, wait_for_end
from oci_runtime.state import store
from oci_runtime.state.status import status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from oci_runtime.state.store import Container

SIGKILL = 9
#: seconds
DEATH_TIMEOUT = 2.0


def kill(root: str, container_id: str, signal: int, everyone: bool = False) -> None:
    """Sends the signal. StateError when the container is neither created nor running."""
    container = store.load(root, container_id)
    if everyone:
        _signal_all(container, signal)
        return
    found = status(container)
    if found == "creating":
        raise StateError("cannot kill a container that is still being created (delete --force ends it)")
    if signal == SIGKILL and not container.record["own_pids"] and container.record["cgroups"]:
        # the death of init leaves the others, and they may have outlived it
        _kill_all(container, container.record["cgroups"], found)
        return
    if found == "stopped":
        raise StateError("container not running")
    signal_init(container, signal)


def _kill_all(container: Container, cgroups: dict[str, Any], found: str) -> None:
    from oci_runtime.linux.cgroups.manager import from_state

    manager = from_state(cgroups)
    try:
        if found == "stopped" and not (manager.exists() and manager.pids(recursive=True)):
            raise StateError("container not running")
        manager.kill_all()
    finally:
        manager.close()


def signal_init(container: Container, signal: int) -> None:
    """Sends a signal to the very process that is on record."""
    record = container.record
    pidfd = open_process(record["pid"], record["start_time"])
    if pidfd < 0:
        raise StateError("container not running")
    try:
        error = lib.sys_pidfd_send_signal(pidfd, signal)
        if error:
            raise SystemCallError(f"cannot send signal {signal}", -error)
        if signal == SIGKILL and container.record["cgroups"]:
            _thaw_to_end(container.record["cgroups"], pidfd)
    finally:
        close_quietly(pidfd)


def _thaw_to_end(cgroups: dict[str, Any], pidfd: int) -> None:
    """With cgroups v1 a frozen process dies only when it is thawed. One that ends was not frozen, and then it does not
    matter that nobody could tell."""
    try:
        _thaw(cgroups)
    except Exception:
        if not wait_for_end(pidfd, DEATH_TIMEOUT):
            raise


def _signal_without_cgroups(container: Container, signal: int) -> None:
    """All of its pid namespace; the death of init is that of the others. Without one of its own only init is known."""
    record = container.record
    if record["own_pids"] and signal != SIGKILL and is_alive(record["pid"], record["start_time"]):
        from oci_runtime.linux.cgroups.kill import send
        from oci_runtime.linux.pid_namespace import members

        def those() -> list[int]:
            found = members(record["pid"])
            # alive after that, so it was not somebody else's namespace
            return found if is_alive(record["pid"], record["start_time"]) else []

        send(those, signal)
        return
    signal_init(container, signal)


def _thaw(cgroups: dict[str, Any]) -> None:
    from oci_runtime.linux.cgroups.manager import from_state

    manager = from_state(cgroups)
    if manager.frozen():
        manager.thaw_if_there()
    manager.thaw_below()
    manager.close()


def _signal_all(container: Container, signal: int) -> None:
    cgroups = container.record["cgroups"]
    if not cgroups:
        _signal_without_cgroups(container, signal)
        return
    from oci_runtime.lifecycle.interruption import undo_when_interrupted
    from oci_runtime.linux.cgroups.manager import from_state

    undo_when_interrupted()  # they are frozen meanwhile
    manager = from_state(cgroups)
    manager.signal_all(signal)
    manager.close()
