"""Copies of the host's mounts for a runtime that may not make them where it is.

open_tree(2) with OPEN_TREE_CLONE takes the root of the user namespace that owns the mount namespace. Where the runtime
is not that, an ordinary user or root in `unshare -Ur`, a child becomes it in a mount namespace of its own and opens
what the plan needs. Nothing of the container runs in it.
"""

from __future__ import annotations

import posix
from errno import EINVAL

from oci_runtime._shim import ffi, lib
from oci_runtime.errors import PyociError, SystemCallError
from oci_runtime.plan.operations import Tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import NoReturn

    from oci_runtime.plan.operations import Descriptor, Plan
    from oci_runtime.spec.types import IDMapping

CLONE_NEWUSER, CLONE_NEWNS = 0x10000000, 0x00020000


def open_in_new_user_namespace(plan: Plan, uids: Sequence[IDMapping], gids: Sequence[IDMapping]) -> int:
    """Opens the plan's trees and directories as root of a new user namespace with these mappings, of which it returns a
    descriptor. init must join it: the trees are its."""
    from oci_runtime.linux.subordinate_ids import map_ids

    namespace = -1

    def prepare(child: int) -> None:
        nonlocal namespace
        namespace = posix.open(f"/proc/{child}/ns/user", posix.O_RDONLY | posix.O_CLOEXEC)
        map_ids(child, uids, gids)

    try:
        _open(plan, CLONE_NEWUSER, -1, prepare)
    except BaseException:
        if namespace >= 0:
            posix.close(namespace)
        raise
    return namespace


def open_in_user_namespace(plan: Plan, namespace: int) -> None:
    """Opens them as root of the user namespace of which `namespace` is a descriptor, or -1 for the runtime's own."""
    _open(plan, 0, namespace, lambda _: None)


def _open(plan: Plan, flags: int, join: int, prepare: Callable[[int], None]) -> None:
    """`prepare` is called with the child's pid before it becomes root."""
    from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_SEQPACKET, socketpair

    ours, theirs = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC)
    wanted = [descriptor for descriptor in plan.descriptors if descriptor.fd < 0]
    child = posix.fork()
    if not child:
        ours.close()
        _serve(theirs.fileno(), wanted, flags, join)
    theirs.close()
    try:
        _receive(ours.fileno(), "/linux/namespaces")
        prepare(child)
        ours.send(b"g")
        for descriptor in wanted:
            descriptor.fd = _receive(ours.fileno(), descriptor.pointer)
    finally:
        ours.close()
        posix.waitpid(child, 0)


def _receive(socket: int, pointer: str) -> int:
    """The descriptor that comes with the child's next message, -1 if none does."""
    from oci_runtime.linux.spawn import receive

    report = receive(socket)
    if report is None:
        raise PyociError("the process that opens the mounts has been killed")
    if report.kind == lib.REPORT_FAILED:
        raise SystemCallError(report.text, report.value, pointer) if report.value else PyociError(report.text)
    return report.descriptor


def _serve(socket: int, wanted: Sequence[Descriptor], flags: int, join: int) -> NoReturn:
    """The child."""
    try:
        if join >= 0:
            # the root of others in there could look through this process at the host (CVE-2016-9962)
            _check(lib.sys_not_dumpable(), "cannot hide the process that opens the mounts")
            _check(lib.sys_setns(join, CLONE_NEWUSER), "cannot join the user namespace")
        if flags:
            _check(lib.sys_unshare(flags), "cannot make a user namespace")
        _send(socket, -1)
        if posix.read(socket, 1):  # the mappings are written
            if flags or join >= 0:
                _become_root()
            _check(lib.sys_unshare(CLONE_NEWNS), "cannot make a mount namespace")
            for descriptor in wanted:
                _open_one(descriptor)
                _send(socket, descriptor.fd)
    except SystemCallError as error:
        _send(socket, -1, error.operation, error.errno)
    except BaseException as error:
        _send(socket, -1, str(error) or repr(error))
    finally:
        posix._exit(0)


def _become_root() -> None:
    try:
        posix.setresgid(0, 0, 0)
        posix.setresuid(0, 0, 0)
    except OSError as error:
        raise SystemCallError("cannot become root in the user namespace", error.errno or 0) from None


def _check(result: int, operation: str) -> None:
    if result < 0:
        raise SystemCallError(operation, -result)


def _open_one(descriptor: Descriptor) -> None:
    from oci_runtime.linux.descriptors import open_descriptor

    try:
        open_descriptor(descriptor)
    except SystemCallError as error:
        if error.errno == EINVAL and isinstance(descriptor, Tree) and not descriptor.recursive:
            # mount_namespaces(7): what lies below mounts of a more privileged namespace must not be revealed
            why = "there are mounts below it, which only root of the host can leave out; use rbind"
            raise SystemCallError(f"{error.operation}: {why}", EINVAL) from None
        raise


def _send(socket: int, descriptor: int, failure: str = "", errno: int = 0) -> None:
    report = ffi.new("struct report *")
    report.kind = lib.REPORT_FAILED if failure else lib.REPORT_SYNC
    report.value = errno
    report.text = text = failure.encode("utf-8", "replace")[: lib.REPORT_TEXT - 1]
    report.length = len(text)
    data = bytes(ffi.buffer(report))
    if descriptor < 0:
        posix.write(socket, data)
    elif lib.sys_send_descriptor(socket, data, len(data), descriptor) < 0:
        posix._exit(1)


def oom_score_adj() -> str:
    """That of the runtime itself, proc_pid_oom_score_adj(5)."""
    fd = posix.open("/proc/self/oom_score_adj", posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        return posix.read(fd, 16).decode()
    finally:
        posix.close(fd)
