"""The birth of init: from a plan to a process that carries it out, and the talk with it (report_kind in plan.h)."""

from __future__ import annotations

import posix
from errno import EACCES, EBUSY, ENODEV, ENOENT, EOPNOTSUPP, EPERM, EROFS

from oci_runtime._shim import ffi, lib
from oci_runtime.errors import PyociError, SystemCallError
from oci_runtime.linux.conversation import Report, send_state, wait_until_readable
from oci_runtime.linux.processes import wait_for_end

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from oci_runtime.plan.operations import Plan

# seconds
DEATH_TIMEOUT = 2.0

_CLONE_NEWUSER = 0x10000000

# A cgroup that is gone, or takes no processes, or to which a user, from where he is, may not move any: cgroups(7).
_NOT_INTO_CGROUP = (EBUSY, EOPNOTSUPP, EACCES, EPERM, ENODEV, ENOENT, EROFS)

_STEPS = (
    "",
    "join namespaces",
    "clone",
    "enter the cgroup",
    "become root in the user namespace",
    "execute init",
    "set up the time namespace",
)


class Request:
    """What sys_spawn() needs besides the plan; see struct spawn in native/shim.h."""

    __slots__ = (
        "become_root",
        "cgroup",
        "execute_again",
        "flags",
        "join",
        "preserved",
        "process",
        "process_flags",
        "tasks",
    )

    def __init__(self) -> None:
        self.flags = 0
        self.cgroup = -1
        self.tasks: Sequence[int] = ()
        self.join: list[tuple[int, int]] = []  # descriptor, CLONE_NEW* flag
        self.process = -1
        self.process_flags = 0
        self.become_root = False
        self.execute_again = False
        self.preserved: Sequence[int] = ()


class Child:
    """init, while its runtime talks to it. `pidfd` and `socket` are descriptors.

    `in_cgroup` is False when clone3(2) could not place it in Request.cgroup, which takes no processes, or none that the
    runtime may move there.
    """

    __slots__ = ("in_cgroup", "pid", "pidfd", "socket")

    def __init__(self, pid: int, pidfd: int, socket: int, in_cgroup: bool) -> None:
        self.in_cgroup = in_cgroup
        self.pid = pid
        self.pidfd = pidfd
        self.socket = socket

    def go(self) -> None:
        """Lets it execute init: its cgroup and id mappings are in place."""
        self._write(b"g")

    def answer(self, state: bytes = b"") -> None:
        """Answers a REPORT_SYNC, with the container's state if hooks are to have it."""
        send_state(self.socket, state)

    def _write(self, data: bytes) -> None:
        try:
            posix.write(self.socket, data)
        except BrokenPipeError:
            pass  # it has ended, and receive() will say why

    def kill(self) -> None:
        """SIGKILL, and waits for its end; PyociError when it does not come, for who is paused dies when resumed."""
        lib.sys_pidfd_send_signal(self.pidfd, 9)
        if not wait_for_end(self.pidfd, DEATH_TIMEOUT):
            raise PyociError(f"process {self.pid} does not end after SIGKILL; is its container paused?")
        try:
            posix.waitpid(self.pid, 0)
        except ChildProcessError:
            pass


def receive(socket: int) -> Report | None:
    """The next message; None when init has become the process, or has ended. Handlers of signals run meanwhile."""
    wait_until_readable(socket)
    report = ffi.new("struct report *")
    descriptor = ffi.new("int *")
    got = lib.sys_receive(socket, report, descriptor)
    if got == 0:
        return None
    if got < 0:
        raise SystemCallError("receive a message of init", -got)
    return Report(bytes(ffi.buffer(report)), descriptor[0])


def waits_for_cgroup(report: Report) -> bool:
    """Whether init could not enter a cgroup, as it was gone, and waits to be placed there: Child.go() sends it on."""
    return bool(report.kind == lib.REPORT_SHIM and report.op == lib.STEP_CGROUP and report.value == ENODEV)


def failure(report: Report, plan: Plan | None) -> PyociError:
    """The error that a REPORT_FAILED or REPORT_SHIM stands for."""
    if report.kind == lib.REPORT_SHIM:
        return _step_failure(report.op, report.value, plan)
    from oci_runtime.linux.spawn_errors import operation_failure

    return operation_failure(report, plan)


def _step_failure(step: int, errno: int, plan: Plan | None) -> PyociError:
    pointer = "/linux/namespaces" if step in (lib.STEP_JOIN, lib.STEP_CLONE) else ""
    if step == lib.STEP_ROOT_USER:
        pointer = "/linux/uidMappings"
    elif step == lib.STEP_TIME_NAMESPACE and plan:
        pointer = plan.operations[0].pointer
    what = _STEPS[step] if 0 < step < len(_STEPS) else "start init"
    return SystemCallError(f"cannot {what}", errno, pointer)


def init_program(request: Request) -> int:
    """A descriptor of init's code, in a sealed memfd or, where none is executed, a read-only tmpfs: the host's file
    cannot be reached from within the container (CVE-2019-5736).

    Root of a user namespace that is made can execute but not read it, and the kernel lets nobody of that namespace look
    into a process whose program he may not read (ptrace(2), access mode checking; CVE-2016-9962). For namespaces that
    are joined see join_and_clone() in native/shim.c.
    """
    path = __file__.rpartition("/linux/")[0] + "/init"
    try:
        fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError as error:
        raise PyociError(f"pyoci is not installed as a whole: {path}: {error.strerror}") from error
    code = posix.read(fd, posix.fstat(fd).st_size)
    posix.close(fd)
    memfd = lib.sys_memfd(b"pyoci-init", code, len(code), 1, 0o711)
    if memfd == -EACCES:
        from oci_runtime.linux.program_in_tmpfs import program_in_tmpfs

        return program_in_tmpfs(code, _user_namespace(request))
    return _checked_memfd(memfd)


def _user_namespace(request: Request) -> int:
    """A descriptor of the user namespace that is joined, or a pidfd of somebody in it; -1 if none is."""
    if request.process_flags & _CLONE_NEWUSER:
        return request.process
    return next((fd for fd, flag in request.join if flag == _CLONE_NEWUSER), -1)


def _checked_memfd(fd: int) -> int:
    if fd < 0:
        raise SystemCallError("cannot make a memfd", -fd)
    return fd


def spawn(request: Request, plan: Plan) -> Child:
    """Starts init with the plan. It waits for Child.go().

    Raises SystemCallError when a namespace cannot be joined or made.
    """
    ends = ffi.new("int[2]")
    error = lib.sys_socketpair(ends)
    if error:
        raise SystemCallError("socketpair", -error)
    ours, theirs = ends
    keep = [fd for fd in (descriptor.fd for descriptor in plan.descriptors) if fd >= 0]
    kept = ffi.new("int[]", keep)
    init, encoded = init_program(request), plan.encode()
    code = _checked_memfd(lib.sys_memfd(b"pyoci-plan", encoded, len(encoded), 0, -1))
    wanted = ffi.new("struct spawn *")
    wanted.flags = request.flags
    wanted.cgroup = request.cgroup
    wanted.tasks_count = len(request.tasks)
    for i, fd in enumerate(request.tasks):
        wanted.tasks[i] = fd
    wanted.init, wanted.plan = init, code
    wanted.runtime, wanted.report = ours, theirs
    wanted.process, wanted.process_flags = request.process, request.process_flags
    wanted.join_count = len(request.join)
    for i, (fd, flag) in enumerate(request.join):
        wanted.join[i], wanted.join_type[i] = fd, flag
    wanted.become_root = int(request.become_root)
    wanted.execute_again = int(request.execute_again)
    wanted.keep, wanted.keep_count = kept, len(keep)
    preserved = ffi.new("int[]", request.preserved)
    wanted.preserved, wanted.preserved_count = preserved, len(request.preserved)
    first = plan.operations[0]
    if first.code == lib.OP_TIME_NAMESPACE:
        offsets = ffi.new("char[]", str(first.s[0] or "").encode())
        wanted.time_offsets = offsets
    pidfd = ffi.new("int *")
    pid = lib.sys_spawn(wanted, pidfd)
    in_cgroup = True
    if -pid in _NOT_INTO_CGROUP and pidfd[0] == -lib.STEP_CLONE and wanted.cgroup >= 0:
        in_cgroup, wanted.cgroup = False, -1
        pid = lib.sys_spawn(wanted, pidfd)
    for fd in (init, code, theirs, *keep):
        posix.close(fd)
    if pid < 0:
        raise _step_failure(-pidfd[0], -pid, plan)
    return Child(pid, pidfd[0], ours, in_cgroup)
