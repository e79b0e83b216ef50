"""SIGTERM and the like end a command in an orderly way: what it has made so far is undone first.

Where an effect and the registration of its undo must not be torn apart, hold() makes such a signal wait for release().
"""

from __future__ import annotations

from _signal import SIG_BLOCK, SIG_IGN, SIG_UNBLOCK, getsignal, pthread_sigmask, signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

# signal(7)
SIGHUP, SIGINT, SIGTERM = 1, 2, 15
_SIGNALS = (SIGHUP, SIGINT, SIGTERM)


class Interrupted(KeyboardInterrupt):
    """A signal asks the command to end."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def undo_when_interrupted() -> None:
    """From now on such a signal, unless it is ignored, raises Interrupted."""
    for number in _SIGNALS:
        if getsignal(number) is not SIG_IGN:
            signal(number, _interrupt)


def _interrupt(number: int, _frame: object) -> NoReturn:
    raise Interrupted(number)


def hold() -> None:
    """Such signals wait."""
    pthread_sigmask(SIG_BLOCK, _SIGNALS)


def release() -> None:
    """They need not wait any longer."""
    pthread_sigmask(SIG_UNBLOCK, _SIGNALS)
