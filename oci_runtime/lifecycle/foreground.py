"""A process in the foreground: its signals, its terminal, its end."""

from __future__ import annotations

import posix
from _signal import SIG_BLOCK, SIG_SETMASK, pthread_sigmask
from select import POLLIN, poll

from oci_runtime._shim import lib
from oci_runtime.errors import SystemCallError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.lifecycle.terminal import Terminal

# signal(7), Linux
SIGCHLD, SIGWINCH, SIGKILL, SIGSTOP, SIGURG = 17, 28, 9, 19, 23
_SIGNAL_COUNT = 64
# Not passed on: what cannot be caught, what is about ourselves, and the interpreter's own trouble.
_SYNCHRONOUS = {4, 5, 7, 8, 11}
_OURS = {SIGCHLD, SIGKILL, SIGSTOP, SIGURG, 32, 33, *_SYNCHRONOUS}
_SIGINFO_SIZE = 128


def wait(pid: int, pidfd: int, master: int) -> int:
    """Waits for the child `pid`, passing signals on to it, and, where `master` is a terminal's other end (else -1),
    what is typed and what it prints. Returns its exit code, or 128 and the number of the signal that killed it."""
    signals = {number for number in range(1, _SIGNAL_COUNT + 1) if number not in _OURS}
    before = pthread_sigmask(SIG_BLOCK, signals | {SIGCHLD})
    source = lib.sys_signalfd(sum(1 << (number - 1) for number in signals | {SIGCHLD}))
    if source < 0:
        raise SystemCallError("signalfd", -source)
    terminal = _terminal(master) if master >= 0 else None
    try:
        return _loop(pid, pidfd, source, terminal)
    finally:
        posix.close(source)
        if terminal:
            terminal.close()
        pthread_sigmask(SIG_SETMASK, before)


def _terminal(master: int) -> Terminal:
    from oci_runtime.lifecycle.terminal import Terminal

    return Terminal(master)


def _loop(pid: int, pidfd: int, source: int, terminal: Terminal | None) -> int:
    poller = poll()
    poller.register(source, POLLIN)
    if terminal:
        terminal.register(poller)
    ended = _reap(pid)  # it may have ended before SIGCHLD was blocked
    while ended is None:
        for fd, _ in poller.poll():
            if fd == source:
                ended = _signalled(pid, pidfd, source, terminal)
            elif terminal:
                terminal.ready(fd, poller)
    if terminal:
        terminal.drain()
    return ended


def _signalled(pid: int, pidfd: int, source: int, terminal: Terminal | None) -> int | None:
    """Handles what signalfd(2) has; the exit code once the child has ended."""
    try:
        data = posix.read(source, _SIGINFO_SIZE * 32)
    except BlockingIOError:
        return None
    child_changed = False
    for at in range(0, len(data), _SIGINFO_SIZE):
        number = memoryview(data)[at : at + 4].cast("I")[0]
        if number == SIGCHLD:
            child_changed = True
        elif number == SIGWINCH and terminal:
            terminal.resize()
        else:
            lib.sys_pidfd_send_signal(pidfd, number)
    return _reap(pid) if child_changed else None


def _reap(pid: int) -> int | None:
    """Reaps every child that has ended, adopted orphans too; the exit code if `pid` was among them."""
    code = None
    while True:
        try:
            ended, status = posix.waitpid(-1, posix.WNOHANG)
        except ChildProcessError:
            return code
        if not ended:
            return code
        if ended == pid:
            exit_code = posix.waitstatus_to_exitcode(status)
            code = exit_code if exit_code >= 0 else 128 - exit_code
