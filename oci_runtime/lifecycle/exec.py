"""exec: a further process in a running container."""

from __future__ import annotations

import posix
from errno import EACCES, ENOENT, EPERM

from oci_runtime._shim import lib
from oci_runtime.errors import PyociError, StateError, SystemCallError
from oci_runtime.lifecycle.exec_request import process_of
from oci_runtime.lifecycle.host_facts import available_capabilities, warn_of_what_is_left_out
from oci_runtime.lifecycle.interruption import hold, release, undo_when_interrupted
from oci_runtime.lifecycle.oom_score_adj import spawn_process
from oci_runtime.lifecycle.saved import config_damage, saved_config
from oci_runtime.lifecycle.start import wait_for_exec
from oci_runtime.lifecycle.undo import Undo
from oci_runtime.lifecycle.warnings import to_stderr
from oci_runtime.linux import spawn
from oci_runtime.linux.cpu_affinity import reset_affinity
from oci_runtime.linux.descriptors import OpenFilesLimit, close_descriptors, open_descriptors
from oci_runtime.linux.processes import open_process
from oci_runtime.plan.context import Context
from oci_runtime.plan.exec_process import plan_exec_process
from oci_runtime.plan.namespaces import CLONE_FLAGS, Namespaces
from oci_runtime.state import store
from oci_runtime.state.status import status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from oci_runtime.lifecycle.foreground import Signals
    from oci_runtime.lifecycle.requests import ExecRequest
    from oci_runtime.linux.cgroups.manager import Manager
    from oci_runtime.plan.operations import Plan
    from oci_runtime.spec.types import Config, Process, Resources
    from oci_runtime.state.store import Container

    T = TypeVar("T")


def exec_process(request: ExecRequest, warn: Callable[[str], None] = to_stderr) -> int:
    """Runs the process; its exit code, 128 and the signal's number when one killed it, 0 when detached.

    StateError when the container does not run.
    """
    container = store.load(request.root, request.id)
    found = status(container)
    if found == "stopped" or found == "creating":
        raise StateError(f"cannot exec in a {found} container")
    if found == "paused" and not request.ignore_paused:
        raise StateError("cannot exec in a paused container (use --ignore-paused to override)")
    config = saved_config(container)
    undo = Undo()
    try:
        process = process_of(request, config)
        _check_console(request, process)
        undo_when_interrupted()
        execution = _Exec(request, container, config, process, undo, warn)
        child, master = execution.run()
        undo.forget()
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        undo.run(warn)
        if (damage := config_damage(container)) is not None:
            raise damage from error
        raise
    except BaseException:
        undo.run(warn)
        raise
    if not execution.signals:
        return 0
    from oci_runtime.lifecycle.foreground import wait

    return wait(child.pid, child.pidfd, master, execution.signals)


def _check_console(request: ExecRequest, process: Process) -> None:
    terminal = process.get("terminal", False)
    if terminal and request.detach and not request.console_socket:
        raise PyociError("cannot allocate tty if pyoci will detach without setting console socket")
    if request.console_socket and not (terminal and request.detach):
        raise PyociError("cannot use console socket if pyoci will not detach or allocate tty")


class _Exec:
    """The steps, each registering its undo."""

    __slots__ = ("config", "container", "manager", "open_files", "process", "request", "signals", "undo", "warn")

    def __init__(
        self,
        request: ExecRequest,
        container: Container,
        config: Config,
        process: Process,
        undo: Undo,
        warn: Callable[[str], None],
    ) -> None:
        self.request = request
        self.container = container
        self.config = config
        self.process = process
        self.undo = undo
        self.warn = warn
        self.manager: Manager | None = None
        self.open_files = OpenFilesLimit()
        self.open_files.make_room(0)
        self.signals: Signals | None = None

    def run(self) -> tuple[spawn.Child, int]:
        record = self.container.record
        init = open_process(record["pid"], record["start_time"])
        if init < 0:
            raise StateError("cannot exec in a stopped container")
        self.manager = self._cgroups()
        plan = self._plan()
        self.undo.add(lambda: close_descriptors(plan))
        open_descriptors(plan)
        try:
            child = self._spawn(plan, init)
            master = self._converse(child, plan)
        except SystemCallError as error:
            from oci_runtime.lifecycle.limit_errors import with_limit

            raise with_limit(error, self.manager, self._resources()) from error
        wait_for_exec(self.container, child.socket, plan, self.signals, child)
        self.open_files.restore()
        hold()
        posix.close(child.socket)
        return child, master

    def _resources(self) -> Resources | None:
        return self.config.get("linux", {}).get("resources")

    def _cgroups(self) -> Manager | None:
        if not self.container.record["cgroups"]:
            return None
        from oci_runtime.linux.cgroups.manager import from_state

        return from_state(self.container.record["cgroups"])

    def _plan(self) -> Plan:
        record = self.container.record
        context = Context(record["bundle"], Namespaces(self.config.get("linux", {})))
        context.capabilities = available_capabilities("user" in record["namespaces"])
        context.preserved = self.request.preserve_fds
        context.open_files = self.open_files.too_low_for_init
        context.keyring = record["keyring"]
        if record["annotations"]:
            from oci_runtime.annotations import keeps_groups

            context.groups_kept = keeps_groups(self.config)
        context.groups_denied = (record["rootless"] or posix.geteuid() != 0) and self._groups_denied()
        seccomp = self.config.get("linux", {}).get("seccomp")
        if seccomp:
            from oci_runtime.lifecycle.seccomp import compile_filter

            context.seccomp = compile_filter(seccomp, self.container.root, self.warn)
        if self.request.console_socket:
            from oci_runtime.lifecycle.console_socket import connect_console

            context.console_socket = connect_console(self.request.console_socket)
        root = "" if "mount" in record["namespaces"] else f"/proc/{record['pid']}/root"
        plan = plan_exec_process(self.process, self.config.get("linux", {}), context, root)
        warn_of_what_is_left_out(context, self.warn)
        if context.console_socket:
            plan.needs(context.console_socket)
        return plan

    def _groups_denied(self) -> bool:
        with open(f"/proc/{self.container.record['pid']}/setgroups") as file:
            return file.read().strip() == "deny"

    def _spawn(self, plan: Plan, init: int) -> spawn.Child:
        request = spawn.Request()
        request.process = init
        kinds = self.container.record["namespaces"]
        for kind in kinds:
            request.process_flags |= CLONE_FLAGS[kind]
        request.become_root = "user" in kinds
        request.preserved = self.request.preserve_fds
        manager = self.manager
        born_inside = not manager or self._use(manager, lambda manager: self._enter(manager, request))
        affinity = self.process.get("execCPUAffinity", {})
        if affinity.get("initial"):
            _set_affinity(0, affinity["initial"], "/process/execCPUAffinity/initial")
        hold()
        try:
            child = spawn_process(request, plan, self.process)
        finally:
            for fd in (*request.tasks, init):
                posix.close(fd)
            for descriptor in plan.descriptors:
                descriptor.fd = -1
        self.undo.add(child.kill)
        release()
        if manager and not (born_inside and child.in_cgroup):
            self._move(manager, child.pid)
        child.go()
        return child

    def _use(self, manager: Manager, use: Callable[[Manager], T]) -> T:
        """Uses the cgroups that the container is in, wherever somebody may move it meanwhile."""
        from oci_runtime.linux.cgroups.manager import retry_when_gone

        def follow_and_use() -> T:
            manager.follow(self.container.record["pid"])
            return use(manager)

        return retry_when_gone(follow_and_use, manager.close)

    def _enter(self, manager: Manager, request: spawn.Request) -> bool:
        """Whether the process can be born in the cgroups; `request` says so then."""
        cgroup = manager.v2_dir_fd(self.request.cgroup)
        # where it is born frozen it would not even report, with our signals held; moved there it can be killed
        if manager.is_frozen_at(cgroup):
            return False
        request.cgroup = -1 if cgroup is None else cgroup
        request.tasks = manager.tasks_fds(self.request.cgroup)
        return True

    def _move(self, manager: Manager, pid: int) -> None:
        record = self.container.record
        try:
            self._use(manager, lambda manager: manager.join_exec(pid, self.request.cgroup, record["pid"]))
        except SystemCallError as error:
            if not record["rootless"] or self.request.cgroup or error.errno not in (EACCES, EPERM, ENOENT):
                raise
            # as with runc: the user called from outside of what is delegated to him
            self.warn(f"the process stays in the cgroup of the runtime: {error}")

    def _converse(self, child: spawn.Child, plan: Plan) -> int:
        master = -1
        while True:
            report = spawn.receive(child.socket)
            if report is None:
                from oci_runtime.lifecycle.limit_errors import ended

                raise ended(child, "the process was executed", self.manager, self._resources())
            if report.kind == lib.REPORT_CONSOLE:
                from oci_runtime.lifecycle.terminal import prepare

                master = report.descriptor
                prepare(master)
            elif report.kind == lib.REPORT_SYNC:
                break
            elif self.manager and spawn.waits_for_cgroup(report):
                self._move(self.manager, child.pid)
                child.go()
            else:
                raise spawn.failure(report, plan)
        self._finish(child)
        return master

    def _finish(self, child: spawn.Child) -> None:
        self.open_files.restore_for(child.pid)
        if self.process.get("rlimits"):
            from oci_runtime.linux.rlimits import set_rlimits

            set_rlimits(child.pid, self.process)
        affinity = self.process.get("execCPUAffinity", {})
        if affinity.get("final"):
            _set_affinity(child.pid, affinity["final"], "/process/execCPUAffinity/final")
        elif not affinity.get("initial"):
            reset_affinity(child.pid, self.warn)
        if self.request.pid_file:
            from oci_runtime.lifecycle.pid_file import write_pid_file

            write_pid_file(self.request.pid_file, child.pid, self.undo)
        if self.request.pidfd_socket:
            from oci_runtime.lifecycle.pidfd_socket import send_pidfd

            send_pidfd(self.request.pidfd_socket, child.pidfd)
        if not self.request.detach:
            from oci_runtime.lifecycle.foreground import Signals

            self.signals = Signals()
        child.answer()


def _set_affinity(pid: int, cpus: str, pointer: str) -> None:
    from oci_runtime.plan.cpu_lists import bit_mask

    mask = bit_mask(cpus)
    error = lib.sys_sched_setaffinity(pid, mask, len(mask))
    if error:
        raise SystemCallError(f"cannot run on CPUs {cpus}", -error, pointer)
