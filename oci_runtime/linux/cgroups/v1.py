"""cgroup v1: one cgroup in each hierarchy, and one in the v2 tree when that is mounted beside them (hybrid)."""

from __future__ import annotations

import posix
from errno import EACCES, EBUSY, EINVAL, ENOSPC, EOPNOTSUPP, EPERM, EROFS

from oci_runtime.errors import PyociError, StateError, SystemCallError
from oci_runtime.linux.cgroups import _fs
from oci_runtime.linux.cgroups.cgroup import PATH_POINTER, Cgroup, add
from oci_runtime.linux.cgroups.manager import Manager

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from oci_runtime.linux.cgroups.limits import Write
    from oci_runtime.linux.cgroups.manager import Subcgroups
    from oci_runtime.linux.cgroups.mounts import ContainerMounts
    from oci_runtime.linux.cgroups.oom_notices import OomNotices
    from oci_runtime.linux.cgroups.snapshot import Snapshot
    from oci_runtime.linux.cgroups.stats import Stats
    from oci_runtime.spec.types import Resources

# Named hierarchies and the v2 tree limit nothing here: a host that does not let us in there still runs containers.
_TOLERATED = (EACCES, EBUSY, EOPNOTSUPP, EPERM, EROFS)


class V1(Manager):
    """The manager of v1 and hybrid hosts. `hierarchies` are v1 only, `unified` is the one in the v2 tree."""

    __slots__ = ("_refused", "hierarchies", "unified")

    version = 1

    def __init__(self, cgroups: list[Cgroup], resources: Mapping[str, Any] | None) -> None:
        super().__init__(resources)
        self.hierarchies = [cgroup for cgroup in cgroups if cgroup.version == 1]
        self.unified = next((cgroup for cgroup in cgroups if cgroup.version == 2), None)
        self._refused: list[tuple[str, str]] = []  # controllers, and why create() left them out

    def to_state(self) -> dict[str, Any]:
        return {"driver": "cgroupfs", "cgroups": [cgroup.to_state() for cgroup in self._cgroups()]}

    def find(self, controller: str) -> Cgroup | None:
        """The container's cgroup in the v1 hierarchy that has `controller`."""
        for cgroup in self.hierarchies:
            if controller in cgroup.controllers:
                return cgroup
        return None

    def check_unused(self) -> None:
        for cgroup in self._cgroups():
            cgroup.probe()
            if cgroup.dir >= 0 and (pids := cgroup.pids(recursive=True)):
                from oci_runtime.linux.cgroups.v2 import in_use

                raise StateError(in_use(cgroup, pids, PATH_POINTER))
        freezer = self.find("freezer")
        if freezer and _is_frozen(freezer):
            from oci_runtime.linux.cgroups.v2 import is_frozen

            raise StateError(is_frozen(freezer, PATH_POINTER))

    def create(self, owner: int | None = None) -> None:
        """As in the interface; `owner` is ignored, v1 cgroups cannot be delegated safely (Runtime Spec)."""
        self._create(permitted=False)

    def create_permitted(self, owner: int | None = None) -> None:
        self._create(permitted=True)

    def _create(self, *, permitted: bool) -> None:
        for cgroup in self._cgroups():
            try:
                cgroup.make(self._inherit_cpuset if "cpuset" in cgroup.controllers else None)
            except OSError as error:
                if not (permitted or _optional(cgroup)) or error.errno not in _TOLERATED:
                    raise SystemCallError(f"cannot create cgroup {cgroup}", error.errno or 0, PATH_POINTER) from None
                self._refused += [(name, f"{cgroup}: {error.strerror}") for name in cgroup.controllers]
                self._drop(cgroup)

    def _drop(self, cgroup: Cgroup) -> None:
        if cgroup.created:  # and then not prepared
            cgroup.remove()
        cgroup.close()
        if cgroup is self.unified:
            self.unified = None
        else:
            self.hierarchies.remove(cgroup)

    def _inherit_cpuset(self, parent: int, child: int, leaf: bool) -> None:
        """A v1 cpuset starts without CPUs and memory nodes, and takes no process until it has both.

        What the container asks for is set at once, since the parent's set may be refused beside an exclusive one.
        """
        cpu: Mapping[str, Any] = (self.resources.get("cpu") or {}) if leaf else {}
        for name in ("cpus", "mems"):
            file = "cpuset." + name
            if wanted := cpu.get(name):
                try:
                    _fs.write(child, file, wanted)
                except OSError as error:
                    pointer = f"/linux/resources/cpu/{name}"
                    raise SystemCallError(f"cannot set {file} to {wanted!r}", error.errno or 0, pointer) from None
            elif not _fs.read(child, file).strip():
                _fs.write(child, file, _effective(parent, file))

    def apply(self, resources: Resources | None, *, pointer: str = "/linux/resources", devices: bool = True) -> None:
        if resources and (resources.keys() - {"devices"}):
            from oci_runtime.linux.cgroups import limits

            limits.run(self._plan(resources, pointer), self._holder, self._why_missing)
        if devices:
            self.apply_devices(resources, pointer=pointer)

    def update(self, resources: Resources, *, pointer: str) -> Snapshot:
        from oci_runtime.linux.cgroups import snapshot

        return snapshot.run(self._plan(resources, pointer), self._holder, self._why_missing)

    def _plan(self, resources: Resources, pointer: str) -> list[Write]:
        from oci_runtime.linux.cgroups import hybrid, limits_v1

        there, here = hybrid.split(resources, self.find, self._unified_controllers)
        writes = limits_v1.plan(there, pointer)
        if here and self.unified is not None:
            from oci_runtime.linux.cgroups import limits_v2

            writes += limits_v2.plan(here, pointer)
            if "memory" in here:
                limits_v2.check_before_update(self.unified, here, pointer)
        return writes

    def _unified_controllers(self) -> list[str]:
        """Those that the host has left to the v2 tree."""
        if self.unified is None:
            return []
        try:
            return _fs.read(self.unified.open_root(), "cgroup.controllers").split()
        except OSError as error:
            raise SystemCallError(f"cannot read {self.unified.mount}/cgroup.controllers", error.errno or 0) from None

    def _holder(self, controller: str) -> Cgroup | None:
        found = self.find(controller)
        if found is None and self.unified is not None:
            from oci_runtime.linux.cgroups.v2 import V2

            try:
                V2(self.unified, self.resources).enable(controller)
            except OSError as error:
                raise SystemCallError(
                    f"cannot enable the controller {controller} for {self.unified}", error.errno or 0
                ) from None
            if controller in self.unified.read("cgroup.controllers").split():
                return self.unified
        return found

    def _why_missing(self, controller: str) -> str:
        for name, why in self._refused:
            if name == controller:
                return f"the container cannot have a cgroup of it, {why}"
        have = ", ".join(name for cgroup in self.hierarchies for name in cgroup.controllers)
        more = ", ".join(self._unified_controllers())
        return f"the cgroup v1 controllers mounted on this host are: {have}" + (
            f"; those of v2: {more}" if more else ""
        )

    def apply_devices(self, resources: Resources | None, *, pointer: str = "/linux/resources") -> None:
        from oci_runtime.linux.cgroups import devices, devices_v1

        cgroup = self.find("devices")
        if cgroup is None:
            raise PyociError(f"{pointer}/devices: the cgroup v1 controller devices is not mounted")
        devices_v1.apply(cgroup, devices.parse(resources, pointer), pointer + "/devices")

    def import_devices(self) -> None:
        from oci_runtime.linux.cgroups import devices, devices_v1  # noqa: F401

    def add(self, pid: int) -> None:
        for cgroup in self._cgroups():
            self._move(cgroup, cgroup.require(), pid)

    def _move(self, cgroup: Cgroup, directory: int, pid: int) -> None:
        try:
            add(directory, pid)
        except OSError as error:
            if _is_tolerated(cgroup, error.errno):
                return
            hint = ""
            if error.errno == ENOSPC and "cpuset" in cgroup.controllers:
                hint = " (it has no CPUs or no memory nodes)"
            elif error.errno == EINVAL and "cpu" in cgroup.controllers:
                hint = " (a realtime process needs /linux/resources/cpu/realtimeRuntime)"
            raise SystemCallError(
                f"cannot move process {pid} into the cgroup {cgroup}{hint}", error.errno or 0
            ) from None

    def join_exec(self, pid: int, subcgroups: Subcgroups = None, init_pid: int = 0) -> None:
        below = self._below(subcgroups)
        directories: list[tuple[Cgroup, int]] = []
        try:
            for cgroup in self._joined():  # all of them are there, or nothing is moved
                path = below(cgroup)
                directories.append((cgroup, _open(cgroup, path, posix.O_PATH | posix.O_DIRECTORY)))
            for cgroup, directory in directories:
                self._move(cgroup, directory, pid)
        finally:
            for _, directory in directories:
                posix.close(directory)

    def _below(self, subcgroups: Subcgroups) -> Callable[[Cgroup], str]:
        """The path below each of the container's cgroups."""
        if not subcgroups:
            return lambda _: ""
        from oci_runtime.linux.cgroups import subcgroup

        paths = subcgroup.by_hierarchy(subcgroups, self.hierarchies)
        everywhere = paths.get((), "")
        return lambda cgroup: paths.get(cgroup.controllers, everywhere)

    def _joined(self) -> list[Cgroup]:
        """Without those that create() could not make either."""
        return [cgroup for cgroup in self._cgroups() if not _optional(cgroup) or cgroup.open() >= 0]

    def _may_lack(self, cgroup: Cgroup) -> bool:
        return _optional(cgroup)

    def v2_dir_fd(self, subcgroups: Subcgroups = None) -> int | None:
        if self.unified is None or self.unified.open() < 0:
            return None
        if not subcgroups:
            return self.unified.dir
        return _open(self.unified, self._below(subcgroups)(self.unified), posix.O_PATH | posix.O_DIRECTORY)

    def tasks_fds(self, subcgroups: Subcgroups = None) -> list[int]:
        below = self._below(subcgroups)
        fds: list[int] = []
        try:
            for cgroup in self._joined():
                if cgroup.version == 1:
                    fds += _open_tasks(cgroup, f"{below(cgroup)}/tasks".lstrip("/"))
        except BaseException:
            for fd in fds:
                posix.close(fd)
            raise
        return fds

    def exists(self) -> bool:
        return any(cgroup.exists() for cgroup in self._cgroups())

    def pids(self, recursive: bool = True) -> list[int]:
        return self._main().pids(recursive)

    def _main(self) -> Cgroup:
        """The hierarchy asked for processes; as in runc the one of the devices controller."""
        return self.find("devices") or self._cgroups()[0]

    def kill_all(self) -> None:
        if not self._kill_by_v2():
            from oci_runtime.linux.cgroups.kill import kill_frozen

            kill_frozen(self)
        self.thaw_below()

    def thaw_below(self) -> None:
        fd = self._freezer_dir()
        if fd < 0:
            return
        from oci_runtime.linux.cgroups import tree

        try:
            tree.thaw_below(fd)
        except OSError as error:
            if error.errno not in _fs.GONE:
                raise SystemCallError(f"cannot thaw what is below {self.find('freezer')}", error.errno or 0) from None

    def _kill_by_v2(self) -> bool:
        """Kill with the v2 tree's cgroup.kill, if the processes it has are those of v1."""
        if self.unified is None or self.unified.open() < 0:
            return False
        if not set(self.pids(recursive=True)) <= set(self.unified.pids(recursive=True)) or self._not_thawed():
            return False
        try:
            _fs.write(self.unified.dir, "cgroup.kill", "1")  # since Linux 5.14
        except OSError:
            return False
        return True

    def _not_thawed(self) -> bool:
        return self._read_freezer("freezer.state") not in ("", "THAWED")

    def _freezer_dir(self) -> int:
        """-1 when there is no freezer, or the container is not in it any more."""
        freezer = self.find("freezer")
        return freezer.open() if freezer else -1

    def _read_freezer(self, file: str) -> str:
        """A file of the container's in the freezer; empty when that is gone."""
        fd = self._freezer_dir()
        if fd < 0:
            return ""
        try:
            return _fs.read(fd, file).strip()
        except OSError as error:
            if error.errno in _fs.GONE:
                return ""
            raise SystemCallError(f"cannot read {self.find('freezer')}/{file}", error.errno or 0) from None

    def freeze(self) -> None:
        from oci_runtime.linux.cgroups.kill import freeze_v1

        freeze_v1(self._freezer())

    def thaw(self) -> None:
        self._freezer().write("freezer.state", "THAWED")

    def _freezer(self) -> Cgroup:
        freezer = self.find("freezer")
        if freezer is None:
            raise PyociError("the cgroup v1 controller freezer is not mounted; without it a container cannot be paused")
        return freezer

    def frozen(self) -> bool:
        return self._read_freezer("freezer.self_freezing") == "1"

    def mounts_for_container(self, private_namespace: bool) -> ContainerMounts:
        from oci_runtime.linux.cgroups import mounts

        return mounts.for_v1(self.hierarchies, private_namespace)

    def oom_kills(self) -> int:
        if memory := self.find("memory"):
            return memory.counter("memory.oom_control", "oom_kill")
        return self.unified.counter("memory.events", "oom_kill") if self.unified else 0

    def stats(self) -> Stats:
        from oci_runtime.linux.cgroups import stats_v1

        try:
            return stats_v1.collect(self.find, self.unified)
        except OSError as error:
            raise SystemCallError(f"cannot read the statistics of {self._main()}", error.errno or 0) from None

    def oom_notices(self) -> OomNotices | None:
        from oci_runtime.linux.cgroups.oom_notices import open_notices

        memory = self.find("memory") or self.unified
        try:
            return open_notices(memory)
        except OSError as error:
            raise SystemCallError(f"cannot watch the memory of {memory}", error.errno or 0) from None

    def path(self, controller: str = "") -> str:
        found = self.find(controller) if controller else self.unified
        return str(found) if found else ""

    def _cgroups(self) -> list[Cgroup]:
        return [*self.hierarchies, self.unified] if self.unified else list(self.hierarchies)


def _is_frozen(freezer: Cgroup) -> bool:
    """After probe(): whether it, or the deepest of its ancestors that is there, is frozen or is being frozen."""
    while freezer.kept:
        fd = freezer.dir if freezer.dir >= 0 else freezer.base
        try:
            return _fs.read(fd, "freezer.state").strip() != "THAWED"
        except OSError as error:
            if error.errno not in _fs.GONE:
                raise
        freezer.reopen()  # a container that used the same ancestors has been deleted
    return False


def _optional(cgroup: Cgroup) -> bool:
    return cgroup.version == 2 or cgroup.controllers[0].startswith("name=")


def _is_tolerated(cgroup: Cgroup, error: int | None) -> bool:
    """Whether a container does without a hierarchy that refuses it so."""
    return _optional(cgroup) and error in _TOLERATED


def _open_tasks(cgroup: Cgroup, path: str) -> list[int]:
    """None of a hierarchy that the container does without."""
    try:
        return [_open(cgroup, path, posix.O_WRONLY)]
    except SystemCallError as error:
        if _is_tolerated(cgroup, error.errno):
            return []
        raise


def _open(cgroup: Cgroup, path: str, flags: int) -> int:
    try:
        return _fs.open_at(cgroup.require(), path or ".", flags)
    except OSError as error:
        raise SystemCallError(f"cannot open the cgroup {cgroup}/{path}", error.errno or 0) from None


def _effective(parent: int, file: str) -> str:
    """What a child of `parent` inherits: the nearest ancestor's setting that is not empty, which the root's never is.

    Ancestors that somebody made and left empty get it too, without it the kernel refuses the child's.
    """
    value = _fs.read(parent, file).strip()
    if not value:
        above = _fs.open_parent(parent)
        try:
            value = _effective(above, file)
        finally:
            posix.close(above)
        _fs.write(parent, file, value)
    return value
