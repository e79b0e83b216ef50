"""init's program where memory files are not executed: sysctl vm.memfd_noexec=2, memfd_create(2).

It is alone in a tmpfs of its own, which is read-only for good: nobody has a path to it by which it could be mounted
anew, and it is gone with the last process that executes the program. So /proc/PID/exe leads to nothing that can be
written to, as with the sealed memfd (CVE-2019-5736).
"""

from __future__ import annotations

from errno import EPERM

from oci_runtime._shim import lib
from oci_runtime.errors import SystemCallError
from oci_runtime.plan.operations import Plan, Program

# What /proc/PID/exe shows, the same as of a memfd: state/status.py looks at it.
_NAME = b"memfd:pyoci-init"
_MODE = 0o711


def program_in_tmpfs(code: bytes, user_namespace: int) -> int:
    """A descriptor of the program, opened with O_PATH.

    Who may mount nothing where he is, a user or root of `unshare -Ur`, makes it as root of a user namespace:
    that of which `user_namespace` is a descriptor or a pidfd, -1 for his own.
    """
    fd: int = lib.sys_program_in_tmpfs(_NAME, code, len(code), _MODE)
    if fd != -EPERM:
        return _checked(fd)
    from oci_runtime.linux.rootless import open_in_user_namespace

    plan = Plan()
    program = Program(code)
    plan.needs(program)
    open_in_user_namespace(plan, user_namespace)
    return program.fd


def open_program(code: bytes) -> int:
    """The same, here."""
    return _checked(lib.sys_program_in_tmpfs(_NAME, code, len(code), _MODE))


def _checked(fd: int) -> int:
    if fd < 0:
        raise SystemCallError("cannot make a read-only copy of init (vm.memfd_noexec forbids a memfd)", -fd)
    return fd
