"""The cgroups of a container, whichever version and driver: the one interface of this package.

new() decides for a container to be created, from_state() brings back what to_state() recorded. Between the two a crash
may happen at any point: what is recorded suffices to find and remove everything.
"""

from __future__ import annotations

from oci_runtime.errors import PyociError, StateError, SystemCallError
from oci_runtime.linux.cgroups import _fs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, TypeVar

    from oci_runtime.linux.cgroups.cgroup import Cgroup
    from oci_runtime.linux.cgroups.mounts import ContainerMounts
    from oci_runtime.linux.cgroups.oom_notices import OomNotices
    from oci_runtime.linux.cgroups.snapshot import Snapshot
    from oci_runtime.linux.cgroups.stats import Stats
    from oci_runtime.spec.types import Resources

    #: of exec --cgroup: paths below the container's cgroup by controller of v1, or one by '' for all; None is nothing
    Subcgroups = Mapping[str, str] | None
    T = TypeVar("T")

#: errno of the SystemCallErrors of a cgroup that somebody has removed.
GONE = _fs.GONE
# How often cgroups may go just when they are used, until somebody must be against them.
_TRIES = 10


def retry_when_gone(use: Callable[[], T], find_again: Callable[[], None]) -> T:
    """What `use` of cgroups gives; when somebody has removed one, `find_again` and another use. SystemCallError."""
    tries, gone = _TRIES, False
    while True:
        try:
            if gone:
                find_again()
            return use()
        except SystemCallError as error:
            tries -= 1
            if error.errno not in GONE or not tries:
                raise
            gone = True


class Manager:
    """The interface. A driver implements it for v1 (with or without a v2 tree beside it) and for pure v2.

    Failures of the kernel are SystemCallError with the JSON pointer of the property that asked for it; requests that
    this host or this cgroup version cannot fulfil are SpecError or PyociError.
    """

    __slots__ = ("resources",)

    version = 0
    #: Whether the cgroups are complete only after start(), and limits come after that.
    needs_process = False

    def __init__(self, resources: Mapping[str, Any] | None) -> None:
        self.resources: Mapping[str, Any] = resources or {}

    def to_state(self) -> dict[str, Any]:
        """What has to be recorded, JSON-able, before create() is called."""
        raise NotImplementedError

    def check_unused(self) -> None:
        """StateError when the container's cgroup has processes, or it or its parent is frozen. Touches nothing."""
        raise NotImplementedError

    def create(self, owner: int | None = None) -> None:
        """Make the cgroups. `owner` is the host uid a v2 cgroup is delegated to (Runtime Spec, Cgroup ownership)."""
        raise NotImplementedError

    def create_permitted(self, owner: int | None = None) -> None:
        """create() without the v1 hierarchies in which the runtime may make none; to_state() tells what is left."""
        self.create(owner)

    def make_again(self, owner: int | None = None) -> None:
        """Make those of the created cgroups that somebody has removed since. They are without limits."""
        for cgroup in self._cgroups():
            cgroup.reopen()
        self.create(owner)

    def start(self, pid: int, owner: int | None = None) -> None:
        """With `needs_process`: what create() could not do before there was a process to be in the cgroup.

        `pid` is the container's first process, which waits, and has entered tasks_fds(); `owner` as for create().
        """
        raise NotImplementedError

    def apply(self, resources: Resources | None, *, pointer: str = "/linux/resources", devices: bool = True) -> None:
        """Write the limits of `resources`; those that are absent stay as they are.

        With `devices` the device rules too: those of `resources` in order, then the devices every container may use;
        absent rules mean nothing but the latter. Raises SpecError before anything is written for what cannot be done
        with this version of cgroups.
        """
        raise NotImplementedError

    def update(self, resources: Resources, *, pointer: str) -> Snapshot:
        """apply() without devices, all or nothing: when one limit is refused the others are as they were.

        The restore() of the result takes it back.
        """
        raise NotImplementedError

    def apply_devices(self, resources: Resources | None, *, pointer: str = "/linux/resources") -> None:
        """The device rules alone."""
        raise NotImplementedError

    def import_devices(self) -> None:
        """Load what apply_devices() needs, in time that would be spent waiting."""
        raise NotImplementedError

    def add(self, pid: int) -> None:
        """Move the process into the cgroup, in every hierarchy. Slow, see tasks_fds()."""
        raise NotImplementedError

    def join_exec(self, pid: int, subcgroups: Subcgroups = None, init_pid: int = 0) -> None:
        """Move a process for exec, with `subcgroups` into cgroups below the container's.

        On pure v2 without these, when the cgroup cannot take processes, the cgroup of the container's init `init_pid`
        is joined instead, as runc does.
        """
        raise NotImplementedError

    def follow(self, init_pid: int) -> None:
        """Take the cgroup that the container's init is in for any of its own that is gone.

        systemd moves processes out of cgroups in its tree that are not its own (cgroupfs driver), and removes these.
        """
        for cgroup in self._cgroups():
            if cgroup.open() < 0:
                from oci_runtime.linux.cgroups.subcgroup import open_current

                try:
                    cgroup.dir = open_current(cgroup, init_pid)
                except OSError as error:
                    if self._may_lack(cgroup):
                        continue
                    raise SystemCallError(
                        f"the cgroup {cgroup} is gone, and that of process {init_pid} cannot be opened",
                        error.errno or 0,
                    ) from None

    def _may_lack(self, cgroup: Cgroup) -> bool:
        """Whether a container can do without it."""
        return False

    def is_frozen_at(self, directory: int | None) -> bool:
        """Whether who is born into this v2 cgroup, that of v2_dir_fd(), sleeps until it is thawed."""
        return False

    def v2_dir_fd(self, subcgroups: Subcgroups = None) -> int | None:
        """An O_PATH descriptor of the cgroup in the v2 tree, for CLONE_INTO_CGROUP; None when the host has no v2 tree.

        It belongs to the manager; with `subcgroups` to the caller. When clone3(2) fails with EBUSY or EOPNOTSUPP (the
        cgroup takes no processes), clone without it and use add() or join_exec().
        """
        raise NotImplementedError

    def tasks_fds(self, subcgroups: Subcgroups = None) -> list[int]:
        """Descriptors of the `tasks` files of the v1 hierarchies, to which the new process writes "0" itself.

        This and v2_dir_fd() together do what add() or join_exec() do, without their cost: a process that is moved by
        another, or a whole thread group, waits for an RCU grace period, 6 to 13 ms; a single thread that moves itself
        does not, nor does a clone into a v2 cgroup. The caller closes them. Empty on pure v2.
        """
        raise NotImplementedError

    def exists(self) -> bool:
        """Whether any cgroup of the container is there."""
        raise NotImplementedError

    def holds(self, pid: int) -> bool:
        """Whether the process is in any of the cgroups, or below."""
        return any(pid in cgroup.pids(True) for cgroup in self._cgroups())

    def pids(self, recursive: bool = True) -> list[int]:
        """Ids of the processes in the cgroup, sorted; empty when it does not exist."""
        raise NotImplementedError

    def signal_all(self, signal: int) -> None:
        """Send a signal to every process, also in child cgroups; SIGKILL means kill_all().

        The cgroup is frozen meanwhile, so that none escapes by forking, and a frozen one stays frozen.
        """
        if signal == 9:  # SIGKILL
            self.kill_all()
            return
        if not self.exists():
            return
        from oci_runtime.linux.cgroups.kill import send

        was_frozen = self.frozen()
        if not was_frozen:
            self.freeze()
        try:
            send(lambda: self.pids(recursive=True), signal)
        finally:
            if not was_frozen:
                self.thaw_if_there()

    def kill_all(self) -> None:
        """SIGKILL to every process in the cgroup and below; frozen ones are thawed to die. Does not wait."""
        raise NotImplementedError

    def freeze(self) -> None:
        """Stop every process, and return when all are stopped; else thaw again and raise PyociError."""
        raise NotImplementedError

    def thaw(self) -> None:
        """Undo freeze()."""
        raise NotImplementedError

    def thaw_if_there(self) -> None:
        """Undo freeze(), if nobody has removed the cgroup meanwhile."""
        try:
            self.thaw()
        except StateError:
            pass  # it was gone before it was opened
        except SystemCallError as error:
            if error.errno not in GONE:
                raise

    def thaw_anyway(self) -> None:
        """Undo freeze() because of another failure, which is told; as far as that goes."""
        from oci_runtime.linux.cgroups.kill import thaw_anyway

        thaw_anyway(self.thaw)

    def thaw_below(self) -> None:
        """Thaw what the container has frozen of its own, which a SIGKILL would wait for. Nothing to do with v2."""

    def frozen(self) -> bool:
        """Whether the cgroup itself has been frozen; False when it does not exist."""
        raise NotImplementedError

    def delete(self, timeout: float = 5.0) -> None:
        """Remove the cgroups, those below them, and ancestors that create() made and nobody else uses.

        Waits up to `timeout` seconds for processes that are dying. Does nothing where nothing is.
        """
        from oci_runtime.linux.cgroups.tree import Patience

        patience = Patience(timeout)
        left = self._cgroups()
        while True:
            left = [cgroup for cgroup in left if not cgroup.remove()]
            if not left:
                return
            if not patience.wait():
                break
        pids = self.pids(recursive=True)
        who = f"processes {', '.join(map(str, pids))} are" if pids else "something is"
        raise PyociError(f"cannot remove the cgroup {left[0]}: {who} still in it after {timeout:g} s")

    def mounts_for_container(self, private_namespace: bool) -> ContainerMounts:
        """What a mount of type cgroup in config.json becomes; see oci_runtime/linux/cgroups/mounts.py."""
        raise NotImplementedError

    def oom_kills(self) -> int:
        """How many processes of the container the kernel has killed for want of memory; 0 when that is not known."""
        raise NotImplementedError

    def stats(self) -> Stats:
        """What the container has used, as `events --stats` of runc shows it; absent is what the host does not account.

        "intel_rdt" and "network_interfaces" are not of cgroups and empty. SystemCallError when the cgroups are gone.
        """
        raise NotImplementedError

    def oom_notices(self) -> OomNotices | None:
        """To be told when the container runs out of memory; None without the memory controller."""
        raise NotImplementedError

    def path(self, controller: str = "") -> str:
        """The absolute path of the container's cgroup: of the v1 hierarchy with `controller`, or of the v2 tree.

        Empty when there is none. For messages, hooks and OOM counters, not for opening.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Close all descriptors; the manager can still be used."""
        for cgroup in self._cgroups():
            cgroup.close()

    def _cgroups(self) -> list[Cgroup]:
        raise NotImplementedError


def new(
    cgroups_path: str | None,
    container_id: str,
    resources: Resources | None,
    *,
    driver: str = "cgroupfs",
    annotations: Mapping[str, str] | None = None,
    rootless: bool = False,
) -> Manager:
    """The manager for a container to be created. Touches nothing.

    `cgroups_path` is linux.cgroupsPath; `resources` is linux.resources, of which creation needs the cpuset and whether
    domain controllers are wanted. The driver systemd has properties of its unit from the `annotations`, and the unit
    made by the user's manager if `rootless`. Raises StateError when the cgroup is in use or frozen (see check_unused).
    """
    if driver not in ("cgroupfs", "systemd"):
        raise PyociError(f"unknown cgroup driver {driver!r}; valid are cgroupfs and systemd")
    from oci_runtime.linux.cgroups import layout

    try:
        if driver == "systemd":
            from oci_runtime.linux.cgroups import systemd

            return systemd.new(cgroups_path, container_id, resources, annotations or {}, rootless=rootless)
        manager = _cgroupfs(layout.find(cgroups_path, container_id), resources)
        manager.check_unused()
    except OSError as error:
        path = error.filename or layout.BASE
        raise SystemCallError(f"cannot inspect the cgroups of this host at {path!r}", error.errno or 0) from None
    return manager


def from_state(record: Mapping[str, Any]) -> Manager:
    """The manager that to_state() recorded, for every command after create."""
    if record["driver"] == "systemd":
        from oci_runtime.linux.cgroups import systemd

        return systemd.from_state(record)
    if record["driver"] != "cgroupfs":
        raise PyociError(f"the container was made with the cgroup driver {record['driver']!r}, which is unknown")
    from oci_runtime.linux.cgroups import cgroup

    return _cgroupfs([cgroup.from_state(entry) for entry in record["cgroups"]], None)


def _cgroupfs(cgroups: list[Cgroup], resources: Mapping[str, Any] | None) -> Manager:
    if cgroups[0].version == 2:
        from oci_runtime.linux.cgroups import v2

        return v2.V2(cgroups[0], resources)
    from oci_runtime.linux.cgroups import v1

    return v1.V1(cgroups, resources)
