"""All or nothing: what control files hold before limits are written, and putting it back when one is refused.

File formats: the kernel's admin-guide/cgroup-v1 and cgroup-v2.
"""

from __future__ import annotations

import posix
from errno import ENOENT, ENOSPC

from oci_runtime.errors import PyociError
from oci_runtime.linux.cgroups import _fs, limits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from oci_runtime.linux.cgroups.cgroup import Cgroup
    from oci_runtime.linux.cgroups.limits import Write

#: Files whose lines begin with a name; those of other files may begin with a device number.
_NAMED_LINES = ("dmem.low", "dmem.max", "dmem.min", "misc.max", "net_prio.ifpriomap", "rdma.max")

#: What is written after a device number that the file does not list, so that it is not listed again.
_NOTHING = {
    "blkio.bfq.weight_device": "default",
    "io.bfq.weight": "default",
    "io.latency": "target=max",
    "io.max": "rbps=max wbps=max riops=max wiops=max",
    "io.weight": "default",
}

#: Setting one sets the other too.
_COMPANIONS = {1: {"cpu.idle": "cpu.shares"}, 2: {"cpu.idle": "cpu.weight"}}


class Snapshot:
    """Values of control files, as they were when take() was called."""

    __slots__ = ("_values",)

    def __init__(self) -> None:
        self._values: list[_Value] = []

    def take(self, write: Write, cgroup: Cgroup) -> None:
        """Remember what `write` will replace."""
        for file, value in write.alternatives():
            if self._remember(_Value(cgroup, file, _key(file, value))):
                if companion := _COMPANIONS[cgroup.version].get(file):
                    self._remember(_Value(cgroup, companion, ""))
                return

    def _remember(self, value: _Value) -> bool:
        """False when there is no such file. One that cannot be read holds nothing, it is an order to the kernel."""
        if any(value.same_place(other) for other in self._values):
            return True
        try:
            value.line = value.read()
        except OSError as error:
            return error.errno != ENOENT
        self._values.append(value)
        return True

    def restore(self) -> None:
        """Put everything back. PyociError names what the kernel does not take back.

        Some values bound each other, so what is refused is tried again after the others.
        """
        for _ in range(len(self._values) + 1):
            changed = [value for value in reversed(self._values) if value.is_changed()]
            if not changed:
                return
            refused = [value for value in changed if not value.put_back()]
            if len(refused) == len(changed):
                break
        raise PyociError("these could not be set back: " + ", ".join(map(str, changed)))


class _Value:
    """A control file, or the line of it that begins with `key`, and that line as it was."""

    __slots__ = ("cgroup", "file", "key", "line")

    def __init__(self, cgroup: Cgroup, file: str, key: str) -> None:
        self.cgroup = cgroup
        self.file = file
        self.key = key
        self.line = ""

    def __str__(self) -> str:
        return f"{self.cgroup}/{self.file} to {self.line!r}"

    def same_place(self, other: _Value) -> bool:
        return self.cgroup is other.cgroup and self.file == other.file and self.key == other.key

    def read(self) -> str:
        """The line as it is now, in the form that can be written. Raises OSError."""
        lines = _fs.read(self.cgroup.require(), self.file).splitlines()
        if self.key:
            for line in lines:
                if line.startswith(self.key + " "):
                    return line
            return f"{self.key} {_NOTHING.get(self.file, '0')}"
        if self.file == "memory.oom_control":  # it says more than it takes
            return lines[0].partition(" ")[2]
        return lines[0] if lines else ""

    def is_changed(self) -> bool:
        try:
            return self.read() != self.line
        except OSError as error:
            return error.errno not in _fs.GONE  # the container has gone

    def put_back(self) -> bool:
        try:
            _fs.write(self.cgroup.require(), self.file, self.line + "\n")
        except OSError as error:
            return error.errno == ENOSPC and not self.line and self._put_back_inherited()
        return True

    def _put_back_inherited(self) -> bool:
        """An empty cpuset of v2 means the parent's. With processes in it none can be emptied again (cpuset.c)."""
        try:
            above = _fs.open_parent(self.cgroup.require())
            try:
                self.line = _fs.read(above, f"{self.file}.effective").strip()
            finally:
                posix.close(above)
            _fs.write(self.cgroup.require(), self.file, self.line)
        except OSError:
            return False
        return True


def _key(file: str, value: str) -> str:
    """What the line begins with that a value written to `file` replaces; '' when it is all there is."""
    first, blank, _ = value.partition(" ")
    return first if blank and (":" in first or file in _NAMED_LINES) else ""


def run(writes: Sequence[Write], locate: Callable[[str], Cgroup | None], why_missing: Callable[[str], str]) -> Snapshot:
    """limits.run(), but when it fails every value is put back. The result can take it back later.

    cpuset is the last, since it cannot always be put back as it was.
    """
    writes = sorted(writes, key=lambda write: write.controller == "cpuset")
    cgroups = limits.find(writes, locate, why_missing)
    snapshot = Snapshot()
    for write in writes:
        snapshot.take(write, cgroups[write.controller])
    try:
        limits.carry_out(writes, cgroups, why_missing)
    except BaseException as error:
        try:
            snapshot.restore()
        except PyociError as more:
            raise PyociError(f"{error}; and {more}") from error
        raise
    return snapshot
