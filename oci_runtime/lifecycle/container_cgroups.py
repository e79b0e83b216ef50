"""The cgroups of a container in the making: whether it gets any, their limits, and the way of its process into them.

Below its slices systemd removes what is empty whenever it starts or stops a unit, whosever it is: maybe before there
is a process to be in it. What is gone is made and limited again.
"""

from __future__ import annotations

from oci_runtime.errors import PyociError, SpecError, StateError
from oci_runtime.state import store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    from oci_runtime.lifecycle.requests import CreateRequest
    from oci_runtime.linux.cgroups.manager import Manager
    from oci_runtime.linux.cgroups.mounts import ContainerMounts
    from oci_runtime.linux.spawn import Child
    from oci_runtime.plan.namespaces import Namespaces
    from oci_runtime.spec.types import Config
    from oci_runtime.state.store import Container

    T = TypeVar("T")


class ContainerCgroups:
    """Finds them, and makes nothing; StateError when they are in use, SpecError for what this host cannot give.

    `manager` is None for the container of a user, or of root in a container, that stays in the runtime's own cgroup.
    """

    __slots__ = ("_config", "_limited", "_namespaces", "_request", "_resources", "_rootless", "manager")

    def __init__(self, request: CreateRequest, config: Config, namespaces: Namespaces, rootless: bool) -> None:
        self._request = request
        self._config = config
        self._namespaces = namespaces
        self._rootless = rootless
        self._resources = config.get("linux", {}).get("resources")
        self._limited = False
        self.manager = self._find()

    def _find(self) -> Manager | None:
        from oci_runtime.linux.cgroups.manager import new

        try:
            return new(
                self._config.get("linux", {}).get("cgroupsPath"),
                self._request.id,
                self._resources,
                driver="systemd" if self._request.systemd_cgroup else "cgroupfs",
                annotations=self._config.get("annotations"),
                rootless=self._rootless,
            )
        except StateError:  # a cgroup in use: by whoever has taken the id just now?
            store.check_free(self._request.root, self._request.id)
            raise
        except PyociError as error:
            if not self._may_be_without() or isinstance(error, SpecError):
                raise
            return None  # a user, or root of a container, to whom no cgroups are shown

    def _may_be_without(self) -> bool:
        """A user without a delegated cgroup runs the container in his own, as with runc."""
        named = self._config.get("linux", {}).get("cgroupsPath")
        return self._rootless and not named and not self._request.systemd_cgroup

    def to_state(self) -> dict[str, Any] | None:
        return self.manager.to_state() if self.manager else None

    def make(self, container: Container, warn: Callable[[str], None]) -> None:
        """Makes and limits them, as far as that goes without a process, and puts them on record."""
        if self.manager:
            if self._may_be_without():
                from oci_runtime.lifecycle.rootless import create_cgroups

                self.manager = create_cgroups(self.manager, container, self._owner())
            else:
                self.manager.create(self._owner())
                container.record["cgroups"] = self.manager.to_state()  # without what could not be made
        if self.manager:
            if not self.manager.needs_process:
                self._use(self.manager, self._limit)
        elif self._rootless:
            from oci_runtime.lifecycle.rootless import check_without_cgroups

            check_without_cgroups(self._config.get("linux", {}), self._namespaces, warn)

    def _owner(self) -> int | None:
        if "cgroup" not in self._namespaces.new:
            return None
        from oci_runtime.lifecycle.cgroup_ownership import cgroup_owner

        return cgroup_owner(self._config, self._namespaces)

    def _limit(self, manager: Manager) -> None:
        # device rules come later: mounting may need a device that the process must not use
        manager.apply(self._resources, devices=False)
        self._limited = True

    def _use(self, manager: Manager, use: Callable[[Manager], T]) -> T:
        """Uses the cgroups, whoever may remove them meanwhile."""
        from oci_runtime.linux.cgroups.manager import retry_when_gone

        return retry_when_gone(lambda: use(manager), lambda: self._make_again(manager))

    def _make_again(self, manager: Manager) -> None:
        manager.make_again(self._owner())
        if self._limited:
            self._limit(manager)

    def descriptors(self) -> tuple[list[int], int]:
        """Those of spawn.Request: of the v1 cgroups' `tasks`, which the caller closes, and of the v2 cgroup, or -1."""
        if not self.manager:
            return [], -1
        tasks = self._use(self.manager, lambda manager: manager.tasks_fds())
        cgroup = self.manager.v2_dir_fd()
        return tasks, -1 if cgroup is None else cgroup

    def admit(self, child: Child) -> None:
        """What is left to do when there is a process, which enters the v1 cgroups itself."""
        if not self.manager:
            return
        if self.manager.needs_process:
            self.manager.start(child.pid, self._owner())
            self._limit(self.manager)
        elif not child.in_cgroup:
            self.place(child.pid)

    def place(self, pid: int) -> None:
        """Moves a process into them that could not enter one itself, as it was gone."""
        assert self.manager
        self._use(self.manager, lambda manager: manager.add(pid))

    def mounts(self) -> ContainerMounts:
        """What a mount of type cgroup becomes."""
        private = "cgroup" in self._namespaces.new
        if self.manager and not self._rootless:
            return self.manager.mounts_for_container(private)
        from oci_runtime.lifecycle.rootless import cgroup_mounts

        return cgroup_mounts(self.manager, self._request.id, private)

    def import_devices(self) -> None:
        """Loads what apply_devices() needs."""
        if self.manager:
            self.manager.import_devices()

    def apply_devices(self) -> None:
        """The device rules."""
        if self.manager and self._rootless:
            if not self._request.systemd_cgroup:
                from oci_runtime.lifecycle.rootless import apply_devices

                apply_devices(self.manager, self._resources)
        elif self.manager:
            self.manager.apply_devices(self._resources)

    def remove(self) -> None:
        """With whatever a hook may have left in them."""
        if self.manager:
            try:
                self.manager.kill_all()
            except PyociError:
                pass  # if there is anybody left in them, delete() says so
            self.manager.delete()
