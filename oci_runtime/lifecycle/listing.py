"""list: all containers of a state root."""

from __future__ import annotations

import posix

from oci_runtime.errors import PyociError, StateError
from oci_runtime.lifecycle.hook_state import SPEC_VERSION
from oci_runtime.lifecycle.state import describe
from oci_runtime.lifecycle.warnings import to_stderr
from oci_runtime.state import store
from oci_runtime.state.record import DamagedState, date

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from oci_runtime.state.store import Container


def list_containers(root: str, warn: Callable[[str], None] = to_stderr) -> list[dict[str, Any]]:
    """What `state` gives for each, with the name of its owner, sorted by id.

    One whose record is damaged is there with the status "damaged", one whose status cannot be told with "unknown", and
    `warn` is told why. FileNotFoundError without `root`, PyociError when that cannot be used.
    """
    found = []
    for container_id in store.list_ids(root):
        try:
            found.append(_entry(root, container_id, warn))
        except StateError:
            continue  # deleted just now, or no container
        except PyociError as error:
            warn(str(error))
    return found


def _entry(root: str, container_id: str, warn: Callable[[str], None]) -> dict[str, Any]:
    status = "damaged"
    try:
        container = store.load(root, container_id)
    except DamagedState as error:
        warn(str(error))
        container = store.open_damaged(root, container_id)
    else:
        try:
            described = describe(container)
        except PyociError as error:
            warn(f"container {container_id!r}: {error}")
            status = "unknown"
        else:
            described["owner"] = _user_name(container.record["owner"])
            container.close()
            return described
    try:
        return _without_record(container, status)
    finally:
        container.close()


def _without_record(container: Container, status: str) -> dict[str, Any]:
    """The properties of describe(), as far as a container's directory has them; `created` has to be a time."""
    found = posix.fstat(container.directory)
    return {
        "ociVersion": SPEC_VERSION,
        "id": container.id,
        "pid": 0,
        "status": status,
        "bundle": container.record.get("bundle", ""),
        "rootfs": container.record.get("rootfs", ""),
        "created": date(found.st_mtime_ns),
        "owner": _user_name(found.st_uid),
    }


def _user_name(uid: int) -> str:
    from pwd import getpwuid

    try:
        return getpwuid(uid).pw_name
    except KeyError:
        return f"#{uid}"
