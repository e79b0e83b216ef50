"""resume: lets a paused container go on."""

from __future__ import annotations

from oci_runtime.errors import StateError
from oci_runtime.lifecycle.pause import cgroups_of
from oci_runtime.state import store
from oci_runtime.state.status import status


def resume(root: str, container_id: str) -> None:
    """StateError when the container is not paused."""
    container = store.load(root, container_id)
    container.lock()
    if status(container) != "paused" and not cgroups_of(container).frozen():
        raise StateError("container not paused")
    cgroups_of(container).thaw()
    if container.record["paused"]:
        container.record["paused"] = False
        container.save()
