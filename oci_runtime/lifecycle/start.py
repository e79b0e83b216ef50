"""start: tells a created container's init to become its process (runtime.md, Start)."""

from __future__ import annotations

import posix

from oci_runtime.errors import PyociError, StateError
from oci_runtime.lifecycle.hook_state import hook_state, oci_state, state_in_container, surroundings
from oci_runtime.lifecycle.interruption import hold, release
from oci_runtime.lifecycle.warnings import to_stderr
from oci_runtime.linux.conversation import next_report, send_state
from oci_runtime.linux.processes import open_process
from oci_runtime.state import store
from oci_runtime.state.status import status

# seconds
REASON_TIMEOUT = 2.0

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from oci_runtime.lifecycle.foreground import Signals
    from oci_runtime.lifecycle.systemd import NotifySocket
    from oci_runtime.linux.conversation import Report
    from oci_runtime.linux.spawn import Child
    from oci_runtime.plan.operations import Plan
    from oci_runtime.spec.types import Hook
    from oci_runtime.state.store import Container


def start(root: str, container_id: str, warn: Callable[[str], None] = to_stderr, notify_host: str = "") -> None:
    """Starts the process. StateError when the container is not "created"; PyociError when it cannot be executed.

    With `notify_host`, systemd's $NOTIFY_SOCKET, it returns when the process says that it is ready.
    """
    container = store.load(root, container_id)
    container.lock(to_stderr)
    found = status(container)
    if found != "created":
        raise StateError(_refusal(found))
    notify = None
    if notify_host:
        from oci_runtime.lifecycle.systemd import notify_socket

        notify = notify_socket(container, notify_host)
    if container.record["start_descriptor"]:  # create has sent the state
        socket, state = _take_channel(container), b""
    else:
        socket, state = _connect(container), startcontainer_state(container)
    send_state(socket, state)
    try:
        wait_for_exec(container, socket, None)
    except PyociError as error:
        _destroy_if_hook_failed(container, error, warn)
        raise
    record_running(container, warn)
    if "poststart" in container.record["hooks"]:
        run_poststart_hooks(container, None, warn)
    if notify:
        _forward(container, notify)


def record_running(container: Container, warn: Callable[[str], None]) -> None:
    """The process runs, whatever becomes of its record: `state` derives what it does."""
    container.record["status"] = "running"
    try:
        try:
            posix.unlink(store.START_SOCKET, dir_fd=container.directory)
        except FileNotFoundError:
            pass  # `run` has none
        container.save()
    except (OSError, PyociError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        warn(f"container {container.id!r} runs, but its record could not be changed: {why}")


def _destroy_if_hook_failed(container: Container, error: PyociError, warn: Callable[[str], None]) -> None:
    """A startContainer hook (runtime.md, Lifecycle, step 7). What could not be executed is a container that stopped."""
    from oci_runtime.linux.spawn_errors import HookError

    if isinstance(error, HookError):
        from oci_runtime.lifecycle.delete import kill_and_destroy

        kill_and_destroy(container, warn)


def _forward(container: Container, notify: NotifySocket) -> None:
    record = container.record
    pidfd = open_process(record["pid"], record["start_time"])
    container.close()
    if pidfd >= 0:
        notify.forward_until_ready(record["pid"], pidfd)


def _refusal(found: str) -> str:
    if found in ("running", "paused"):
        return "cannot start an already running container"
    return f"cannot start a container that has {found}" if found == "stopped" else f"cannot start a {found} container"


def _connect(container: Container) -> int:
    from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_SEQPACKET
    from _socket import socket as new_socket

    socket = new_socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC)
    try:
        socket.connect(f"/proc/self/fd/{container.directory}/{store.START_SOCKET}")
    except OSError as error:
        raise PyociError(f"cannot reach the container's init: {error.strerror or error}") from error
    return socket.detach()


def startcontainer_state(container: Container) -> bytes:
    """What init needs for the startContainer hooks, if there are any."""
    return state_in_container(container.record, "created") if "startContainer" in container.record["hooks"] else b""


def _take_channel(container: Container) -> int:
    """Of an init that a seccomp filter binds already: see op_start_channel() in native/init/report.c."""
    from oci_runtime._shim import lib

    record = container.record
    pidfd = open_process(record["pid"], record["start_time"])
    socket: int = lib.sys_pidfd_getfd(pidfd, record["start_descriptor"])
    if pidfd >= 0:
        posix.close(pidfd)
    if socket < 0:
        raise PyociError(f"cannot reach the container's init: {posix.strerror(-socket)}")
    return socket


def wait_for_exec(
    container: Container,
    socket: int,
    plan: Plan | None,
    signals: Signals | None = None,
    further: Child | None = None,
) -> None:
    """Returns when init has become the process. Without `plan` a failure is told with what the record has of it.

    With `signals` one that ends commands raises Interrupted. `further` is the process of exec, else it is the
    container's own.
    """
    hooks = not further and container.record["hooks_told"] and "startContainer" in container.record["hooks"]
    while True:
        if signals:
            signals.until_readable(socket)
        report = next_report(socket)
        if report is None:
            if hooks:
                raise _ended_in_hooks()
            return
        from oci_runtime._shim import lib  # not for a start that goes well

        if report.kind == lib.REPORT_HOOKS_RAN:
            hooks = False
            continue
        if report.kind == lib.REPORT_NOT_EXECUTED:
            report = _with_reason(socket, report)
        if report.kind != lib.REPORT_LISTENER:
            raise _failure(container, report, plan)
        _hand_over_listener(container, report.value, further)
        send_state(socket, b"")


def _with_reason(socket: int, report: Report) -> Report:
    """What init tells when it has looked for the reason, if its filter lets it look and no agent holds it up."""
    return next_report(socket, REASON_TIMEOUT) or report


def _ended_in_hooks() -> PyociError:
    from oci_runtime.linux.spawn_errors import ended_in_hooks

    return ended_in_hooks()


def _failure(container: Container, report: Report, plan: Plan | None) -> PyociError:
    from oci_runtime.linux.spawn import failure

    if plan:
        return failure(report, plan)
    from oci_runtime.lifecycle.saved import recorded_plan

    return failure(report, recorded_plan(report, container.record["operations"]))


def _hand_over_listener(container: Container, descriptor: int, further: Child | None) -> None:
    from oci_runtime.lifecycle.seccomp import hand_over_listener

    record = container.record
    from oci_runtime.lifecycle.saved import saved_seccomp

    seccomp = saved_seccomp(container)
    if further:
        hand_over_listener(further.pidfd, descriptor, further.pid, oci_state(record, "running"), seccomp)
        return
    pidfd = open_process(record["pid"], record["start_time"])
    hand_over_listener(pidfd, descriptor, record["pid"], oci_state(record, "creating"), seccomp)
    posix.close(pidfd)


def run_poststart_hooks(container: Container, hooks: Sequence[Hook] | None, warn: Callable[[str], None]) -> None:
    """The hooks, by default those of the saved configuration; when one fails the container is stopped and destroyed
    (runtime.md, Lifecycle, step 9).

    They may call commands that change the container, so it is not locked meanwhile, nor afterwards.
    """
    try:
        from oci_runtime.linux.hooks import run_hooks

        record = container.record
        state, around = hook_state(record, "running"), surroundings(record["bundle"], record["annotations"])
        container.unlock()
        release()
        if hooks is None:
            from oci_runtime.lifecycle.saved import saved_hooks

            hooks = saved_hooks(container, "poststart")
        run_hooks(hooks, "poststart", state, around)
        hold()
    except BaseException:
        hold()
        _destroy(container, warn)
        raise


def _destroy(container: Container, warn: Callable[[str], None]) -> None:
    from oci_runtime.lifecycle.delete import kill_and_destroy

    try:
        container.lock(to_stderr)
    except StateError:
        return  # a hook did it
    kill_and_destroy(container, warn)
