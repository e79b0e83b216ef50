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
    listener = lib.LISTENER_NONE
    if compiled.notify:
        listener = lib.LISTENER_SENT if posix.geteuid() == 0 else lib.LISTENER_OF_A_USER
    return SeccompFilter(blob, compiled.flags, listener)


def hand_over_listener(pidfd: int, descriptor: int, pid: int, container: State, seccomp: Seccomp) -> None:
    """Gives the listener of the process `pid` to the agent at linux.seccomp.listenerPath (config-linux.md,
    Seccomp), with the state of its container."""
    from oci_runtime.linux.unix_sockets import send_descriptor

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
    path = seccomp["listenerPath"]
    try:
        send_descriptor(path, dumps(state).encode(), listener)
    except OSError as error:
        raise PyociError(
            f"cannot send the seccomp listener to {path}: {error.strerror or error} (/linux/seccomp/listenerPath)"
        ) from error
    finally:
        posix.close(listener)
