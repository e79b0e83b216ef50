"""From a bundle to a container whose init waits to be started: what `create` and `run` have in common."""

from __future__ import annotations

import posix
from errno import EPERM

from oci_runtime._shim import lib
from oci_runtime.errors import PyociError, SpecError, SystemCallError
from oci_runtime.lifecycle.container_cgroups import ContainerCgroups
from oci_runtime.lifecycle.hook_state import hook_state, state_in_container, surroundings
from oci_runtime.lifecycle.host_facts import fill_context, is_rootless, warn_of_what_is_left_out
from oci_runtime.lifecycle.interruption import hold, release, undo_when_interrupted
from oci_runtime.lifecycle.oom_score_adj import spawn_process
from oci_runtime.lifecycle.undo import Undo
from oci_runtime.linux import spawn
from oci_runtime.linux.cpu_affinity import reset_affinity
from oci_runtime.linux.descriptors import OpenFilesLimit, close_descriptors, is_directory, open_descriptors
from oci_runtime.linux.processes import start_time
from oci_runtime.plan.container import plan_container
from oci_runtime.plan.context import Context
from oci_runtime.plan.namespaces import CLONE_FLAGS, Namespaces
from oci_runtime.plan.operations import Socket
from oci_runtime.plan.root import rootfs_path
from oci_runtime.spec.document import load_config, read_descriptor
from oci_runtime.state import store
from oci_runtime.state.codec import dumps
from oci_runtime.state.record import VERSION, date

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from oci_runtime.lifecycle.requests import CreateRequest
    from oci_runtime.linux.mount_sources import MountSources
    from oci_runtime.linux.resctrl import Groups
    from oci_runtime.plan.operations import Plan
    from oci_runtime.spec.types import Config
    from oci_runtime.state.record import Record


class Launched:
    """A container whose init is ready. `master` is the terminal's other end, or -1; `plan` explains init's failures;
    `open_files` is restored before anything else is executed."""

    __slots__ = ("cgroups", "child", "config", "container", "master", "open_files", "plan", "undo")

    def __init__(self, making: _Launch, child: spawn.Child, plan: Plan) -> None:
        self.config = making.config
        self.cgroups = making.cgroups.manager
        self.container = making.container
        self.open_files = making.open_files
        self.child = child
        self.plan = plan
        self.undo = making.undo
        self.master = -1


def launch(request: CreateRequest, *, detached: bool, wait_for_start: bool, warn: Callable[[str], None]) -> Launched:
    """Makes the container up to the point where only the word to start is missing.

    `detached`: nobody stays who could be the terminal's other end. On failure everything is undone. On success signals
    wait, see interruption.py: the caller releases them where it can undo, or keeps what is made.
    """
    config, text = read_config(request.bundle)
    check_console(config, request, detached=detached)
    if posix.geteuid() != 0:
        from oci_runtime.lifecycle.rootless import check_config

        check_config(config, text, request.bundle)
    store.check_free(request.root, request.id)
    if request.listen_fds or request.notify_socket:
        from oci_runtime.lifecycle.systemd import pass_on

        pass_on(config, request)
    undo = Undo()
    undo_when_interrupted()
    try:
        return _Launch(request, config, undo, warn).run(text, wait_for_start=wait_for_start)
    except SpecError as error:
        undo.run(warn)
        raise _located(error, config, text, request.bundle) from error
    except BaseException:
        undo.run(warn)
        raise


def _located(error: SpecError, config: Config, text: bytes, bundle: str) -> SpecError:
    """What only this host finds wrong with the configuration, such as its cgroups, told like other mistakes in it."""
    from oci_runtime.spec.explain import spec_error

    return spec_error(error.problems, config, text.decode(), f"{bundle}/config.json") if error.problems else error


def read_config(bundle: str) -> tuple[Config, bytes]:
    """The valid configuration of a bundle, and its text."""
    path = f"{bundle}/config.json"
    try:
        fd = posix.open(path, posix.O_RDONLY | posix.O_NONBLOCK | posix.O_CLOEXEC)
    except OSError as error:
        reason = error.strerror if is_directory(bundle) else f"the bundle {bundle} is no directory"
        raise PyociError(f"cannot open {path}: {reason}") from error
    try:
        text = read_descriptor(fd, path)  # once: a pipe has no more, and what is kept is what was checked
        if not text and posix.fstat(fd).st_mode & 0o170000 == 0o010000:
            raise PyociError(f"cannot read {path}: it is a FIFO that nobody writes to")
    finally:
        posix.close(fd)
    config = load_config(text, name=path)
    rootfs = rootfs_path(config, bundle)
    if not is_directory(rootfs):
        raise PyociError(f"{path}: /root/path: {rootfs} is no directory; it must be the container's root filesystem")
    return config, text


def check_console(config: Config, request: CreateRequest, *, detached: bool) -> None:
    """A terminal needs somebody at its other end, and a console socket needs a terminal. The words are runc's."""
    terminal = config["process"].get("terminal", False)
    if terminal and detached and not request.console_socket:
        raise PyociError(
            "cannot allocate tty if pyoci will detach without setting console socket "
            "(/process/terminal is true; give --console-socket, or set it to false)"
        )
    if request.console_socket and not (terminal and detached):
        raise PyociError(
            "cannot use console socket if pyoci will not detach or allocate tty "
            "(/process/terminal is false; leave --console-socket out, or set it to true)"
        )


class _Launch:
    """The steps of launch(), each registering its undo."""

    __slots__ = (
        "cgroups",
        "config",
        "container",
        "joined",
        "linux",
        "listener",
        "namespaces",
        "open_files",
        "request",
        "resctrl",
        "rootless",
        "undo",
        "warn",
    )

    def __init__(self, request: CreateRequest, config: Config, undo: Undo, warn: Callable[[str], None]) -> None:
        self.request = request
        self.config = config
        self.undo = undo
        self.warn = warn
        self.linux = config.get("linux", {})
        self.namespaces = Namespaces(self.linux)
        self.joined: list[int] = []
        self.listener = False  # init loads a filter that has one before it waits for `start`
        self.open_files = OpenFilesLimit()
        self.open_files.make_room(0)
        self.rootless = is_rootless() if request.rootless is None else request.rootless
        self.cgroups = ContainerCgroups(request, config, self.namespaces, self.rootless)
        self.resctrl = self._resctrl_groups()

    def run(self, text: bytes, *, wait_for_start: bool) -> Launched:
        if self.namespaces.joined:
            self._open_namespaces()
        hold()
        self.container = store.create(self.request.root, self._record(), text)
        if "poststop" in self.container.record["hooks"]:
            self.undo.add(self._run_poststop_hooks)
            self.undo.add(self.open_files.restore)
        self.undo.add(self.container.close)
        self.undo.add(self._forget)
        self.undo.reserve(self.container.parent)
        release()
        if self.request.notify_socket:
            from oci_runtime.lifecycle.systemd import make_notify_directory

            make_notify_directory(self.container)
        self.undo.add(self.cgroups.remove, on_record=True)
        self.cgroups.make(self.container, self.warn)
        plan = self._plan(wait_for_start)
        if not self.namespaces.has("mount"):
            self._note_inherited_mounts()
        self.undo.add(lambda: close_descriptors(plan))
        descriptors = self._open_descriptors(plan)
        try:
            child = self._spawn(plan, descriptors)
            launched = Launched(self, child, plan)
            self._converse(launched, wait_for_start)
        except SystemCallError as error:
            from oci_runtime.lifecycle.limit_errors import with_limit

            raise with_limit(error, self.cgroups.manager, self.linux.get("resources")) from error
        hold()
        return launched

    def _open_namespaces(self) -> None:
        """Those to be joined, and refuses what must not be, before anything is made."""
        self.undo.add(self._close_namespaces)
        for _, path, pointer in self.namespaces.joined:
            self.joined.append(_open_namespace(path, pointer))
        if self.linux.get("sysctl") or any(kind == "mount" for kind, _, _ in self.namespaces.joined):
            from oci_runtime.lifecycle.own_namespaces import refuse_own_namespaces

            refuse_own_namespaces(self.namespaces, self.joined, self.linux)

    def _note_inherited_mounts(self) -> None:
        from oci_runtime.linux.inherited_mounts import note, unmount

        note(self.container.directory, self.container.record["rootfs"])
        self.undo.add(lambda: unmount(self.container.directory), on_record=True)

    def _close_namespaces(self) -> None:
        while self.joined:
            posix.close(self.joined.pop())

    def _resctrl_groups(self) -> Groups | None:
        if "intelRdt" not in self.linux:
            return None
        from oci_runtime.linux.resctrl import find_mount, plan_groups

        return plan_groups(self.linux["intelRdt"], self.request.id, find_mount())

    def _record(self) -> Record:
        from time import time_ns

        kinds = [*self.namespaces.new, *(kind for kind, _, _ in self.namespaces.joined)]
        return {
            "version": VERSION,
            "ociVersion": self.config["ociVersion"],
            "id": self.request.id,
            "bundle": self.request.bundle,
            "rootfs": rootfs_path(self.config, self.request.bundle),
            "annotations": self.config.get("annotations", {}),
            "status": "creating",
            "pid": 0,
            "start_time": 0,
            "created": date(time_ns()),
            "owner": posix.geteuid(),
            "namespaces": kinds,
            "cgroups": self.cgroups.to_state(),
            "resctrl": self.resctrl,
            "hooks": [kind for kind, hooks in self.config.get("hooks", {}).items() if hooks],
            "operations": "",
            "paused": False,
            "rootless": self.rootless,
            "keyring": "",
            "own_pids": "pid" in self.namespaces.new,
            "start_descriptor": 0,
            "hooks_told": True,
        }

    def _forget(self) -> None:
        """Off the record, unless there is something left that only the record leads to."""
        if not self.undo.incomplete:
            self.container.remove()
            return
        self.warn(f"what is left of the container is on record: `pyoci delete --force {self.request.id}` removes it")

    def _run_poststop_hooks(self) -> None:
        """The end of a container that failed is like that of any other (runtime.md, Lifecycle, steps 2 to 5)."""
        if self.undo.incomplete:
            return  # `delete` runs them
        from oci_runtime.lifecycle.delete import run_poststop_hooks

        run_poststop_hooks(self.container.record, self.config["hooks"]["poststop"], self.warn)

    def _plan(self, wait_for_start: bool) -> Plan:
        context = Context(self.request.bundle, self.namespaces)
        context.open_files = self.open_files.too_low_for_init
        fill_context(context, self.request, self.config)
        if context.keyring:  # who can guess it could make it before, or join it, and put keys in
            context.keyring += f"-{posix.urandom(16).hex()}"
            self.container.record["keyring"] = context.keyring
        if any(mount.get("type") in ("cgroup", "cgroup2") for mount in self.config.get("mounts", ())):
            context.cgroup_mounts = self.cgroups.mounts()
        if "seccomp" in self.linux:
            from oci_runtime.lifecycle.seccomp import compile_filter

            context.seccomp = compile_filter(self.linux["seccomp"], self.request.root, self.warn)
        if self.request.console_socket:
            from oci_runtime.lifecycle.console_socket import connect_console

            context.console_socket = connect_console(self.request.console_socket)
        if wait_for_start:
            context.start_socket = self._listen()
        self.listener = context.waits_filtered()
        hooks = self.container.record["hooks"]
        if self.config.get("annotations") and ("createContainer" in hooks or "startContainer" in hooks):
            from oci_runtime.lifecycle.hook_state import hook_output

            context.hook_output = hook_output(self.request.bundle, self.config["annotations"])
        plan = plan_container(self.config, context)
        warn_of_what_is_left_out(context, self.warn)
        for descriptor in (context.console_socket, context.start_socket, *context.hook_output):
            if descriptor:
                plan.needs(descriptor)
        return plan

    def _open_descriptors(self, plan: Plan) -> int:
        """Opens them; returns a descriptor of the user namespace that was needed for it, or -1."""
        self.open_files.make_room(len(plan.descriptors) + len(plan.operations))  # and init may keep a mount of each
        if posix.geteuid() == 0:
            self._open_as_root(plan)
            return -1
        from oci_runtime.linux import rootless

        if "user" in self.namespaces.new:
            uids, gids = self.linux.get("uidMappings", []), self.linux.get("gidMappings", [])
            return rootless.open_in_new_user_namespace(plan, uids, gids)
        for (kind, _, _), fd in zip(self.namespaces.joined, self.joined, strict=True):
            if kind == "user":
                rootless.open_in_user_namespace(plan, fd)
        return -1

    def _open_as_root(self, plan: Plan) -> None:
        for (kind, _, _), fd in zip(self.namespaces.joined, self.joined, strict=True):
            if kind == "user":
                from oci_runtime.linux.device_nodes import find_mappings

                find_mappings(plan, fd)
        try:
            open_descriptors(plan)
        except SystemCallError as error:
            from oci_runtime.linux.own_ids import in_user_namespace

            if error.errno != EPERM or not in_user_namespace():
                raise
            from oci_runtime.linux.rootless import open_in_user_namespace

            # root of `unshare -Ur`, in a mount namespace that is not his
            open_in_user_namespace(plan, -1)

    def _listen(self) -> Socket:
        """Where init waits for `start`. Reached by a descriptor, since a socket's path is short (unix(7))."""
        fd = lib.sys_listen(f"/proc/self/fd/{self.container.directory}/{store.START_SOCKET}".encode())
        if fd < 0:
            raise SystemCallError(f"cannot listen at {self.container.path}/{store.START_SOCKET}", -fd)
        socket = Socket("start")
        socket.fd = fd
        return socket

    def _spawn(self, plan: Plan, user_namespace: int) -> spawn.Child:
        request = spawn.Request()
        request.flags = self.namespaces.clone_flags()
        request.become_root = self.namespaces.has("user")
        request.preserved = self.request.preserve_fds
        if user_namespace >= 0:
            request.flags &= ~CLONE_FLAGS["user"]
            request.join.append((user_namespace, CLONE_FLAGS["user"]))
            request.execute_again = True
        for (kind, _, _), fd in zip(self.namespaces.joined, self.joined, strict=True):
            request.join.append((fd, CLONE_FLAGS[kind]))
        request.tasks, request.cgroup = self.cgroups.descriptors()
        hold()
        try:
            child = spawn_process(request, plan, self.config["process"])
        finally:
            for fd in (*request.tasks, *(fd for fd, _ in request.join if fd not in self.joined)):
                posix.close(fd)
            self._close_namespaces()
            for descriptor in plan.descriptors:
                descriptor.fd = -1
        self.undo.add(child.kill, on_record=True)
        release()
        self._prepare(child, mapped=user_namespace >= 0)
        self._work_meanwhile(plan)
        return child

    def _prepare(self, child: spawn.Child, *, mapped: bool) -> None:
        """What must be there before the child goes on. `mapped`: its ids are already."""
        record = self.container.record
        record["pid"], record["start_time"] = child.pid, start_time(child.pid)
        self.container.save()
        self.cgroups.admit(child)
        reset_affinity(child.pid, self.warn)
        if "user" in self.namespaces.new and not mapped:
            from oci_runtime.linux.user_namespace import map_ids

            map_ids(child.pid, self.linux.get("uidMappings", []), self.linux.get("gidMappings", []))
        if self.resctrl:
            self._join_resctrl_groups(self.resctrl, child.pid)
        if self.linux.get("netDevices"):
            from oci_runtime.linux.net_devices import move_net_devices

            move_net_devices(child.pid, self.linux["netDevices"])
        child.go()

    def _work_meanwhile(self, plan: Plan) -> None:
        """What is needed next is made ready and loaded while init works, on another CPU."""
        self.container.record["operations"] = dumps(plan.after_start())
        self.cgroups.import_devices()
        if self.config["process"].get("rlimits"):
            import oci_runtime.linux.rlimits  # noqa: F401

    def _join_resctrl_groups(self, groups: Groups, pid: int) -> None:
        from oci_runtime.linux.resctrl import make_groups, remove_groups

        self.undo.add(lambda: remove_groups(groups), on_record=True)
        make_groups(self.linux["intelRdt"], groups, pid)

    def _converse(self, launched: Launched, wait_for_start: bool) -> None:
        child = launched.child
        mounted = False
        sources: MountSources | None = None
        while True:
            report = spawn.receive(child.socket)
            if report is None:
                from oci_runtime.lifecycle.limit_errors import ended

                raise ended(child, "the container was created", self.cgroups.manager, self.linux.get("resources"))
            if report.kind == lib.REPORT_CONSOLE:
                from oci_runtime.lifecycle.terminal import prepare

                launched.master = report.descriptor
                prepare(launched.master)
            elif spawn.waits_for_cgroup(report):
                self.cgroups.place(child.pid)
                child.go()
            elif report.kind == lib.REPORT_TREE:
                if not sources:
                    from oci_runtime.linux.mount_sources import MountSources

                    sources = MountSources(child, launched.plan)
                    self.undo.add(sources.close)
                sources.provide(report)
            elif report.kind != lib.REPORT_SYNC:
                raise spawn.failure(report, launched.plan)
            else:
                if not mounted:
                    self.open_files.restore_for(child.pid)
                    if sources:
                        sources.close()
                    self.cgroups.apply_devices()  # when the mounts are done, and before any hook, as runc has it
                    mounted = True
                if report.value != lib.SYNC_HOOKS:
                    break
                self._run_create_hooks(child)
        self._finish(launched, wait_for_start)

    def _run_create_hooks(self, child: spawn.Child) -> None:
        """With the state "created": they are steps 3 to 5 of runtime.md's lifecycle, and "creating" is its step 2. So
        it is with crun, and runtime-tools' validation wants it; `state` says "creating" until all of create is done."""
        from oci_runtime.linux.hooks import run_hooks

        hooks = self.config["hooks"]
        state = hook_state(self.container.record, "created")
        around = surroundings(self.request.bundle, self.config.get("annotations", {}))
        self.open_files.restore()
        run_hooks(hooks.get("prestart", ()), "prestart", state, around, child.pidfd)
        run_hooks(hooks.get("createRuntime", ()), "createRuntime", state, around, child.pidfd)
        self.open_files.make_room(0)
        child.answer(state_in_container(self.container.record, "created") if hooks.get("createContainer") else b"")

    def _finish(self, launched: Launched, wait_for_start: bool) -> None:
        """init is ready: limits, pid file, and the record before the answer, so that what lives is on record."""
        child = launched.child
        if self.config["process"].get("rlimits"):
            from oci_runtime.linux.rlimits import set_rlimits

            set_rlimits(child.pid, self.config["process"])
        if self.request.pid_file:
            from oci_runtime.lifecycle.pid_file import write_pid_file

            write_pid_file(self.request.pid_file, child.pid, self.undo)
        if self.request.pidfd_socket:
            from oci_runtime.lifecycle.pidfd_socket import send_pidfd

            send_pidfd(self.request.pidfd_socket, child.pidfd)
        if self.listener:
            self._hand_over_listener(launched)
        self.container.record["status"] = "created"
        self.container.save()
        if wait_for_start:
            child.answer()

    def _hand_over_listener(self, launched: Launched) -> None:
        """Sends init on to give up its privileges and load the filter, and the filter's listener to the agent."""
        from oci_runtime.lifecycle.hook_state import oci_state
        from oci_runtime.lifecycle.seccomp import hand_over_listener
        from oci_runtime.lifecycle.start import startcontainer_state

        child, record = launched.child, self.container.record
        child.answer(startcontainer_state(self.container))
        report = spawn.receive(child.socket)
        if report is None:
            from oci_runtime.lifecycle.limit_errors import ended

            raise ended(child, "the container was created", self.cgroups.manager, self.linux.get("resources"))
        if report.kind != lib.REPORT_LISTENER:
            raise spawn.failure(report, launched.plan)
        state = oci_state(record, "creating")
        hand_over_listener(child.pidfd, report.value, child.pid, state, self.linux["seccomp"])
        record["start_descriptor"] = report.op


def _open_namespace(path: str, pointer: str) -> int:
    try:
        return posix.open(path, posix.O_RDONLY | posix.O_NONBLOCK | posix.O_CLOEXEC)
    except OSError as error:
        raise PyociError(f"cannot open the namespace {path}: {error.strerror} ({pointer})") from error
