"""linux.seccomp on its way to the plan, and its listener on the way to its agent."""

from __future__ import annotations

import posix

from oci_runtime._shim import lib
from oci_runtime.errors import PyociError, SystemCallError
from oci_runtime.lifecycle.hook_state import SPEC_VERSION
from oci_runtime.linux.seccomp_cache import filter_for
from oci_runtime.plan.context import SeccompFilter
from oci_runtime.plan.operations import Blob
from oci_runtime.state.codec import dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from oci_runtime.spec.types import ContainerProcessState, Seccomp, State

# No container can have this as its id.
CACHE = "~seccomp"


def compile_filter(seccomp: Seccomp, root: str, warn: Callable[[str], None]) -> SeccompFilter:
    """The filter for the plan, from the cache of the state root where it is known."""
    compiled = filter_for(seccomp, f"{root}/{CACHE}", warn)
    blob = Blob("seccomp")
    blob.data = compiled.bpf
    return SeccompFilter(blob, compiled.flags, compiled.notify)


def hand_over_listener(pidfd: int, descriptor: int, pid: int, container: State, seccomp: Seccomp) -> None:
    """Gives the listener of the process `pid` to the agent at linux.seccomp.listenerPath (config-linux.md,
    Seccomp), with the state of its container."""
    from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_STREAM
    from _socket import socket as new_socket

    listener = lib.sys_pidfd_getfd(pidfd, descriptor)
    if listener < 0:
        raise SystemCallError("cannot take the seccomp listener", -listener, "/linux/seccomp")
    state: ContainerProcessState = {
        "ociVersion": SPEC_VERSION,
        "fds": ["seccompFd"],
        "pid": pid,
        "metadata": seccomp.get("listenerMetadata", ""),
        "state": container,
    }
    text = dumps(state).encode()
    path = seccomp["listenerPath"]
    socket = new_socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC)
    try:
        socket.connect(path)
        error = lib.sys_send_descriptor(socket.fileno(), text, len(text), listener)
        if error < 0:
            raise OSError(-error, posix.strerror(-error))
    except OSError as error:
        raise PyociError(
            f"cannot send the seccomp listener to {path}: {error.strerror or error} (/linux/seccomp/listenerPath)"
        ) from error
    finally:
        socket.close()
        posix.close(listener)
