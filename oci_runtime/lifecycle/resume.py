"""resume: lets a paused container go on."""

from __future__ import annotations

from oci_runtime.errors import PyociError, StateError
from oci_runtime.lifecycle.pause import cgroups_of
from oci_runtime.lifecycle.warnings import to_stderr
from oci_runtime.state import store
from oci_runtime.state.status import status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def resume(root: str, container_id: str, warn: Callable[[str], None] = to_stderr) -> None:
    """StateError when the container is not paused."""
    container = store.load(root, container_id)
    container.lock(to_stderr)
    if status(container) != "paused" and not cgroups_of(container).frozen():
        raise StateError("container not paused")
    cgroups_of(container).thaw()
    if container.record["paused"]:
        container.record["paused"] = False
        try:
            container.save()
        except PyociError as error:  # that it goes on cannot be undone by that
            warn(f"container {container.id!r} goes on, but its record says that it is paused: {error}")
