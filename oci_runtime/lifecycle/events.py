"""events: what a container uses, now and again, and that it ran out of memory."""

from __future__ import annotations

from errno import ENOENT, ESRCH

from oci_runtime.errors import PyociError, StateError, SystemCallError
from oci_runtime.lifecycle.pause import cgroups_of
from oci_runtime.lifecycle.warnings import to_stderr
from oci_runtime.linux.processes import is_alive, open_process
from oci_runtime.state import store
from oci_runtime.state.status import status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from oci_runtime.linux.cgroups.manager import Manager
    from oci_runtime.linux.cgroups.oom_notices import OomNotices
    from oci_runtime.state.record import Record
    from oci_runtime.state.store import Container

    Event = dict[str, Any]

_POLL_AT_MOST = 2**31 - 1  # ms


def stats(root: str, container_id: str) -> Event:
    """One event of type "stats". StateError when the container does not run."""
    container = _load(root, container_id)
    return _stats(container.record, cgroups_of(container))


def events(root: str, container_id: str, interval: float, warn: Callable[[str], None] = to_stderr) -> Iterator[Event]:
    """An event of type "stats" every `interval` seconds, and one of type "oom" whenever the kernel tells so, until the
    container has ended. StateError when it does not run to begin with."""
    import posix

    container = _load(root, container_id)
    record = container.record
    manager = cgroups_of(container)
    pidfd = open_process(record["pid"], record["start_time"])
    if pidfd < 0:
        raise StateError(f"container with id {container_id} is not running")
    notices = manager.oom_notices()
    if notices is None:
        warn("the container has no memory controller: there will be no oom events")
    try:
        yield from _watch(record, manager, pidfd, notices, interval, warn)
    finally:
        if notices is not None:
            notices.close()
        posix.close(pidfd)


def _load(root: str, container_id: str) -> Container:
    container = store.load(root, container_id)
    if status(container) in ("stopped", "creating"):
        raise StateError(f"container with id {container_id} is not running")
    return container


def _watch(
    record: Record,
    manager: Manager,
    pidfd: int,
    notices: OomNotices | None,
    interval: float,
    warn: Callable[[str], None],
) -> Iterator[Event]:
    from select import POLLIN, poll
    from time import monotonic

    poller = poll()
    poller.register(pidfd, POLLIN)
    if notices is not None:
        poller.register(notices.descriptor, notices.mask)
    due = monotonic() + interval
    while True:
        left = max(due - monotonic(), 0)
        ready = [descriptor for descriptor, _ in poller.poll(min(left * 1000, _POLL_AT_MOST))]
        if notices is not None and ready and notices.arrived():
            yield {"type": "oom", "id": record["id"]}
        if notices is not None and notices.ended:  # by a container that has left its cgroup
            poller.unregister(notices.descriptor)
            notices = None
        if pidfd in ready:
            return
        if monotonic() >= due:
            due = max(due + interval, monotonic())
            try:
                yield _stats(record, manager)
            except PyociError as error:
                if is_alive(record["pid"], record["start_time"]):
                    warn(str(error))


def _stats(record: Record, manager: Manager) -> Event:
    data = manager.stats()
    if record["resctrl"]:
        from oci_runtime.linux.resctrl import find_mount
        from oci_runtime.linux.resctrl_stats import collect

        try:
            data["intel_rdt"] = collect(record["resctrl"], find_mount())
        except OSError as error:
            group = record["resctrl"]["group"]
            raise SystemCallError(
                f"cannot read the statistics of the resctrl group {group}", error.errno or 0
            ) from None
    if "network" in record["namespaces"]:
        data["network_interfaces"] = _interfaces(record) or None
    return {"type": "stats", "id": record["id"], "data": data}


def _interfaces(record: Record) -> list[Event]:
    from oci_runtime.linux.net_statistics import of_process

    try:
        found = of_process(record["pid"])
    except OSError as error:
        if error.errno not in (ENOENT, ESRCH):
            raise SystemCallError("cannot read the statistics of the network interfaces", error.errno or 0) from None
        return []
    return found if is_alive(record["pid"], record["start_time"]) else []
