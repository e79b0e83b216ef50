"""What has been done, to be undone when a later step fails."""

from __future__ import annotations

from oci_runtime.lifecycle.interruption import hold

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Undo:
    """Steps that take back what was done, run last first."""

    __slots__ = ("_steps",)

    def __init__(self) -> None:
        self._steps: list[Callable[[], object]] = []

    def add(self, step: Callable[[], object]) -> None:
        self._steps.append(step)

    def run(self, warn: Callable[[str], None]) -> None:
        """Runs them all, undisturbed by signals, as the command ends after it; one that fails is told and does not keep
        the others from running."""
        hold()
        while self._steps:
            try:
                self._steps.pop()()
            except Exception as error:
                warn(f"while undoing a failed operation: {error}")

    def forget(self) -> None:
        """All went well."""
        self._steps.clear()
