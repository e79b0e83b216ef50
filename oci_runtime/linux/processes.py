"""Processes by pid, without ever mistaking another one for them."""

from __future__ import annotations

import posix
from errno import EINVAL, ENOENT, ESRCH

from oci_runtime.errors import PyociError, SystemCallError

# proc_pid_stat(5), counted from the field after the command's name
_STATE, _START_TIME = 0, 19
# milliseconds; poll(2) takes an int
_POLL_AT_MOST = 2**31 - 1
# seconds, thirty years: what adds up as a float whatever a configuration says
_WAIT_AT_MOST = 10**9


def start_time(pid: int) -> int:
    """When the process started, in clock ticks since boot; 0 when there is none, or only a zombie.

    Together with the pid this names a process for ever: proc_pid_stat(5), field 22. PyociError when nobody can tell:
    who cannot look must not take a process for one that has ended.
    """
    path = f"/proc/{pid}/stat"
    try:
        fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
        try:
            text = posix.read(fd, 1024)
        finally:
            posix.close(fd)
    except OSError as error:
        if error.errno in (ENOENT, ESRCH):  # it ended, maybe just now
            return 0
        raise PyociError(f"cannot read {path}: {error.strerror}") from error
    fields = text[text.rindex(b")") + 2 :].split()
    return 0 if fields[_STATE] in (b"Z", b"X") else int(fields[_START_TIME])


def is_alive(pid: int, started: int) -> bool:
    """Whether the very process that was recorded still runs."""
    return pid > 0 and started > 0 and start_time(pid) == started


def open_process(pid: int, started: int) -> int:
    """A pidfd of the recorded process, or -1 when it has ended. PyociError when nobody can tell."""
    if pid <= 0:
        return -1
    from oci_runtime._shim import lib  # not for `state`, which gets by without it

    fd: int = lib.sys_pidfd_open(pid)
    if fd < 0:
        if -fd in (ESRCH, EINVAL):  # EINVAL: a thread has its number now
            return -1
        raise SystemCallError(f"cannot get hold of process {pid}", -fd)
    try:
        alive = is_alive(pid, started)
    except BaseException:
        posix.close(fd)
        raise
    if not alive:
        posix.close(fd)
        return -1
    return fd


def close_quietly(descriptor: int) -> None:
    """close(2) of what nothing was written to: Linux gives the descriptor back whatever it says."""
    try:
        posix.close(descriptor)
    except OSError:
        pass


def wait_for_end(pidfd: int, timeout: float, other: int = -1) -> bool:
    """Sleeps until the process has ended, `timeout` seconds at most, and no longer than the process `other` lives, a
    pidfd too. Whether it has ended. A negative timeout is none."""
    from select import POLLIN, poll

    poller = poll()
    poller.register(pidfd, POLLIN)
    if other >= 0:
        poller.register(other, POLLIN)
    if timeout < 0:
        return _is_among(pidfd, poller.poll())
    from time import monotonic

    end = monotonic() + min(timeout, _WAIT_AT_MOST)
    while not (ready := poller.poll(min(max(end - monotonic(), 0) * 1000, _POLL_AT_MOST))):
        if monotonic() >= end:
            return False
    return _is_among(pidfd, ready)


def _is_among(descriptor: int, ready: list[tuple[int, int]]) -> bool:
    return any(fd == descriptor for fd, _ in ready)
