"""Freezing and killing with the v1 freezer, or where there is no cgroup.kill."""

from __future__ import annotations

from errno import EINVAL, ENOENT, ESRCH
from posix import close

from oci_runtime._shim import lib
from oci_runtime.errors import PyociError, StateError, SystemCallError
from oci_runtime.linux.cgroups import _fs
from oci_runtime.linux.cgroups.tree import Patience

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from oci_runtime.linux.cgroups.cgroup import Cgroup
    from oci_runtime.linux.cgroups.manager import Manager

_FREEZE_TIMEOUT = 10.0
_SIGKILL = 9
_AT_ONCE = 32  # descriptors


def freeze_v1(freezer: Cgroup) -> None:
    """Freeze a cgroup of the v1 freezer and wait until it is; when that fails it is thawed.

    The kernel never finishes when a process is being forked or moved in meanwhile, so FROZEN is written again and
    again, with a moment of thaw now and then.
    """
    patience = Patience(_FREEZE_TIMEOUT)
    tries = 0
    try:
        while True:
            freezer.write("freezer.state", "FROZEN")
            if freezer.read("freezer.state").strip() == "FROZEN":
                return
            tries += 1
            if tries % 20 == 0:
                freezer.write("freezer.state", "THAWED")
            if not patience.wait():
                raise PyociError(f"the cgroup {freezer} did not freeze within {_FREEZE_TIMEOUT:g} s")
    except BaseException:
        thaw_anyway(lambda: freezer.write("freezer.state", "THAWED"))
        raise


def thaw_anyway(thaw: Callable[[], None]) -> None:
    """Takes back what another failure, which is told, has left half done. Tried again, as it may have been for want of
    descriptors, or by a signal."""
    patience = Patience(1.0)
    while True:
        try:
            thaw()
            return
        except StateError:
            return  # somebody has removed it
        except SystemCallError as error:
            if error.errno in _fs.GONE or not patience.wait():
                return


def send(members: Callable[[], list[int]], signal: int) -> None:
    """Send a signal to each of the processes that `members` lists; those that have ended meanwhile are passed over.

    Who is still a member after a pidfd of it was opened is none that has got the pid of another.
    """
    pids = members()
    for first in range(0, len(pids), _AT_ONCE):
        pidfds: dict[int, int] = {}
        try:
            for pid in pids[first : first + _AT_ONCE]:
                _open(pid, pidfds)
            for pid in pidfds.keys() & set(members()):
                error = -lib.sys_pidfd_send_signal(pidfds[pid], signal)
                if error not in (0, ESRCH):
                    raise SystemCallError(f"cannot send signal {signal} to process {pid}", error)
        finally:
            for pidfd in pidfds.values():
                close(pidfd)


def _open(pid: int, pidfds: dict[int, int]) -> None:
    pidfd: int = lib.sys_pidfd_open(pid)
    if pidfd >= 0:
        pidfds[pid] = pidfd
    elif -pidfd not in (ESRCH, EINVAL, ENOENT):  # the last two: the pid is a thread's now
        raise SystemCallError(f"pidfd_open of process {pid}", -pidfd)


def kill_frozen(manager: Manager) -> None:
    """SIGKILL every process while none can fork, then let them die. Without a freezer, until none is left."""

    def members() -> list[int]:
        return manager.pids(recursive=True)

    can_freeze = manager.exists()
    try:
        manager.freeze()
    except PyociError:
        can_freeze = False  # no freezer, or it did not come about: repeat instead
    if can_freeze:
        try:
            send(members, _SIGKILL)
        finally:
            manager.thaw_if_there()
        return
    patience = Patience(1.0)
    while members():
        send(members, _SIGKILL)
        if not patience.wait():
            return
