"""pause: stops every process of a container by its freezer."""

from __future__ import annotations

from oci_runtime.errors import PyociError, StateError
from oci_runtime.lifecycle.interruption import hold, undo_when_interrupted
from oci_runtime.lifecycle.warnings import to_stderr
from oci_runtime.state import store
from oci_runtime.state.status import status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from oci_runtime.linux.cgroups.manager import Manager
    from oci_runtime.state.store import Container


def pause(root: str, container_id: str, warn: Callable[[str], None] = to_stderr) -> None:
    """StateError when the container is neither created nor running. When it fails nothing is frozen."""
    container = store.load(root, container_id)
    container.lock(to_stderr)
    found = status(container)
    if found not in ("created", "running"):
        raise StateError(f"container not running or created: {found}")
    manager = cgroups_of(container)
    container.record["paused"] = True
    _record(container, needed=found == "created", warn=warn)  # first, for what is recorded is looked into
    undo_when_interrupted()
    try:
        manager.freeze()
        hold()
    except BaseException:
        hold()
        manager.thaw_anyway()
        container.record["paused"] = False
        _record(container, needed=False, warn=warn)
        raise


def _record(container: Container, *, needed: bool, warn: Callable[[str], None]) -> None:
    """A process that runs is looked at for being frozen anyway. One that waits for `start` is only where the record
    says so: unknown to the record it would keep `start` waiting."""
    try:
        container.save()
    except PyociError as error:
        if needed:
            raise
        warn(f"container {container.id!r}: the record could not be changed: {error}")


def cgroups_of(container: Container) -> Manager:
    """The manager of the container's cgroups. StateError when it has none."""
    if not container.record["cgroups"]:
        raise StateError(f"container {container.id!r} has no cgroup of its own")
    from oci_runtime.linux.cgroups.manager import from_state

    return from_state(container.record["cgroups"])
