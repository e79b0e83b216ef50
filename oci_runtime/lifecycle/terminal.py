"""Our terminal and the container's, connected: what is typed here goes there, what is printed there comes here."""

from __future__ import annotations

import posix
import termios
from errno import EIO, EPIPE
from fcntl import ioctl
from select import POLLIN, POLLOUT, poll

_CHUNK = 32768
_WINSIZE = b"\0" * 8
_END_OF_FILE = b"\x04"  # as a terminal says it


class Terminal:
    """`master` is the container's terminal; standard input is put in raw mode while it is ours, if it is a terminal.

    What is typed is read only as fast as the container takes it, while its output goes on.
    """

    __slots__ = ("_ended", "_pending", "_saved", "master")

    def __init__(self, master: int) -> None:
        self.master = master
        self._pending = b""
        self._ended = False
        self._saved = None
        posix.set_blocking(master, False)
        try:
            self._saved = termios.tcgetattr(0)
        except termios.error:
            return
        self.resize()
        termios.tcsetattr(0, termios.TCSANOW, _raw(self._saved))

    def register(self, poller: poll) -> None:
        """Says what to wait for: ready() is to be called then."""
        poller.register(self.master, POLLIN)
        poller.register(0, POLLIN)

    def resize(self) -> None:
        """Gives the container's terminal the size of ours."""
        try:
            ioctl(self.master, termios.TIOCSWINSZ, ioctl(0, termios.TIOCGWINSZ, _WINSIZE))
        except OSError:
            pass  # ours is no terminal, or has gone away

    def ready(self, fd: int, events: int, poller: poll) -> None:
        """Moves what `fd` has."""
        if fd == 0:
            self._pending = self._input()
            poller.unregister(0)
        elif events & ~POLLOUT and not self._output():
            poller.unregister(self.master)
            return
        if fd == 0 or events & POLLOUT:
            self._feed()
            poller.register(self.master, POLLIN | POLLOUT if self._pending else POLLIN)
            if not self._pending and not self._ended:
                poller.register(0, POLLIN)

    def _input(self) -> bytes:
        try:
            data = posix.read(0, _CHUNK)
        except BlockingIOError:
            return b""
        except OSError:  # our terminal has gone away
            data = b""
        self._ended = not data
        return data or _END_OF_FILE

    def _feed(self) -> None:
        try:
            self._pending = self._pending[posix.write(self.master, self._pending) :]
        except BlockingIOError:
            pass
        except OSError as error:
            if error.errno != EIO:
                raise
            self._pending = b""

    def _output(self) -> bool:
        """Whether there was anything, or may be later."""
        try:
            data = posix.read(self.master, _CHUNK)
        except BlockingIOError:
            return True
        except OSError as error:
            if error.errno != EIO:  # nobody holds the terminal any more
                raise
            return False
        _write_all(1, data)
        return bool(data)

    def drain(self) -> None:
        """What the process printed before it ended."""
        poller = poll()
        poller.register(self.master, POLLIN)
        while poller.poll(0) and self._output():
            pass

    def close(self) -> None:
        """Gives our terminal back as it was."""
        if self._saved:
            termios.tcsetattr(0, termios.TCSADRAIN, self._saved)
        posix.close(self.master)


def _write_all(fd: int, data: bytes) -> None:
    """Nobody may be reading any more, and then the data is lost."""
    while data:
        try:
            data = data[posix.write(fd, data) :]
        except BlockingIOError:
            poller = poll()
            poller.register(fd, POLLOUT)
            poller.poll()
        except OSError as error:
            if error.errno not in (EIO, EPIPE):
                raise
            return


def _raw(attributes: list) -> list:  # type: ignore[type-arg]
    """cfmakeraw(3), but output is still processed, as runc leaves it."""
    iflag, oflag, cflag, lflag, *rest = attributes
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
