"""cgroup v2: the one tree, whether alone at /sys/fs/cgroup or beside v1 hierarchies (then V1 owns this)."""

from __future__ import annotations

import posix
from errno import EBUSY, ENODEV, ENOENT, EOPNOTSUPP

from oci_runtime.errors import PyociError, StateError, SystemCallError
from oci_runtime.linux.cgroups import _fs
from oci_runtime.linux.cgroups.cgroup import PATH_POINTER, Cgroup, add
from oci_runtime.linux.cgroups.manager import Manager

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from oci_runtime.linux.cgroups.manager import Subcgroups
    from oci_runtime.linux.cgroups.mounts import ContainerMounts
    from oci_runtime.linux.cgroups.oom_notices import OomNotices
    from oci_runtime.linux.cgroups.snapshot import Snapshot
    from oci_runtime.linux.cgroups.stats import Stats
    from oci_runtime.spec.types import Resources

_FREEZE_TIMEOUT = 10.0


class V2(Manager):
    """The manager of pure v2."""

    __slots__ = ("_enable_errors", "_wanted", "cgroup")

    version = 2

    def __init__(self, cgroup: Cgroup, resources: Mapping[str, Any] | None) -> None:
        super().__init__(resources)
        self.cgroup = cgroup
        self._wanted: list[str] = []
        self._enable_errors: dict[str, str] = {}

    def to_state(self) -> dict[str, Any]:
        return {"driver": "cgroupfs", "cgroups": [self.cgroup.to_state()]}

    def check_unused(self) -> None:
        self.cgroup.probe()
        fd = self.cgroup.dir
        if fd >= 0 and (pids := self.cgroup.pids(recursive=True)):
            raise StateError(in_use(self.cgroup, pids, PATH_POINTER))
        if self.cgroup.kept and "frozen 1" in _events(fd if fd >= 0 else self.cgroup.base):
            raise StateError(is_frozen(self.cgroup, PATH_POINTER))

    def create(self, owner: int | None = None) -> None:
        cgroup = self.cgroup
        try:
            self._wanted = _fs.read(cgroup.open_root(), "cgroup.controllers").split()
            self._enable_above()
            cgroup.make(self._prepare)
            if owner is not None:
                _delegate(cgroup.dir, owner)
        except OSError as error:
            raise SystemCallError(f"cannot create cgroup {cgroup}", error.errno or 0, PATH_POINTER) from None

    def enable(self, controller: str) -> None:
        """Enable one controller down to the cgroup, for the tree beside v1 hierarchies."""
        root = self.cgroup.open_root()
        self._wanted = [controller] if controller in _fs.read(root, "cgroup.controllers").split() else []
        names = self.cgroup.path.split("/")
        for depth in range(len(names)):
            self._enable_in("/".join(names[:depth]))

    def _enable_above(self) -> None:
        """Enable the controllers in the ancestors that exist; when the lowest has them so have all others."""
        names = self.cgroup.path.split("/")
        existing = min(self.cgroup.kept, len(names) - 1)
        if existing and self._missing(self.cgroup.base):
            for depth in range(existing):
                self._enable_in("/".join(names[:depth]))

    def _enable_in(self, path: str) -> None:
        root = self.cgroup.root
        parent = _fs.open_dir(root, path) if path else root
        try:
            self._enable(parent, f"{self.cgroup.mount}/{path}")
        finally:
            if parent != root:
                posix.close(parent)

    def _missing(self, directory: int) -> list[str]:
        if directory < 0:
            return self._wanted
        enabled = _fs.read(directory, "cgroup.subtree_control").split()
        return [name for name in self._wanted if name not in enabled]

    def _enable(self, directory: int, where: str) -> None:
        missing = self._missing(directory)
        if not missing:
            return
        try:
            _fs.write(directory, "cgroup.subtree_control", "+" + " +".join(missing))
            return
        except OSError:
            pass
        # Together they are refused when one is; a limit that needs such a one fails with the reason kept here.
        for name in missing:
            try:
                _fs.write(directory, "cgroup.subtree_control", "+" + name)
            except OSError as error:
                self._enable_errors[name] = f"enabling it in {where} failed: {error.strerror}"

    def _prepare(self, parent: int, child: int, _leaf: bool) -> None:
        self._enable(parent, f"the ancestor of {self.cgroup}")
        if parent != self.cgroup.root:
            self._join_threaded_domain(child)

    def _join_threaded_domain(self, child: int) -> None:
        """Below a cgroup that has processes only threaded cgroups work, and those have no domain controllers."""
        kind = _fs.read(child, "cgroup.type").strip()
        if kind == "domain":
            return
        if wanted := _domain_controllers(self.resources):
            raise PyociError(
                f"{PATH_POINTER}: the cgroup {self.cgroup} is of type {kind!r}, where the controllers that"
                f" /linux/resources/{wanted} needs cannot be used; choose a path whose parent has no processes"
            )
        if kind == "domain invalid":
            _fs.write(child, "cgroup.type", "threaded")

    def why_missing(self, controller: str) -> str:
        """Why the cgroup does not have a controller, as the end of an error message."""
        if reason := self._enable_errors.get(controller):
            return reason
        have = _fs.read(self.cgroup.require(), "cgroup.controllers").strip() or "none"
        return f"the controllers available in {self.cgroup} are: {have}"

    def apply(self, resources: Resources | None, *, pointer: str = "/linux/resources", devices: bool = True) -> None:
        if resources and (resources.keys() - {"devices"}):
            from oci_runtime.linux.cgroups import limits, limits_v2

            writes = limits_v2.plan(resources, pointer)
            limits_v2.check_before_update(self.cgroup, resources, pointer)
            limits.run(writes, lambda _: self.cgroup, self.why_missing)
        if devices:
            self.apply_devices(resources, pointer=pointer)

    def update(self, resources: Resources, *, pointer: str) -> Snapshot:
        from oci_runtime.linux.cgroups import limits_v2, snapshot

        writes = limits_v2.plan(resources, pointer)
        limits_v2.check_before_update(self.cgroup, resources, pointer)
        return snapshot.run(writes, lambda _: self.cgroup, self.why_missing)

    def apply_devices(self, resources: Resources | None, *, pointer: str = "/linux/resources") -> None:
        from oci_runtime.linux.cgroups import bpf, devices

        rules = devices.parse(resources, pointer)
        bpf.replace_filter(self.cgroup.require(), rules, fresh=self.cgroup.created, pointer=pointer + "/devices")
        self.cgroup.created = False  # it has a filter now

    def import_devices(self) -> None:
        from oci_runtime.linux.cgroups import bpf, devices  # noqa: F401

    def add(self, pid: int) -> None:
        try:
            add(self.cgroup.require(), pid)
        except OSError as error:
            raise SystemCallError(f"cannot move process {pid} into {self.cgroup}", error.errno or 0) from None

    def join_exec(self, pid: int, subcgroups: Subcgroups = None, init_pid: int = 0) -> None:
        from oci_runtime.linux.cgroups import subcgroup

        path = subcgroup.of_v2(subcgroups) if subcgroups else None
        directory = subcgroup.open_below(self.cgroup, path or "")
        try:
            add(directory, pid)
            return
        except OSError as error:
            if path is not None or init_pid <= 0 or error.errno not in (EBUSY, EOPNOTSUPP, *_fs.GONE):
                raise subcgroup.cannot_join(self.cgroup, path or "", pid, error) from None
        finally:
            posix.close(directory)
        subcgroup.join_init(self.cgroup, pid, init_pid)

    def v2_dir_fd(self, subcgroups: Subcgroups = None) -> int | None:
        if not subcgroups:
            return self.cgroup.require()
        from oci_runtime.linux.cgroups import subcgroup

        return subcgroup.open_below(self.cgroup, subcgroup.of_v2(subcgroups))

    def tasks_fds(self, subcgroups: Subcgroups = None) -> list[int]:
        return []

    def exists(self) -> bool:
        return self.cgroup.exists()

    def pids(self, recursive: bool = True) -> list[int]:
        return self.cgroup.pids(recursive)

    def kill_all(self) -> None:
        fd = self.cgroup.open()
        if fd < 0:
            return
        try:
            _fs.write(fd, "cgroup.kill", "1")  # since Linux 5.14
        except OSError as error:
            if error.errno == ENODEV:
                return
            if error.errno not in (ENOENT, EOPNOTSUPP):  # EOPNOTSUPP: a threaded cgroup
                raise SystemCallError(f"cannot kill the processes of {self.cgroup}", error.errno or 0) from None
            self._kill_each()

    def _kill_each(self) -> None:
        from oci_runtime.linux.cgroups.kill import kill_frozen

        kill_frozen(self)

    def freeze(self) -> None:
        from oci_runtime.linux.cgroups.tree import Patience

        patience = Patience(_FREEZE_TIMEOUT)
        try:
            self.cgroup.write("cgroup.freeze", "1")
            while not self._is_frozen_by_now():
                if not patience.wait():
                    raise PyociError(f"the cgroup {self.cgroup} did not freeze within {_FREEZE_TIMEOUT:g} s")
        except BaseException:
            self.thaw_anyway()
            raise

    def _is_frozen_by_now(self) -> bool:
        try:
            return "frozen 1" in _events(self.cgroup.require())
        except OSError as error:
            raise SystemCallError(f"cannot read {self.cgroup}/cgroup.events", error.errno or 0) from None

    def thaw(self) -> None:
        self.cgroup.write("cgroup.freeze", "0")

    def frozen(self) -> bool:
        fd = self.cgroup.open()
        if fd < 0:
            return False
        try:
            return _fs.read(fd, "cgroup.freeze").strip() == "1"
        except OSError as error:
            if error.errno in _fs.GONE:
                return False
            raise SystemCallError(f"cannot read {self.cgroup}/cgroup.freeze", error.errno or 0) from None

    def is_frozen_at(self, directory: int | None) -> bool:
        """As in the interface: it, one above it, or both are frozen."""
        if directory is None:
            return False
        try:
            return _fs.read(directory, "cgroup.freeze").strip() == "1" or "frozen 1" in _events(directory)
        except OSError as error:
            raise SystemCallError(f"cannot read {self.cgroup}/cgroup.freeze", error.errno or 0) from None

    def mounts_for_container(self, private_namespace: bool) -> ContainerMounts:
        from oci_runtime.linux.cgroups import mounts

        return mounts.for_v2(self.cgroup, private_namespace)

    def oom_kills(self) -> int:
        return self.cgroup.counter("memory.events", "oom_kill")

    def stats(self) -> Stats:
        from oci_runtime.linux.cgroups import stats_v2

        try:
            return stats_v2.collect(self.cgroup.require())
        except OSError as error:
            raise SystemCallError(f"cannot read the statistics of {self.cgroup}", error.errno or 0) from None

    def oom_notices(self) -> OomNotices | None:
        from oci_runtime.linux.cgroups.oom_notices import open_notices

        try:
            return open_notices(self.cgroup)
        except OSError as error:
            raise SystemCallError(f"cannot watch {self.cgroup}/memory.events", error.errno or 0) from None

    def path(self, controller: str = "") -> str:
        return str(self.cgroup)

    def _cgroups(self) -> list[Cgroup]:
        return [self.cgroup]


def _events(directory: int) -> str:
    try:
        return _fs.read(directory, "cgroup.events")
    except OSError as error:
        if error.errno in _fs.GONE:
            return ""
        raise


def _domain_controllers(resources: Mapping[str, Any]) -> str:
    """The first property of linux.resources that needs a controller which threaded cgroups do not have."""
    for name in ("memory", "blockIO", "hugepageLimits", "rdma"):
        if resources.get(name):
            return name
    for key in resources.get("unified") or {}:
        if key.split(".")[0] in ("memory", "io", "hugetlb", "rdma", "misc"):
            return f"unified/{key}"
    return ""


def _delegate(directory: int, owner: int) -> None:
    """Give the cgroup to `owner`, and those of its files which the kernel lists for that. Raises OSError."""
    try:
        names = _fs.read_proc("/sys/kernel/cgroup/delegate").split()
    except OSError as error:
        if error.errno != ENOENT:
            raise
        names = ["cgroup.procs", "cgroup.subtree_control", "cgroup.threads"]
    _chown(directory, ".", posix.O_DIRECTORY, owner)
    for name in names:
        try:
            _chown(directory, name, 0, owner)
        except OSError as error:
            if error.errno != ENOENT:
                raise


def _chown(directory: int, name: str, flags: int, owner: int) -> None:
    # fchown(2) wants more than O_PATH, and some of these files cannot be read
    fd = _fs.open_at(directory, name, posix.O_RDONLY | flags)
    try:
        posix.fchown(fd, owner, -1)
    finally:
        posix.close(fd)


def in_use(cgroup: Cgroup, pids: list[int], pointer: str) -> str:
    """The message for a cgroup that a new container cannot have."""
    some = ", ".join(map(str, pids[:5])) + (", …" if len(pids) > 5 else "")
    return f"{pointer}: the cgroup {cgroup} is not empty, it has process {some}; each container needs one of its own"


def is_frozen(cgroup: Cgroup, pointer: str) -> str:
    """The message for a cgroup in which nothing could run."""
    return f"{pointer}: the cgroup {cgroup} or its parent is frozen; thaw it or choose another path"
