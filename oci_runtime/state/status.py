"""What a container is doing: runtime.md, State. Derived from the record and from its process, not believed."""

from __future__ import annotations

import posix
from errno import EACCES, ENOENT, EPERM, ESRCH, EWOULDBLOCK

from oci_runtime.errors import PyociError
from oci_runtime.linux.processes import is_alive
from oci_runtime.state.store import START_SOCKET

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.state.store import Container

_INIT = "/memfd:pyoci-init"


def status(container: Container) -> str:
    """ "creating", "created", "running", "paused" or "stopped"."""
    record = container.record
    if not is_alive(record["pid"], record["start_time"]):
        if record["status"] == "creating" and not record["pid"] and _is_locked(container):
            return "creating"
        return "stopped"
    if record["status"] == "creating":
        return "creating"
    if record["status"] == "created" and not record["paused"] and _waits(container):
        return "created"
    if _is_paused(container):
        return "paused"
    return "created" if record["status"] == "created" and _waits(container) else "running"


def _waits(container: Container) -> bool:
    """Whether init has not become the container's process; `start` may have died before it could record that it has."""
    if not container.has(START_SOCKET):
        return False
    try:
        return posix.readlink(f"/proc/{container.record['pid']}/exe").startswith(_INIT)
    except OSError as error:
        if error.errno in (ENOENT, ESRCH, EACCES, EPERM):
            return True  # it has ended, or is not for us to look at
        raise PyociError(f"cannot tell what process {container.record['pid']} executes: {error.strerror}") from error


def _is_paused(container: Container) -> bool:
    cgroups = container.record["cgroups"]
    if not cgroups:
        return False
    from oci_runtime.linux.cgroups.frozen import is_frozen

    return is_frozen(cgroups)


def _is_locked(container: Container) -> bool:
    """Whether a command is at work on the container. A lock of our own is not one."""
    from fcntl import LOCK_EX, LOCK_NB, flock

    try:
        fd = posix.open(".", posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC, dir_fd=container.directory)
    except OSError as error:
        if error.errno == ENOENT:
            return False  # deleted just now
        raise PyociError(f"cannot open {container.path}: {error.strerror}") from error
    try:
        flock(fd, LOCK_EX | LOCK_NB)
    except OSError as error:
        if error.errno == EWOULDBLOCK:
            return True
        raise PyociError(f"cannot lock {container.path}: {error.strerror}") from error
    finally:
        posix.close(fd)
    return False
