"""Hooks that run in the runtime's namespaces: prestart, createRuntime, poststart, poststop (config.md, hooks)."""

from __future__ import annotations

import posix

from oci_runtime._shim import lib
from oci_runtime.errors import PyociError
from oci_runtime.linux.processes import wait_for_end

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from oci_runtime.spec.types import Hook

_OUTPUT_AT_MOST = 4096
_FOREVER = -1.0
_SIGKILL = 9
# SIGPIPE and SIGXFSZ, which the interpreter ignores
_IGNORED = (13, 25)


def run_hooks(hooks: Sequence[Hook], kind: str, state: bytes, init: int = -1) -> None:
    """Runs them in their order, each with the state on its standard input. The first that fails ends it: PyociError.

    `init` is a pidfd of the process without which they are pointless: when it ends they do.
    """
    for i, hook in enumerate(hooks):
        run_hook(hook, kind, f"/hooks/{kind}/{i}", state, init)


def run_hook(hook: Hook, kind: str, pointer: str, state: bytes, init: int = -1) -> None:
    """Runs one hook; PyociError, with what it said, when it fails."""
    # Files in memory, so that neither side ever waits for the other.
    stdin = lib.sys_memfd(b"state", state, len(state), 0, -1)
    output = posix.memfd_create("output", 1)
    try:
        try:
            pid = _start(hook, stdin, output)
        except OSError as error:
            raise PyociError(f"{kind} hook {hook['path']} failed: {error.strerror} ({pointer})") from error
        finally:
            posix.close(stdin)
        _wait(pid, hook, kind, pointer, output, init)
    finally:
        posix.close(output)


def _start(hook: Hook, stdin: int, output: int) -> int:
    posix.lseek(stdin, 0, 0)
    actions = [
        (posix.POSIX_SPAWN_DUP2, stdin, 0),
        (posix.POSIX_SPAWN_DUP2, output, 1),
        (posix.POSIX_SPAWN_DUP2, output, 2),
    ]
    lib.sys_close_on_exec(3)  # what the caller forgot to close is none of the hook's: it may be a daemon's beginning
    environment = dict(variable.partition("=")[::2] for variable in hook["env"]) if "env" in hook else posix.environ
    return posix.posix_spawn(
        hook["path"],
        hook.get("args") or [hook["path"]],
        environment,
        file_actions=actions,
        setsigmask=(),
        setsigdef=_IGNORED,
    )


def _wait(pid: int, hook: Hook, kind: str, pointer: str, output: int, init: int) -> None:
    pidfd = lib.sys_pidfd_open(pid)
    in_time = False
    try:
        in_time = wait_for_end(pidfd, hook.get("timeout") or _FOREVER, init)
    finally:  # it may be an interruption that ends the waiting
        if not in_time:
            lib.sys_pidfd_send_signal(pidfd, _SIGKILL)
        posix.close(pidfd)
        status = posix.waitstatus_to_exitcode(posix.waitpid(pid, 0)[1])
    if not in_time and init >= 0 and wait_for_end(init, 0):
        raise PyociError(f"{kind} hook {hook['path']}: the container was killed meanwhile ({pointer})")
    if not in_time:
        raise PyociError(
            f"{kind} hook {hook['path']}: still running after its timeout of {hook['timeout']} s ({pointer})"
        )
    if status:
        said = " ".join(posix.pread(output, _OUTPUT_AT_MOST, 0).decode("utf-8", "replace").split())
        how = f"exit status {status}" if status > 0 else f"killed by signal {-status}"
        raise PyociError(f"{kind} hook {hook['path']} failed: {said}{' ' if said else ''}({how}) ({pointer})")
