"""list: all containers of a state root."""

from __future__ import annotations

from oci_runtime.errors import PyociError, StateError
from oci_runtime.lifecycle.state import describe
from oci_runtime.lifecycle.warnings import to_stderr
from oci_runtime.state import store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def list_containers(root: str, warn: Callable[[str], None] = to_stderr) -> list[dict[str, Any]]:
    """What `state` gives for each, with the name of its owner, sorted by id. One that cannot be read is told of."""
    found = []
    for container_id in store.list_ids(root):
        try:
            container = store.load(root, container_id)
        except StateError:
            continue  # deleted just now
        except PyociError as error:
            warn(str(error))
            continue
        described = describe(container)
        described["owner"] = _user_name(container.record["owner"])
        container.close()
        found.append(described)
    return found


def _user_name(uid: int) -> str:
    from pwd import getpwuid

    try:
        return getpwuid(uid).pw_name
    except KeyError:
        return f"#{uid}"
