"""Whether a container is paused: one read, for `state` and `list`, which must not pay for a manager."""

from __future__ import annotations

import posix
from errno import ENODEV, ENOENT

from oci_runtime.errors import SystemCallError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


def is_frozen(record: Mapping[str, Any]) -> bool:
    """What Manager.frozen() says, from what Manager.to_state() recorded."""
    path = _freezer_file(record["cgroups"])
    if not path:
        return False
    try:
        fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
        try:
            return posix.read(fd, 16).strip() == b"1"
        finally:
            posix.close(fd)
    except OSError as error:
        if error.errno in (ENOENT, ENODEV):
            return False
        raise SystemCallError(f"cannot read {path}", error.errno or 0) from None


def _freezer_file(cgroups: list[tuple[int, str, str, str, int]]) -> str:
    for version, controllers, mount, path, _ in cgroups:
        if version == 2 and len(cgroups) == 1:
            return f"{mount}/{path}/cgroup.freeze"
        if "freezer" in controllers.split(","):
            return f"{mount}/{path}/freezer.self_freezing"
    return ""
