"""run: create and start in one, and unless detached wait for the process, pass signals on, and clean up."""

from __future__ import annotations

import posix

from oci_runtime._shim import lib
from oci_runtime.errors import PyociError, StateError
from oci_runtime.lifecycle.interruption import hold, release
from oci_runtime.lifecycle.launch import launch
from oci_runtime.lifecycle.start import record_running, run_poststart_hooks, startcontainer_state, wait_for_exec
from oci_runtime.lifecycle.warnings import to_stderr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from oci_runtime.lifecycle.foreground import Signals
    from oci_runtime.lifecycle.launch import Launched
    from oci_runtime.lifecycle.requests import RunRequest
    from oci_runtime.lifecycle.systemd import NotifySocket


def run(request: RunRequest, warn: Callable[[str], None] = to_stderr) -> int:
    """The exit code of the process, 128 and the signal's number when one killed it; 0 when detached."""
    if not request.detach and not request.no_subreaper:
        lib.sys_subreaper()
    launched = launch(request, detached=request.detach, wait_for_start=False, warn=warn)
    signals = notify = None
    try:
        release()
        if not request.detach:
            from oci_runtime.lifecycle.foreground import Signals

            signals = Signals()
        if request.notify_socket:
            from oci_runtime.lifecycle.systemd import notify_socket

            notify = notify_socket(launched.container, request.notify_socket)
        _start(launched, signals, warn)
        launched.open_files.restore()
    except BaseException:
        launched.undo.run(warn)
        raise
    container = launched.container
    if "poststart" in container.record["hooks"]:
        run_poststart_hooks(container, launched.config["hooks"]["poststart"], warn)
    if not signals:
        if notify:
            container.close()
            notify.forward_until_ready(launched.child.pid, launched.child.pidfd)
        return 0
    try:
        return _wait(launched, signals, notify)
    finally:
        if not request.keep:
            _delete(request, warn)


def _start(launched: Launched, signals: Signals | None, warn: Callable[[str], None]) -> None:
    container = launched.container
    launched.child.answer(startcontainer_state(container))
    wait_for_exec(container, launched.child.socket, launched.plan, signals)
    hold()
    record_running(container, warn)


def _wait(launched: Launched, signals: Signals, notify: NotifySocket | None) -> int:
    """Other commands may work on the container while it runs."""
    child = launched.child
    launched.undo.forget()
    launched.container.close()  # first: whatever fails, it is deleted then, and that needs the lock
    if launched.cgroups:
        launched.cgroups.close()
    posix.close(child.socket)
    from oci_runtime.lifecycle import delete  # noqa: F401 -- loaded while the process runs, not when it has ended
    from oci_runtime.lifecycle.foreground import wait
    from oci_runtime.linux.cgroups import tree  # noqa: F401

    return wait(child.pid, child.pidfd, launched.master, signals, notify)


def _delete(request: RunRequest, warn: Callable[[str], None]) -> None:
    from oci_runtime.lifecycle.delete import delete

    try:
        delete(request.root, request.id, force=True, warn=warn)
    except StateError:
        pass  # another command was faster
    except (PyociError, OSError) as error:
        # what the process ended with is what was asked for; the container stays on record
        warn(f"container {request.id!r} could not be removed: {getattr(error, 'strerror', None) or error}")
