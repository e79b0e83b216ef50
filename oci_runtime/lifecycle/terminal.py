"""Our terminal and the container's, connected: what is typed here goes there, what is printed there comes here."""

from __future__ import annotations

import posix
import termios
from errno import EIO, ENOSPC, EPIPE
from fcntl import ioctl
from select import POLLHUP, POLLIN, POLLOUT, poll

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_CHUNK = 32768
_PIPE_BUF = 4096  # pipe(7): so much can be written without waiting, once poll(2) says that there is room
_PATIENCE = 500  # ms
_WINSIZE = b"\0" * 8
_END_OF_FILE = b"\x04"  # as a terminal says it


def prepare(master: int) -> None:
    """Makes the container's terminal fit ours, before anything is printed on it: of our size, and without a carriage
    return before each line feed, which our terminal adds itself and no file wants, as with runc."""
    attributes = termios.tcgetattr(master)
    attributes[1] &= ~termios.ONLCR
    termios.tcsetattr(master, termios.TCSANOW, attributes)
    copy_size(master)


def copy_size(master: int) -> None:
    """Gives the container's terminal the size of ours, be it the one that we read from or print on, if it has any."""
    for fd in (0, 1, 2):
        try:
            size = ioctl(fd, termios.TIOCGWINSZ, _WINSIZE)
            if size[:4] != _WINSIZE[:4]:
                ioctl(master, termios.TIOCSWINSZ, size)
                return
        except OSError:
            pass  # no terminal, or it has gone away


class Terminal:
    """`master` is the container's terminal; standard input is put in raw mode while it is ours, if it is a terminal.

    Each direction is read only as fast as the other end takes it, and neither waits for the other, nor do signals.
    """

    __slots__ = (
        "_at_line_start",
        "_background",
        "_ended",
        "_gone",
        "_poller",
        "_printed",
        "_saved",
        "_typed",
        "master",
    )

    def __init__(self, master: int) -> None:
        self.master = master
        self._poller = poll()
        self._typed = b""
        self._printed = b""
        self._background = False
        self._ended = False  # nothing more will be typed
        self._gone = False  # nobody holds the container's end any more
        self._at_line_start = True
        self._saved: list[Any] | None = None
        posix.set_blocking(master, False)
        self._make_raw()

    def _make_raw(self) -> None:
        try:
            self._background = _in_background()
            if self._background:
                return
            attributes = termios.tcgetattr(0)
            termios.tcsetattr(0, termios.TCSANOW, _raw(attributes))
        except termios.error:
            return  # no terminal, or it has gone away
        if not self._saved:
            self._saved = attributes

    def register(self, poller: poll) -> None:
        """Says what to wait for: ready() is to be called then."""
        self._poller = poller
        self._listen()

    def resized(self) -> None:
        """Ours was."""
        copy_size(self.master)

    @property
    def timeout(self) -> int | None:
        """Milliseconds to wait for anything before look_again()."""
        return _PATIENCE if self._background else None

    def look_again(self) -> None:
        """Whether our terminal is ours by now: a shell tells no job that runs that it has got it."""
        self._make_raw()
        self._listen()

    def ready(self, fd: int, events: int) -> None:
        """Moves what `fd` has, or takes."""
        if fd == 0:
            self._read()
        elif fd == 1:
            self._print()
        else:
            if events & POLLHUP:
                self._typed = b""
            if events & POLLOUT:
                self._feed()
            if events & ~POLLOUT and not self._printed:
                self._receive()
        self._listen()

    def _listen(self) -> None:
        self._watch(0, 0 if self._background or self._ended or self._typed else POLLIN)
        self._watch(1, POLLOUT if self._printed else 0)
        wanted = (0 if self._printed else POLLIN) | (POLLOUT if self._typed else 0)
        self._watch(self.master, 0 if self._gone else wanted)

    def _watch(self, fd: int, events: int) -> None:
        if events:
            self._poller.register(fd, events)
            return
        try:
            self._poller.unregister(fd)
        except KeyError:
            pass  # it was not watched

    def _read(self) -> None:
        """What is typed; nothing in the background, where the terminal is another job's."""
        try:
            data = posix.read(0, _CHUNK)
        except BlockingIOError:
            return
        except OSError:
            self._background = _in_background()
            if self._background:
                return
            data = b""  # our terminal has gone away
        self._ended = not data
        # in the middle of a line the first one ends the line, and the second the file
        self._typed = data or (_END_OF_FILE if self._at_line_start else 2 * _END_OF_FILE)
        self._at_line_start = data[-1:] == b"\n"

    def _feed(self) -> None:
        try:
            self._typed = self._typed[posix.write(self.master, self._typed) :]
        except BlockingIOError:
            pass
        except OSError as error:
            if error.errno != EIO:
                raise
            self._typed = b""

    def _receive(self) -> None:
        try:
            self._printed = posix.read(self.master, _CHUNK)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != EIO:
                raise
        self._gone = not self._printed

    def _print(self) -> None:
        """No more at a time than a pipe takes that has room at all."""
        try:
            self._printed = self._printed[posix.write(1, self._printed[:_PIPE_BUF]) :]
        except BlockingIOError:
            pass
        except OSError as error:
            if error.errno not in (EIO, EPIPE, ENOSPC):
                raise
            self._printed = b""  # nobody reads, or keeps it

    def drain(self) -> None:
        """What the process printed before it ended."""
        poller = poll()
        poller.register(self.master, POLLIN)
        while self._printed or (not self._gone and poller.poll(0)):
            if self._printed:
                _wait_for_room()
                self._print()
            else:
                self._receive()

    def close(self) -> None:
        """Gives our terminal back as it was, at once: who stopped its output may be gone."""
        if self._saved:
            try:
                termios.tcsetattr(0, termios.TCSANOW, self._saved)
            except termios.error:
                pass  # it has gone away
        posix.close(self.master)


def _in_background() -> bool:
    """Whether standard input is the terminal of a session of ours in which another job has it."""
    try:
        return posix.tcgetpgrp(0) != posix.getpgrp()
    except OSError:
        return False


def _wait_for_room() -> None:
    poller = poll()
    poller.register(1, POLLOUT)
    poller.poll()


def _raw(attributes: list) -> list:  # type: ignore[type-arg]
    """cfmakeraw(3), but output is processed, as runc has it: a line feed goes to the beginning of the line."""
    iflag, oflag, cflag, lflag, *rest = attributes
    oflag |= termios.OPOST
    iflag &= ~(
        termios.IGNBRK
        | termios.BRKINT
        | termios.PARMRK
        | termios.ISTRIP
        | termios.INLCR
        | termios.IGNCR
        | termios.ICRNL
        | termios.IXON
    )
    lflag &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
    cflag = cflag & ~(termios.CSIZE | termios.PARENB) | termios.CS8
    return [iflag, oflag, cflag, lflag, *rest]
