"""A container's unit of systemd: making it, its properties, and its end with the slices that were made for it."""

from __future__ import annotations

from oci_runtime.errors import PyociError, StateError
from oci_runtime.linux.cgroups import systemd_bus
from oci_runtime.linux.cgroups.cgroup import PATH_POINTER, Cgroup
from oci_runtime.linux.cgroups.snapshot import Snapshot
from oci_runtime.linux.cgroups.systemd_properties import Property

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from oci_runtime.linux.cgroups.systemd_names import UnitName

#: How systemd refuses a property whose value is of another type than it expects.
_WRONG_VALUE = (
    "org.freedesktop.DBus.Error.InconsistentMessage",
    "org.freedesktop.DBus.Error.InvalidArgs",
    "System.Error.ENXIO",
)


class Unit:
    """The container's unit. `address` is that of its manager; `slices` are those that are there on its account."""

    __slots__ = ("_bus", "_is_anothers", "_version", "address", "annotated", "description", "name", "slices")

    def __init__(self, name: UnitName, address: str) -> None:
        self.name = name
        self.address = address
        self.annotated: list[Property] = []
        self.description = ""
        self.slices: list[str] = []
        self._bus: systemd_bus.Bus | None = None
        self._is_anothers = False
        self._version = -1

    def to_state(self) -> dict[str, Any]:
        return {
            "name": self.name.name,
            "slice": self.name.slice,
            "manager": self.address,
            "slices": self.slices,
        }

    @property
    def bus(self) -> systemd_bus.Bus:
        if self._bus is None:
            self._bus = systemd_bus.connect([self.address])
        return self._bus

    def use(self, bus: systemd_bus.Bus) -> None:
        self._bus = bus

    def close(self) -> None:
        if self._bus:
            self._bus.close()
            self._bus = None

    def version(self) -> int:
        """That of systemd, asked for once."""
        if self._version < 0:
            self._version = self.bus.version()
        return self._version

    def note_slices(self, tree: Cgroup) -> None:
        """After tree.probe(): which slices are not there yet, and that they are systemd's to remove.

        StateError when the container is to be a slice that is there: systemd would take it for the new one.
        """
        depth = len(tree.path.split("/"))
        if self.name.is_slice and tree.kept == depth:
            raise StateError(f"{PATH_POINTER}: the slice {self.name.name} is there already; a container needs its own")
        self.slices = [name for name in tree.path.split("/")[tree.kept : depth - 1] if name.endswith(".slice")]
        tree.kept = depth - 1

    def start(self, pid: int, wanted: Sequence[Property], accounting: str) -> None:
        """Make the unit, with the process if it is a scope. Raises PyociError."""
        every: list[Property] = [Property("Description", "s", self.description)]
        if self.name.is_slice:
            every.append(Property("Wants", "as", [self.name.slice]))
        else:
            every.append(Property("Slice", "s", self.name.slice))
            every.append(Property("Delegate", "b", True))
            every.append(Property("PIDs", "au", [pid]))
        for name in ("MemoryAccounting", "CPUAccounting", accounting, "TasksAccounting"):
            every.append(Property(name, "b", True))
        every.append(Property("DefaultDependencies", "b", False))
        every += [*wanted, *self.annotated]
        try:
            self._start(every)
        except systemd_bus.BusError as error:
            raise PyociError(f"cannot make the unit {self.name.name}{self._culprit(error)}: {error}") from error

    def _start(self, every: Sequence[Property]) -> None:
        try:
            self.bus.start_transient(self.name.name, every)
        except systemd_bus.BusError as error:
            if error.name != systemd_bus.UNIT_EXISTS:
                raise
            # one that failed stays until somebody has taken notice; the cgroup is unused, check_unused() has seen to it
            self.bus.reset_failed(self.name.name)
            self._is_anothers = True
            self.bus.start_transient(self.name.name, every)
            self._is_anothers = False

    def _culprit(self, error: systemd_bus.BusError) -> str:
        """The pointer of what an error of systemd is about, or may be: it does not name a property of another type."""
        text = str(error)
        named = [each.pointer for each in self.annotated if each.name in text]
        if not named and error.name in _WRONG_VALUE:
            named = [each.pointer for each in self.annotated]
        return f" ({', '.join(named) or PATH_POINTER})"

    def set(self, wanted: Sequence[Property]) -> None:
        """Change properties of the unit. Raises PyociError."""
        if not wanted:
            return
        try:
            self.bus.set_properties(self.name.name, wanted)
        except systemd_bus.BusError as error:
            raise PyociError(f"cannot change the unit {self.name.name}: {error}") from error

    def present(self, wanted: Sequence[Property]) -> list[Property]:
        """What `wanted` would replace. Lists, to which systemd adds, are emptied first."""
        found: list[Property] = []
        for name in dict.fromkeys(each.name for each in wanted):
            signature, value = self.bus.unit_property(self.name.name, name, self.name.kind)
            if signature.startswith("a("):
                found.append(Property(name, signature, []))
            found.append(Property(name, signature, value))
        return found

    def stop(self) -> None:
        """Stop the unit and let systemd forget it. BusError; an unreachable manager is one that has no such unit."""
        if self._is_anothers:
            return
        try:
            bus = self.bus
        except systemd_bus.BusError:
            return  # a user's manager ends with his session, and its units with it
        bus.stop(self.name.name)
        bus.reset_failed(self.name.name)

    def stop_slices(self, tree: Cgroup) -> int:
        """Stop the slices that are there on account of the container, as far as nobody else uses them; how many.

        A unit that comes in between is not stopped with its slice: the job ignores dependencies.
        """
        from oci_runtime.linux.cgroups.cgroup import from_state

        above = tree.path.split("/")[:-1]
        depth = len(above)
        while above and above[-1] in self.slices:
            cgroup = from_state([tree.version, ",".join(tree.controllers), tree.mount, "/".join(above), 0])
            try:
                if cgroup.open() >= 0 and not _is_empty(cgroup):
                    break
                self.bus.stop(above[-1], "ignore-dependencies")
            except systemd_bus.BusError:
                break  # the slice is empty, and systemd's
            finally:
                cgroup.close()
            del above[-1]
        return depth - len(above)


def _is_empty(cgroup: Cgroup) -> bool:
    """No processes, and no cgroups below it."""
    import posix

    from oci_runtime.linux.cgroups import _fs

    try:
        here = _fs.open_at(cgroup.require(), ".", posix.O_RDONLY | posix.O_DIRECTORY)
    except OSError:
        return True
    try:
        return not _fs.subdirectories(here) and not cgroup.pids(recursive=False)
    finally:
        posix.close(here)


class UnitSnapshot(Snapshot):
    """What the files and the unit's properties were."""

    __slots__ = ("files", "properties", "unit")

    def __init__(self, files: Snapshot, unit: Unit, properties: list[Property]) -> None:
        super().__init__()
        self.files = files
        self.unit = unit
        self.properties = properties

    def restore(self) -> None:
        try:
            self.unit.set(self.properties)
        finally:
            self.files.restore()
