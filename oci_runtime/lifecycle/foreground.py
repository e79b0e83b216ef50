"""A process in the foreground: its signals, its terminal, its end."""

from __future__ import annotations

import posix
from _signal import SIG_BLOCK, SIG_SETMASK, pthread_sigmask
from select import POLLIN, poll

from oci_runtime._shim import lib
from oci_runtime.errors import SystemCallError
from oci_runtime.lifecycle.interruption import SIGHUP, SIGINT, SIGTERM, Interrupted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.lifecycle.systemd import NotifySocket
    from oci_runtime.lifecycle.terminal import Terminal

# signal(7), Linux
SIGCHLD, SIGWINCH, SIGKILL, SIGSTOP, SIGURG = 17, 28, 9, 19, 23
_SIGNAL_COUNT = 64
# Not passed on: what cannot be caught, what is about ourselves, and the interpreter's own trouble.
_SYNCHRONOUS = {4, 5, 7, 8, 11}
_OURS = {SIGCHLD, SIGKILL, SIGSTOP, SIGURG, 32, 33, *_SYNCHRONOUS}
_SIGINFO_SIZE = 128


class Signals:
    """From its making on signals wait to be passed on to a process, whose start is not to be missed by any of them."""

    __slots__ = ("_before", "_early", "source")

    def __init__(self) -> None:
        signals = {number for number in range(1, _SIGNAL_COUNT + 1) if number not in _OURS} | {SIGCHLD}
        self._before = pthread_sigmask(SIG_BLOCK, signals)
        self._early: list[int] = []
        self.source: int = lib.sys_signalfd(sum(1 << (number - 1) for number in signals))
        if self.source < 0:
            raise SystemCallError("signalfd", -self.source)

    def until_readable(self, socket: int) -> None:
        """Waits for a message, as long as there is no process yet. A signal that ends commands raises Interrupted.

        poll(2) looks at the signals first: if the process was there when the signal came, the socket tells.
        """
        poller = poll()
        poller.register(self.source, POLLIN)
        poller.register(socket, POLLIN)
        while True:
            ready = [fd for fd, _ in poller.poll()]
            if socket in ready:
                return
            for number in self.read():
                if number in (SIGHUP, SIGINT, SIGTERM):
                    raise Interrupted(number)
                self._early.append(number)

    def read(self) -> list[int]:
        """The numbers of those that came."""
        early, self._early = self._early, []
        try:
            data = posix.read(self.source, _SIGINFO_SIZE * 32)
        except BlockingIOError:
            return early
        return early + [memoryview(data)[at : at + 4].cast("I")[0] for at in range(0, len(data), _SIGINFO_SIZE)]

    def close(self) -> None:
        """Signals do again what they did before."""
        posix.close(self.source)
        pthread_sigmask(SIG_SETMASK, self._before)


def wait(pid: int, pidfd: int, master: int, signals: Signals, notify: NotifySocket | None = None) -> int:
    """Waits for the child `pid`, passing signals on to it, and, where `master` is a terminal's other end (else -1),
    what is typed and what it prints. Returns its exit code, or 128 and the number of the signal that killed it."""
    terminal = _terminal(master) if master >= 0 else None
    try:
        return _Foreground(pid, pidfd, signals, terminal, notify).loop()
    finally:
        if terminal:
            terminal.close()
        signals.close()


def _terminal(master: int) -> Terminal:
    from oci_runtime.lifecycle.terminal import Terminal

    return Terminal(master)


class _Foreground:
    __slots__ = ("_notify", "_pid", "_pidfd", "_signals", "_terminal")

    def __init__(
        self, pid: int, pidfd: int, signals: Signals, terminal: Terminal | None, notify: NotifySocket | None
    ) -> None:
        self._pid = pid
        self._pidfd = pidfd
        self._signals = signals
        self._terminal = terminal
        self._notify = notify

    def loop(self) -> int:
        poller = poll()
        poller.register(self._signals.source, POLLIN)
        if self._terminal:
            self._terminal.register(poller)
        if self._notify:
            poller.register(self._notify.fd, POLLIN)
        ended = self._signalled()
        if ended is None:
            ended = _reap(self._pid)  # it may have ended before SIGCHLD was blocked
        while ended is None:
            for fd, events in poller.poll(self._terminal.timeout if self._terminal else None):
                if fd == self._signals.source:
                    ended = self._signalled()
                elif self._notify and fd == self._notify.fd:
                    if self._notify.forward(posix.getpid()):
                        poller.unregister(fd)
                elif self._terminal:
                    self._terminal.ready(fd, events)
            if self._terminal and self._terminal.timeout:
                self._terminal.look_again()
        if self._terminal:
            self._terminal.drain()
        return ended

    def _signalled(self) -> int | None:
        """Handles the signals that came; the exit code once the child has ended."""
        child_changed = False
        for number in self._signals.read():
            if number == SIGCHLD:
                child_changed = True
            elif number == SIGWINCH and self._terminal:
                self._terminal.resized()
            else:
                lib.sys_pidfd_send_signal(self._pidfd, number)
        return _reap(self._pid) if child_changed else None


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
