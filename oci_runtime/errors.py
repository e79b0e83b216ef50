"""The errors a user sees: one line, what and where and why.

Everything that pyoci refuses or fails to do is raised as one of these; cli/ prints it and exits. Anything else that
escapes is a bug of ours and is reported as such, still on one line.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


class PyociError(Exception):
    """A failure with a message for the user; `exit_code` is the status the command ends with."""

    exit_code = 1


class UsageError(PyociError):
    """The command line is wrong: unknown option, missing argument, invalid container id."""


class StateError(PyociError):
    """The container does not exist, exists already, or is in a state that forbids the operation."""


class NoCgroupfsError(PyociError):
    """Where a hierarchy of cgroups was to be mounted there is something else."""


class SystemCallError(PyociError):
    """The kernel refused an operation.

    `pointer` is the JSON pointer into config.json of the property that caused it ('' when none did);
    `errno` is the kernel's answer.
    """

    __slots__ = ("errno", "operation", "pointer")

    def __init__(self, operation: str, errno: int, pointer: str = "") -> None:
        from posix import strerror

        self.operation = operation
        self.errno = errno
        self.pointer = pointer
        where = f" ({pointer})" if pointer else ""
        super().__init__(f"{operation}{where}: {strerror(errno)}")


class Problem:
    """One thing wrong with a document: where (a JSON pointer, RFC 6901), and what, why and what would be valid."""

    __slots__ = ("message", "pointer")

    def __init__(self, pointer: str, message: str) -> None:
        self.pointer = pointer
        self.message = message

    def __repr__(self) -> str:
        return f"Problem({self.pointer!r}, {self.message!r})"


class SpecError(PyociError):
    """config.json (or process.json, or resources) is invalid; carries every problem found, not only the first."""

    __slots__ = ("problems",)

    def __init__(self, message: str, problems: Sequence[Problem] = ()) -> None:
        self.problems = tuple(problems)
        super().__init__(message)
