"""Limits as data, and writing them: what limits_v1 and limits_v2 share."""

from __future__ import annotations

import posix
from errno import EBUSY, EINVAL, ENOENT, EOPNOTSUPP

from oci_runtime.errors import PyociError, SystemCallError
from oci_runtime.linux.cgroups import _fs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from oci_runtime.linux.cgroups.cgroup import Cgroup


class Write:
    """One write(2) of `value` to the first of `files` that exists, in the cgroup that has `controller`.

    `instead` is a file and its value for when none of them exists. `pointer` is the JSON pointer of the property.
    `optional` writes are left out when no file exists. `again` ones are tried a second time after the others of their
    controller when the kernel answers EINVAL: some limits bound each other, and which has to go first depends on their
    present values.
    """

    __slots__ = ("again", "controller", "files", "instead", "optional", "pointer", "value")

    def __init__(
        self,
        controller: str,
        files: str | tuple[str, ...],
        value: str,
        pointer: str,
        *,
        again: bool = False,
        optional: bool = False,
        instead: tuple[str, str] | None = None,
    ) -> None:
        self.controller = controller
        self.files = (files,) if isinstance(files, str) else files
        self.value = value
        self.pointer = pointer
        self.again = again
        self.optional = optional
        self.instead = instead

    def alternatives(self) -> list[tuple[str, str]]:
        """Files and the values for them; the first file that exists counts."""
        pairs = [(file, self.value) for file in self.files]
        return [*pairs, self.instead] if self.instead else pairs

    def __repr__(self) -> str:
        return f"Write({self.controller!r}, {self.files!r}, {self.value!r}, {self.pointer!r})"


def run(writes: Sequence[Write], locate: Callable[[str], Cgroup | None], why_missing: Callable[[str], str]) -> None:
    """Carry out `writes`, which are grouped by controller."""
    carry_out(writes, find(writes, locate, why_missing), why_missing)


def find(
    writes: Sequence[Write], locate: Callable[[str], Cgroup | None], why_missing: Callable[[str], str]
) -> dict[str, Cgroup]:
    """The cgroup of each controller of `writes`; all of them before anything is written."""
    cgroups: dict[str, Cgroup] = {}
    for write in writes:
        if write.controller not in cgroups:
            found = locate(write.controller)
            if found is None:
                raise _missing(write, why_missing)
            cgroups[write.controller] = found
    return cgroups


def carry_out(writes: Sequence[Write], cgroups: dict[str, Cgroup], why_missing: Callable[[str], str]) -> None:
    """Carry out `writes` in the `cgroups` of their controllers."""
    later: list[Write] = []
    group = ""
    for write in writes:
        if write.controller != group:
            _run_again(later, cgroups, why_missing)
            group = write.controller
        error = _try(write, cgroups[group])
        if error == EINVAL and write.again:
            later.append(write)
        elif error:
            raise _failure(write, cgroups[group], error, why_missing)
    _run_again(later, cgroups, why_missing)


def _run_again(later: list[Write], cgroups: dict[str, Cgroup], why_missing: Callable[[str], str]) -> None:
    for write in later:
        if error := _try(write, cgroups[write.controller]):
            raise _failure(write, cgroups[write.controller], error, why_missing)
    later.clear()


def _try(write: Write, cgroup: Cgroup) -> int:
    directory = cgroup.require()
    for file, value in write.alternatives():
        try:
            _fs.write(directory, file, value)
            return EOPNOTSUPP if file == _MAYBE_IGNORED and _is_ignored(directory, value) else 0
        except OSError as error:
            if error.errno != ENOENT:
                return error.errno or EINVAL
    return 0 if write.optional else ENOENT


def _is_ignored(directory: int, value: str) -> bool:
    """Linux 5.16 and newer take this limit and do nothing: it stays at more than any machine has."""
    return int(value) > 0 and int(_fs.read(directory, _MAYBE_IGNORED)) > 1 << 62


def _missing(write: Write, why_missing: Callable[[str], str]) -> PyociError:
    return PyociError(
        f"{write.pointer}: this needs the cgroup controller {write.controller}, which is not available;"
        f" {why_missing(write.controller)}"
    )


def _failure(write: Write, cgroup: Cgroup, error: int, why_missing: Callable[[str], str]) -> PyociError:
    file = write.instead[0] if write.instead else write.files[-1]
    if error == ENOENT:
        if _is_gone(cgroup):
            return SystemCallError(f"cannot set {file}: the cgroup {cgroup} is gone", error, write.pointer)
        if cgroup.version == 2 and write.controller not in ["cgroup", *_read(cgroup, "cgroup.controllers").split()]:
            return _missing(write, why_missing)
        return PyociError(f"{write.pointer}: this kernel has no {file}, so the property cannot be set; leave it out")
    operation = f"cannot set {file} of the cgroup {cgroup} to {write.value!r}"
    if error == EBUSY and file == "memory.limit_in_bytes":
        usage, peak = _read(cgroup, "memory.usage_in_bytes"), _read(cgroup, "memory.max_usage_in_bytes")
        operation += f" (current usage {usage.strip()}, peak {peak.strip()} bytes)"
    elif error == EOPNOTSUPP and file == _MAYBE_IGNORED:
        operation += " (this kernel no longer limits kernel memory; leave it out)"
    elif error == EINVAL and (hint := _HINTS.get(file)):
        operation += f" ({hint})"
    return SystemCallError(operation, error, write.pointer)


def _is_gone(cgroup: Cgroup) -> bool:
    try:
        posix.close(_fs.open_at(cgroup.require(), "cgroup.procs", posix.O_PATH))
    except OSError as error:
        return error.errno in _fs.GONE
    return False


_MAYBE_IGNORED = "memory.kmem.limit_in_bytes"

_HINTS = {
    "cpu.rt_runtime_us": "the parent cgroup must have at least as much realtime runtime",
    "cpu.cfs_quota_us": "it must be -1 or at least 1000, and not exceed that of the parent relative to the period",
    "memory.memsw.limit_in_bytes": "memory and swap together cannot be less than memory",
    "memory.limit_in_bytes": "memory cannot exceed memory and swap together",
}


def _read(cgroup: Cgroup, file: str) -> str:
    try:
        return _fs.read(cgroup.require(), file)
    except OSError:
        return "unknown"  # only adds to an error message
