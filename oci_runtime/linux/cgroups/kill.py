"""Freezing and killing with the v1 freezer, or where there is no cgroup.kill."""

from __future__ import annotations

from errno import ESRCH
from posix import kill

from oci_runtime.errors import PyociError, SystemCallError
from oci_runtime.linux.cgroups.tree import Patience

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.linux.cgroups.cgroup import Cgroup
    from oci_runtime.linux.cgroups.manager import Manager

_FREEZE_TIMEOUT = 10.0
_SIGKILL = 9


def freeze_v1(freezer: Cgroup) -> None:
    """Freeze a cgroup of the v1 freezer and wait until it is.

    The kernel never finishes when a process is being forked or moved in meanwhile, so FROZEN is written again and
    again, with a moment of thaw now and then.
    """
    patience = Patience(_FREEZE_TIMEOUT)
    tries = 0
    while True:
        freezer.write("freezer.state", "FROZEN")
        if freezer.read("freezer.state").strip() == "FROZEN":
            return
        tries += 1
        if tries % 20 == 0:
            freezer.write("freezer.state", "THAWED")
        if not patience.wait():
            freezer.write("freezer.state", "THAWED")
            raise PyociError(f"the cgroup {freezer} did not freeze within {_FREEZE_TIMEOUT:g} s")


def send(pids: list[int], signal: int) -> None:
    """Send a signal to each of the processes; those that have ended meanwhile are passed over."""
    for pid in pids:
        try:
            kill(pid, signal)
        except OSError as error:
            if error.errno != ESRCH:
                raise SystemCallError(f"cannot send signal {signal} to process {pid}", error.errno or 0) from None


def kill_frozen(manager: Manager) -> None:
    """SIGKILL every process while none can fork, then let them die. Without a freezer, until none is left."""
    can_freeze = manager.exists()
    try:
        manager.freeze()
    except PyociError:
        can_freeze = False  # no freezer, or it did not come about: repeat instead
    patience = Patience(1.0)
    while True:
        pids = manager.pids(recursive=True)
        send(pids, _SIGKILL)
        if can_freeze:
            manager.thaw_if_there()
            return
        if not pids or not patience.wait():
            return
