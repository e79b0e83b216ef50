"""state: what a container is doing (runtime.md, Query State)."""

from __future__ import annotations

from oci_runtime.lifecycle.hook_state import SPEC_VERSION
from oci_runtime.state import store
from oci_runtime.state.status import status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from oci_runtime.state.store import Container


def state(root: str, container_id: str) -> dict[str, Any]:
    """The properties that runc prints, in its order. StateError when there is no such container."""
    return describe(store.load(root, container_id))


def describe(container: Container) -> dict[str, Any]:
    """The same for a container at hand; `pid` is 0 once it has stopped."""
    record = container.record
    found = status(container)
    described: dict[str, Any] = {
        "ociVersion": SPEC_VERSION,
        "id": record["id"],
        "pid": 0 if found == "stopped" else record["pid"],
        "status": found,
        "bundle": record["bundle"],
        "rootfs": record["rootfs"],
        "created": record["created"],
    }
    if record["annotations"]:
        described["annotations"] = record["annotations"]
    described["owner"] = ""
    return described
