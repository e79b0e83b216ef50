"""What a user who is not root needs help with: his id mappings, and copies of the host's mounts.

His own id alone he may map, more by newuidmap(1) as far as subuid(5) lets him. open_tree(2) with OPEN_TREE_CLONE takes
the root of a user namespace, so a child becomes that, opens what the plan needs, and leaves the namespace to init.
"""

from __future__ import annotations

import posix

from oci_runtime._shim import ffi, lib
from oci_runtime.errors import PyociError, SystemCallError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

    from oci_runtime.plan.operations import Descriptor, Plan
    from oci_runtime.spec.types import IDMapping

CLONE_NEWUSER, CLONE_NEWNS = 0x10000000, 0x00020000


def open_descriptors_as_root(plan: Plan, uids: Sequence[IDMapping], gids: Sequence[IDMapping]) -> int:
    """Opens the plan's trees and directories as root of a new user namespace with these mappings, of which it returns a
    descriptor. init must join it: the trees are its."""
    from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_SEQPACKET, socketpair

    ours, theirs = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC)
    wanted = [descriptor for descriptor in plan.descriptors if descriptor.fd < 0]
    child = posix.fork()
    if not child:
        ours.close()
        _serve(theirs.fileno(), wanted)
    theirs.close()
    namespace = -1
    try:
        _receive(ours.fileno(), "/linux/namespaces")
        namespace = posix.open(f"/proc/{child}/ns/user", posix.O_RDONLY | posix.O_CLOEXEC)
        map_ids_without_privileges(child, uids, gids)
        ours.send(b"g")
        for descriptor in wanted:
            descriptor.fd = _receive(ours.fileno(), descriptor.pointer)
    except BaseException:
        if namespace >= 0:
            posix.close(namespace)
        raise
    finally:
        ours.close()
        posix.waitpid(child, 0)
    return namespace


def _receive(socket: int, pointer: str) -> int:
    """The descriptor that comes with the child's next message, -1 if none does."""
    from oci_runtime.linux.spawn import receive

    report = receive(socket)
    if report is None:
        raise PyociError("the process that opens the mounts has been killed")
    if report.kind == lib.REPORT_FAILED:
        raise SystemCallError(report.text, report.value, pointer) if report.value else PyociError(report.text)
    return report.descriptor


def _serve(socket: int, wanted: Sequence[Descriptor]) -> NoReturn:
    """The child."""
    from oci_runtime.linux.descriptors import open_descriptor

    try:
        error = lib.sys_unshare(CLONE_NEWUSER | CLONE_NEWNS)
        if error:
            raise SystemCallError("cannot make a user namespace", -error)
        _send(socket, -1)
        if posix.read(socket, 1):  # the mappings are written
            posix.setresgid(0, 0, 0)
            posix.setresuid(0, 0, 0)
            for descriptor in wanted:
                open_descriptor(descriptor)
                _send(socket, descriptor.fd)
    except SystemCallError as error:
        _send(socket, -1, error.operation, error.errno)
    except BaseException as error:
        _send(socket, -1, str(error) or repr(error))
    finally:
        posix._exit(0)


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


def map_ids_without_privileges(pid: int, uids: Sequence[IDMapping], gids: Sequence[IDMapping]) -> None:
    """Writes both mappings; the helpers of shadow-utils are asked where the kernel needs privileges."""
    from oci_runtime.linux.user_namespace import mapping_text, write_proc

    if _is_own(uids, posix.geteuid()):
        write_proc(pid, "uid_map", mapping_text(uids), "/linux/uidMappings")
    else:
        _run_helper("newuidmap", pid, uids, "/linux/uidMappings")
    if _is_own(gids, posix.getegid()):
        write_proc(pid, "setgroups", "deny", "/linux/gidMappings")
        write_proc(pid, "gid_map", mapping_text(gids), "/linux/gidMappings")
    else:
        _run_helper("newgidmap", pid, gids, "/linux/gidMappings")


def groups_are_denied(gids: Sequence[IDMapping]) -> bool:
    """Whether map_ids_without_privileges() gives setgroups(2) up."""
    return _is_own(gids, posix.getegid())


def _is_own(mappings: Sequence[IDMapping], own: int) -> bool:
    return len(mappings) == 1 and mappings[0]["size"] == 1 and mappings[0]["hostID"] == own


def _run_helper(name: str, pid: int, mappings: Sequence[IDMapping], pointer: str) -> None:
    arguments = [name, str(pid)]
    for mapping in mappings:
        arguments += [str(mapping["containerID"]), str(mapping["hostID"]), str(mapping["size"])]
    try:
        helper = posix.posix_spawnp(name, arguments, posix.environ)
    except OSError as error:
        raise SystemCallError(f"cannot run {name} (package uidmap)", error.errno or 0, pointer) from error
    status = posix.waitstatus_to_exitcode(posix.waitpid(helper, 0)[1])
    if status:
        raise PyociError(f"{name} refused the mappings ({pointer}): exit status {status}; see subuid(5)")


def oom_score_adj() -> str:
    """That of the runtime itself, proc_pid_oom_score_adj(5)."""
    fd = posix.open("/proc/self/oom_score_adj", posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        return posix.read(fd, 16).decode()
    finally:
        posix.close(fd)
