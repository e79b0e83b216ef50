"""exec --cgroup: cgroups below the container's, as paths by controller of cgroup v1, or one by '' for all."""

from __future__ import annotations

import posix
from errno import ENOENT

from oci_runtime.errors import SystemCallError, UsageError
from oci_runtime.linux.cgroups import _fs
from oci_runtime.linux.cgroups.cgroup import Cgroup, add

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


def of_v2(paths: Mapping[str, str]) -> str:
    """The one path that v2 can have."""
    if "" not in paths:
        controller, path = next(iter(paths.items()))
        raise UsageError(
            f"--cgroup {controller}:{path}: cgroup v2 has one tree for all controllers; valid is a PATH alone"
        )
    return _below(paths[""])


def by_hierarchy(paths: Mapping[str, str], hierarchies: list[Cgroup]) -> dict[tuple[str, ...], str]:
    """v1's paths by hierarchy, that is by its controllers; that of () is for all."""
    found: dict[tuple[str, ...], str] = {}
    for controller, path in paths.items():
        if not controller:
            return {(): _below(path)}
        for cgroup in hierarchies:
            if controller in cgroup.controllers or f"name={controller}" in cgroup.controllers:
                if found.setdefault(cgroup.controllers, _below(path)) != _below(path):
                    raise UsageError(f"--cgroup {controller}:{path}: {cgroup.mount} has another path already")
                break
        else:
            raise UsageError(f"--cgroup {controller}:{path}: there is no such controller on this host")
    return found


def _below(path: str) -> str:
    names = [name for name in path.split("/") if name not in ("", ".")]
    if ".." in names or "\0" in path:
        raise UsageError(f"--cgroup {path}: the path must stay below the container's cgroup")
    return "/".join(names)


def open_below(cgroup: Cgroup, path: str) -> int:
    """A new descriptor of `path` below the container's cgroup, or of that itself."""
    try:
        return _fs.open_dir(cgroup.require(), path or ".")
    except OSError as error:
        raise SystemCallError(f"cannot open the cgroup {cgroup}/{path}", error.errno or 0) from None


def cannot_join(cgroup: Cgroup, path: str, pid: int, error: OSError) -> SystemCallError:
    """The error for a process that could not be moved."""
    where = f"{cgroup}/{path}".rstrip("/")
    return SystemCallError(f"cannot move process {pid} into the cgroup {where}", error.errno or 0)


def join_init(cgroup: Cgroup, pid: int, init_pid: int) -> None:
    """Move a process into the v2 cgroup that the container's init is in now."""
    try:
        directory = open_current(cgroup, init_pid)
        try:
            add(directory, pid)
        finally:
            posix.close(directory)
    except OSError as error:
        raise cannot_join(cgroup, "", pid, error) from None


def open_current(cgroup: Cgroup, pid: int) -> int:
    """A new descriptor of the cgroup that a process is in now, in the hierarchy of `cgroup`. Raises OSError."""
    from oci_runtime.linux.cgroups.layout import current_path

    path = current_path(cgroup, pid).strip("/")
    # not below the cgroup that our namespace has for its root; or where it is not limited at all
    if ".." in path.split("/") or (not path and (cgroup.version == 2 or "devices" in cgroup.controllers)):
        raise OSError(ENOENT, posix.strerror(ENOENT))
    return _fs.open_dir(cgroup.open_root(), path or ".")
