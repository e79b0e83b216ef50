"""The systemd driver (--systemd-cgroup): the container's cgroup is that of a transient unit, a scope or a slice.

systemd makes a scope only for a process that is there, so start() follows create() when the container's first process
waits. What has a property is given to systemd, so that a reload of it takes nothing back, and written to the cgroup
besides, which cgroupfs takes more of. The unit is on record before it is made: delete() finds it after a crash.
"""

from __future__ import annotations

from oci_runtime.errors import PyociError, SystemCallError
from oci_runtime.linux.cgroups import systemd_bus, systemd_names
from oci_runtime.linux.cgroups import systemd_properties as properties
from oci_runtime.linux.cgroups.cgroup import Cgroup
from oci_runtime.linux.cgroups.systemd_unit import Unit, UnitSnapshot
from oci_runtime.linux.cgroups.v1 import V1
from oci_runtime.linux.cgroups.v2 import V2

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from oci_runtime.linux.cgroups.manager import Manager, Subcgroups
    from oci_runtime.linux.cgroups.snapshot import Snapshot
    from oci_runtime.linux.cgroups.systemd_properties import Property
    from oci_runtime.spec.types import Resources

#: The v1 controllers that systemd manages; of the others' hierarchies it knows nothing.
_SYSTEMDS_V1 = ("cpu", "cpuacct", "blkio", "memory", "devices", "pids", "name=systemd")


class SystemdV2(V2):
    """Pure v2: the unit's cgroup in the one tree."""

    __slots__ = ("_started", "unit")

    needs_process = True

    def __init__(self, cgroup: Cgroup, unit: Unit, resources: Mapping[str, Any] | None, *, started: bool) -> None:
        super().__init__(cgroup, resources)
        self.unit = unit
        self._started = started

    def to_state(self) -> dict[str, Any]:
        return {"driver": "systemd", "unit": self.unit.to_state(), "cgroups": [self.cgroup.to_state()]}

    def check_unused(self) -> None:
        super().check_unused()
        self.unit.note_slices(self.cgroup)

    def create(self, owner: int | None = None) -> None:
        """Nothing yet, see start()."""

    def start(self, pid: int, owner: int | None = None) -> None:
        resources = _resources(self)
        wanted = self._properties(resources, "/linux/resources")
        self.unit.start(pid, [*wanted, *properties.oom_policy(resources, self.unit.version)], "IOAccounting")
        self._started = True
        _look_again(self.cgroup)
        super().create(owner)
        if self.unit.name.is_slice:
            self.add(pid)

    def _properties(self, resources: Resources, pointer: str) -> list[Property]:
        return properties.for_v2(resources, pointer, self.unit.version, bfq=self._has_bfq())

    def _has_bfq(self) -> bool:
        """Whether the weight of block I/O is that of BFQ. The unit, or if it is not there its slice, can tell."""
        from oci_runtime.linux.cgroups import _fs

        directory = self.cgroup.dir if self.cgroup.dir >= 0 else self.cgroup.base
        try:
            _fs.read(directory, "io.bfq.weight")
        except OSError:
            return False
        return True

    def apply(self, resources: Resources | None, *, pointer: str = "/linux/resources", devices: bool = True) -> None:
        super().apply(properties.rounded(resources) if resources else None, pointer=pointer, devices=devices)

    def update(self, resources: Resources, *, pointer: str) -> Snapshot:
        resources = properties.rounded(resources)
        self.cgroup.require()
        return _update(self.unit, self._properties(resources, pointer), super().update(resources, pointer=pointer))

    def join_exec(self, pid: int, subcgroups: Subcgroups = None, init_pid: int = 0) -> None:
        """As in the interface, but by systemd where a user may not move processes between his own cgroups himself."""
        from errno import EACCES, EPERM

        try:
            super().join_exec(pid, subcgroups, init_pid)
        except SystemCallError as error:
            if error.errno not in (EACCES, EPERM):
                raise
            self._attach(pid, subcgroups)

    def _attach(self, pid: int, subcgroups: Subcgroups = None) -> None:
        from oci_runtime.linux.cgroups import subcgroup

        try:
            self.unit.bus.attach(self.unit.name.name, subcgroup.of_v2(subcgroups) if subcgroups else "", pid)
        except systemd_bus.BusError as error:
            raise PyociError(f"cannot move process {pid} into {self.cgroup}: {error}") from error

    def v2_dir_fd(self, subcgroups: Subcgroups = None) -> int | None:
        return super().v2_dir_fd(subcgroups) if self._started else None

    def delete(self, timeout: float = 5.0) -> None:
        _delete(self.unit, self.cgroup, lambda: V2.delete(self, timeout))

    def close(self) -> None:
        super().close()
        self.unit.close()


class SystemdV1(V1):
    """v1, with or without a v2 tree: systemd's own hierarchy, and those that it manages or knows nothing of."""

    __slots__ = ("_started", "unit")

    needs_process = True

    def __init__(
        self, cgroups: list[Cgroup], unit: Unit, resources: Mapping[str, Any] | None, *, started: bool
    ) -> None:
        super().__init__(cgroups, resources)
        self.unit = unit
        self._started = started

    def to_state(self) -> dict[str, Any]:
        return {
            "driver": "systemd",
            "unit": self.unit.to_state(),
            "cgroups": [cgroup.to_state() for cgroup in self._cgroups()],
        }

    def _systemds_tree(self) -> Cgroup:
        """Where systemd itself looks which unit a process is of: on hybrid hosts the v2 tree (systemd(1))."""
        found = self.unified or self.find("name=systemd")
        if found is None:
            raise PyociError("neither the hierarchy name=systemd of cgroup v1 nor a v2 tree is mounted")
        return found

    def check_unused(self) -> None:
        super().check_unused()
        self.unit.note_slices(self._systemds_tree())
        for cgroup in self._cgroups():
            if _is_systemds(cgroup):
                cgroup.kept = len(cgroup.path.split("/")) - 1

    def create(self, owner: int | None = None) -> None:
        """The hierarchies in which the first process enters its cgroup itself; systemd places it in its own ones."""
        everywhere = self.hierarchies, self.unified
        self.hierarchies = [cgroup for cgroup in self.hierarchies if not _is_named_systemd(cgroup)]
        self.unified = None
        try:
            super().create(owner)
        finally:
            made = self.hierarchies
            self.hierarchies = [each for each in everywhere[0] if _is_named_systemd(each) or each in made]
            self.unified = everywhere[1]

    def start(self, pid: int, owner: int | None = None) -> None:
        resources = _resources(self)
        wanted = properties.for_v1(resources, "/linux/resources")
        rules = properties.for_devices(resources, "/linux/resources")
        self.unit.start(pid, [*wanted, *rules], "BlockIOAccounting")
        self._started = True
        for cgroup in self._cgroups():
            _look_again(cgroup)
        super().create(owner)
        # What systemd has not done: hierarchies without it, and those that it leaves alone here. Its own trees first,
        # by which it tells whose the process is: what it takes for the caller's it may move in the others.
        for cgroup in sorted(self._cgroups(), key=_is_systemds_own, reverse=True):
            if pid not in cgroup.pids(recursive=False):
                self._move(cgroup, cgroup.require(), pid)

    def tasks_fds(self, subcgroups: Subcgroups = None) -> list[int]:
        if self._started:
            return super().tasks_fds(subcgroups)
        everywhere = self.hierarchies
        self.hierarchies = [cgroup for cgroup in everywhere if not _is_named_systemd(cgroup)]
        try:
            return super().tasks_fds(subcgroups)
        finally:
            self.hierarchies = everywhere

    def apply(self, resources: Resources | None, *, pointer: str = "/linux/resources", devices: bool = True) -> None:
        super().apply(properties.rounded(resources) if resources else None, pointer=pointer, devices=devices)

    def update(self, resources: Resources, *, pointer: str) -> Snapshot:
        resources = properties.rounded(resources)
        return _update(self.unit, properties.for_v1(resources, pointer), super().update(resources, pointer=pointer))

    def v2_dir_fd(self, subcgroups: Subcgroups = None) -> int | None:
        return super().v2_dir_fd(subcgroups) if self._started else None

    def delete(self, timeout: float = 5.0) -> None:
        stopped = _delete(self.unit, self._systemds_tree(), lambda: V1.delete(self, timeout))
        # create() made cgroups of slices, too, which systemd knows nothing of if it never came to make the unit
        for cgroup in self._cgroups():
            if _is_systemds(cgroup):
                cgroup.kept = len(cgroup.path.split("/")) - 1 - stopped
                cgroup.remove_ancestors()

    def close(self) -> None:
        super().close()
        self.unit.close()


def _resources(manager: Manager) -> Resources:
    """linux.resources, with what systemd rounds."""
    resources: Any = manager.resources
    return properties.rounded(resources)


def _is_named_systemd(cgroup: Cgroup) -> bool:
    return cgroup.controllers == ("name=systemd",)


def _is_systemds_own(cgroup: Cgroup) -> bool:
    return cgroup.version == 2 or _is_named_systemd(cgroup)


def _is_systemds(cgroup: Cgroup) -> bool:
    return cgroup.version == 2 or any(name in _SYSTEMDS_V1 for name in cgroup.controllers)


def _look_again(cgroup: Cgroup) -> None:
    """Open what systemd has made; what is the container's to remove was settled before."""
    kept = cgroup.kept
    cgroup.close()
    cgroup.probe()
    cgroup.kept = kept


def _update(unit: Unit, wanted: list[Property], files: Snapshot) -> Snapshot:
    """The unit's properties after the files: what the kernel refuses has then been refused."""
    try:
        whole = UnitSnapshot(files, unit, unit.present(wanted))
        unit.set(wanted)
    except BaseException:
        files.restore()
        raise
    return whole


def _delete(unit: Unit, tree: Cgroup, remove: Callable[[], None]) -> int:
    """Stop the unit, remove what it leaves, and then the slices that nobody needs any more: how many."""
    try:
        unit.stop()
    finally:
        remove()
    return unit.stop_slices(tree)


def new(
    cgroups_path: str | None,
    container_id: str,
    resources: Resources | None,
    annotations: Mapping[str, str],
    *,
    rootless: bool,
) -> Manager:
    """The manager for a container to be created; see manager.new(). Nothing is made, but systemd has been reached."""
    annotated = properties.from_annotations(annotations)
    systemd_names.parse(cgroups_path, container_id, "system.slice")  # before anything is asked of the host
    systemd_bus.check_booted()
    unit, cgroups = _place(_manager_bus(rootless), cgroups_path, container_id)
    unit.annotated = annotated
    unit.description = f"pyoci container {container_id}"
    manager = _manager(cgroups, unit, resources, started=False)
    manager.check_unused()
    return manager


def find(cgroups_path: str | None, container_id: str, *, rootless: bool) -> Manager:
    """The manager of a container that may have been created in a scope, when no record of it can be read.

    A slice is left alone: without a record nothing tells whether it was the container's, or all of the system's.
    """
    unit, cgroups = _place(_manager_bus(rootless), cgroups_path, container_id)
    if unit.name.is_slice:
        raise PyociError(f"whether the slice {unit.name.name} was made for the container is not known any more")
    for cgroup in cgroups:
        cgroup.kept = len(cgroup.path.split("/")) - 1
    return _manager(cgroups, unit, None, started=True)


def _place(bus: systemd_bus.Bus, cgroups_path: str | None, container_id: str) -> tuple[Unit, list[Cgroup]]:
    """The unit that a manager would make, and the cgroups that it will have."""
    from oci_runtime.linux.cgroups import _fs, layout

    is_users = bus.address not in systemd_bus.system_addresses()
    if is_users and _fs.magic(layout.BASE) != _fs.V2_MAGIC:
        raise PyociError("--systemd-cgroup without root needs a host with cgroup v2 alone; this one has v1")
    name = systemd_names.parse(cgroups_path, container_id, "user.slice" if is_users else "system.slice")
    unit = Unit(name, bus.address)
    unit.use(bus)
    root = str(bus.property("ControlGroup")[1])
    return unit, layout.find("/" + name.path(root), container_id)


def _manager_bus(rootless: bool) -> systemd_bus.Bus:
    """The manager of the system, or of the user who runs the container."""
    users = rootless and not systemd_bus.is_system_ours()
    return systemd_bus.connect(systemd_bus.user_addresses() if users else systemd_bus.system_addresses())


def from_state(record: Mapping[str, Any]) -> Manager:
    """The manager that to_state() recorded."""
    from oci_runtime.linux.cgroups import cgroup

    state = record["unit"]
    unit = Unit(systemd_names.UnitName(str(state["slice"]), str(state["name"])), str(state["manager"]))
    unit.slices = [str(name) for name in state["slices"]]
    return _manager([cgroup.from_state(entry) for entry in record["cgroups"]], unit, None, started=True)


def _manager(cgroups: list[Cgroup], unit: Unit, resources: Resources | None, *, started: bool) -> SystemdV1 | SystemdV2:
    if cgroups[0].version == 2:
        return SystemdV2(cgroups[0], unit, resources, started=started)
    return SystemdV1(cgroups, unit, resources, started=started)
