"""pause: stops every process of a container by its freezer."""

from __future__ import annotations

from oci_runtime.errors import StateError
from oci_runtime.state import store
from oci_runtime.state.status import status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.linux.cgroups.manager import Manager
    from oci_runtime.state.store import Container


def pause(root: str, container_id: str) -> None:
    """StateError when the container is neither created nor running."""
    container = store.load(root, container_id)
    container.lock()
    found = status(container)
    if found not in ("created", "running"):
        raise StateError(f"container not running or created: {found}")
    manager = cgroups_of(container)
    container.record["paused"] = True  # first, for what is recorded is looked into
    container.save()
    manager.freeze()


def cgroups_of(container: Container) -> Manager:
    """The manager of the container's cgroups. StateError when it has none."""
    if not container.record["cgroups"]:
        raise StateError(f"container {container.id!r} has no cgroup of its own")
    from oci_runtime.linux.cgroups.manager import from_state

    return from_state(container.record["cgroups"])
