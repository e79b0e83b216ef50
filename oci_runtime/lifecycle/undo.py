"""What has been done, to be undone when a later step fails."""

from __future__ import annotations

import posix

from oci_runtime.errors import PyociError
from oci_runtime.lifecycle.interruption import hold

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# What the removal of a cgroup has open at once: its parent, itself, a directory below, and the walk through that.
_RESERVE = 4


class Undo:
    """Steps that take back what was done, run last first. `incomplete` when one that was `on_record` has failed."""

    __slots__ = ("_reserve", "_steps", "incomplete")

    def __init__(self) -> None:
        self._steps: list[tuple[Callable[[], object], bool]] = []
        self._reserve: list[int] = []
        self.incomplete = False

    def add(self, step: Callable[[], object], *, on_record: bool = False) -> None:
        """`on_record`: what it leaves when it fails is found again by the container's record alone."""
        self._steps.append((step, on_record))

    def reserve(self, descriptor: int) -> None:
        """Keeps descriptors, doubles of this one, for steps that open some: they may run because there are no more.

        PyociError when there are not even those.
        """
        try:
            for _ in range(_RESERVE):
                self._reserve.append(posix.dup(descriptor))
        except OSError as error:
            raise PyociError(f"cannot begin: {error.strerror}") from error

    def run(self, warn: Callable[[str], None]) -> None:
        """Runs them all, undisturbed by signals, as the command ends after it; one that fails is told and does not keep
        the others from running."""
        hold()
        self._release()
        while self._steps:
            step, on_record = self._steps.pop()
            try:
                step()
            except Exception as error:
                self.incomplete = self.incomplete or on_record
                why = error.strerror if isinstance(error, OSError) else error
                warn(f"while undoing a failed operation: {why}")

    def forget(self) -> None:
        """All went well."""
        self._steps.clear()
        self._release()

    def _release(self) -> None:
        while self._reserve:
            try:
                posix.close(self._reserve.pop())
            except OSError:
                pass  # Linux has closed it all the same: close(2)
