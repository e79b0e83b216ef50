"""Our terminal and the container's, connected: what is typed here goes there, what is printed there comes here."""

from __future__ import annotations

import posix
import termios
from errno import EIO
from fcntl import ioctl
from select import POLLIN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from select import poll

_CHUNK = 32768
_WINSIZE = b"\0" * 8


class Terminal:
    """`master` is the container's terminal; standard input is put in raw mode while it is ours, if it is a terminal."""

    __slots__ = ("_input_open", "_saved", "master")

    def __init__(self, master: int) -> None:
        self.master = master
        self._input_open = True
        self._saved = None
        try:
            self._saved = termios.tcgetattr(0)
        except termios.error:
            return
        self.resize()
        termios.tcsetattr(0, termios.TCSANOW, _raw(self._saved))

    def register(self, poller: poll) -> None:
        poller.register(self.master, POLLIN)
        poller.register(0, POLLIN)

    def resize(self) -> None:
        """Gives the container's terminal the size of ours."""
        try:
            ioctl(self.master, termios.TIOCSWINSZ, ioctl(0, termios.TIOCGWINSZ, _WINSIZE))
        except OSError:
            pass  # ours is no terminal, or has gone away

    def ready(self, fd: int, poller: poll) -> None:
        """Moves what `fd` has."""
        if fd == self.master:
            if not self._output():
                poller.unregister(fd)
        elif not self._input():
            poller.unregister(0)

    def _output(self) -> bool:
        try:
            data = posix.read(self.master, _CHUNK)
        except OSError as error:
            if error.errno != EIO:  # nobody holds the terminal any more
                raise
            return False
        _write_all(1, data)
        return bool(data)

    def _input(self) -> bool:
        try:
            data = posix.read(0, _CHUNK)
        except OSError:
            data = b""
        if data:
            _write_all(self.master, data)
        else:
            _write_all(self.master, b"\x04")  # end of file, as a terminal says it
        return bool(data)

    def drain(self) -> None:
        """What the process printed before it ended."""
        posix.set_blocking(self.master, False)
        try:
            while self._output():
                pass
        except BlockingIOError:
            pass

    def close(self) -> None:
        """Gives our terminal back as it was."""
        if self._saved:
            termios.tcsetattr(0, termios.TCSADRAIN, self._saved)
        posix.close(self.master)


def _write_all(fd: int, data: bytes) -> None:
    while data:
        try:
            data = data[posix.write(fd, data) :]
        except (BrokenPipeError, BlockingIOError):
            return
        except OSError as error:
            if error.errno != EIO:
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
