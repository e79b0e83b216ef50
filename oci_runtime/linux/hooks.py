"""Hooks that run in the runtime's namespaces: prestart, createRuntime, poststart, poststop (config.md, hooks)."""

from __future__ import annotations

import posix
from _signal import SIG_BLOCK, SIG_SETMASK, pthread_sigmask
from errno import EINVAL

from oci_runtime._shim import lib
from oci_runtime.errors import PyociError
from oci_runtime.linux.processes import wait_for_end

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from oci_runtime.spec.types import Hook

_OUTPUT_AT_MOST = 4096
_FOREVER = -1.0
_SIGKILL = 9
_INTERRUPTING = (1, 2, 15)  # SIGHUP, SIGINT, SIGTERM: lifecycle/interruption.py
_MFD_NOEXEC_SEAL = 8  # vm.memfd_noexec=2 demands it
# SIGPIPE and SIGXFSZ, which the interpreter ignores
_IGNORED = (13, 25)


class Surroundings:
    """Of a hook: the directory it runs in, and the files that get its standard output and error, or ''."""

    __slots__ = ("directory", "stderr", "stdout")

    def __init__(self, directory: str, stdout: str = "", stderr: str = "") -> None:
        self.directory = directory
        self.stdout = stdout
        self.stderr = stderr


def run_hooks(hooks: Sequence[Hook], kind: str, state: bytes, around: Surroundings, init: int = -1) -> None:
    """Runs them in their order, each with the state on its standard input. The first that fails ends it: PyociError.

    `init` is a pidfd of the process without which they are pointless: when it ends they do.
    """
    for i, hook in enumerate(hooks):
        run_hook(hook, kind, f"/hooks/{kind}/{i}", state, around, init)


def run_hook(hook: Hook, kind: str, pointer: str, state: bytes, around: Surroundings, init: int = -1) -> None:
    """Runs one hook; PyociError, with what it said, when it fails."""
    # Files in memory, so that neither side ever waits for the other.
    opened = [lib.sys_memfd(b"state", state, len(state), 0, -1), _memory_file()]
    try:
        posix.lseek(opened[0], 0, 0)
        for which, path in (("stdout", around.stdout), ("stderr", around.stderr)):
            opened.append(open_output(path, which) if path else posix.dup(opened[1]))
        # an interruption must not come between its start and the waiting, or it would be left alone
        mask = pthread_sigmask(SIG_BLOCK, _INTERRUPTING)
        try:
            pid = _start(hook, opened[0], opened[2:], _directory(around.directory, kind))
        except BaseException as error:
            pthread_sigmask(SIG_SETMASK, mask)
            if not isinstance(error, OSError):
                raise
            raise PyociError(f"{kind} hook {hook['path']} failed: {error.strerror} ({pointer})") from error
        _wait(pid, hook, kind, pointer, opened[1], init, mask)
    finally:
        for fd in opened:
            posix.close(fd)


def _memory_file() -> int:
    try:
        return posix.memfd_create("output", posix.MFD_CLOEXEC | _MFD_NOEXEC_SEAL)
    except OSError as error:
        if error.errno != EINVAL:  # before Linux 6.3
            raise
        return posix.memfd_create("output", posix.MFD_CLOEXEC)


def open_output(path: str, which: str) -> int:
    """A descriptor of a file that what hooks write is added to; `which` is stdout or stderr. PyociError."""
    flags = posix.O_WRONLY | posix.O_CREAT | posix.O_APPEND | posix.O_NOCTTY | posix.O_CLOEXEC
    try:
        fd = posix.open(path, flags | posix.O_NONBLOCK, 0o700)  # a FIFO that nobody reads holds up nothing
    except OSError as error:
        from oci_runtime.annotations import HOOKS_STDERR, HOOKS_STDOUT

        name = HOOKS_STDERR if which == "stderr" else HOOKS_STDOUT
        raise PyociError(f"cannot open {path}: {error.strerror} (/annotations/{name})") from error
    posix.set_blocking(fd, True)
    return fd


def _directory(path: str, kind: str) -> str:
    """That of the bundle, which may be gone when the container is deleted."""
    from oci_runtime.linux.descriptors import is_directory

    return path if kind != "poststop" or is_directory(path) else "/"


def _start(hook: Hook, stdin: int, output: Sequence[int], directory: str) -> int:
    actions = [
        (posix.POSIX_SPAWN_DUP2, stdin, 0),
        (posix.POSIX_SPAWN_DUP2, output[0], 1),
        (posix.POSIX_SPAWN_DUP2, output[1], 2),
    ]
    lib.sys_close_on_exec(3)  # what the caller forgot to close is none of the hook's: it may be a daemon's beginning
    environment = dict(variable.partition("=")[::2] for variable in hook["env"]) if "env" in hook else posix.environ
    here = posix.open(".", posix.O_PATH | posix.O_DIRECTORY | posix.O_CLOEXEC)
    try:
        posix.chdir(directory)  # posix_spawn(3) has no action for it
        return posix.posix_spawn(
            hook["path"],
            hook.get("args") or [hook["path"]],
            environment,
            file_actions=actions,
            setsigmask=(),
            setsigdef=_IGNORED,
        )
    finally:
        posix.fchdir(here)
        posix.close(here)


def _wait(pid: int, hook: Hook, kind: str, pointer: str, output: int, init: int, mask: Iterable[int]) -> None:
    """`mask` is that of the signals to wait with."""
    pidfd = lib.sys_pidfd_open(pid)
    in_time = False
    try:
        pthread_sigmask(SIG_SETMASK, mask)
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
