"""The BPF in front of a filter that makes system calls newer than the profile look unknown to the kernel (ENOSYS).

A profile written years ago cannot name clone3(2). Refusing that with EPERM breaks a C library that would fall back to
clone(2) on ENOSYS, so everything above the greatest number the profile names gets ENOSYS; engines rely on it since runc
1.0. The numbers of all architectures grow together, with few exceptions.

Sources: linux/filter.h, linux/seccomp.h (struct seccomp_data), linux/audit.h.
"""

from __future__ import annotations

from _struct import pack
from errno import ENOSYS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_RET_ENOSYS = 0x00050000 | ENOSYS

_X32_BIT = 0x40000000
_ARCH_X86_64 = 0xC000003E
#: libseccomp's own; to the kernel x32 is x86_64 with _X32_BIT in the number
_ARCH_X32 = 0x4000003E
_ARCH_S390 = 0x00000016
_ARCH_S390X = 0x80000016

_OFFSET_NUMBER = 0
_OFFSET_ARCH = 4

_LOAD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_JUMP = 0x05  # BPF_JMP | BPF_JA
_JUMP_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_JUMP_GREATER = 0x25  # BPF_JMP | BPF_JGT | BPF_K
_JUMP_BITS = 0x45  # BPF_JMP | BPF_JSET | BPF_K
_RETURN = 0x06  # BPF_RET | BPF_K


def enosys_prologue(newest: Mapping[int, int]) -> bytes:
    """BPF that answers ENOSYS above the newest known system call and else runs on into the filter that follows it.

    `newest` maps each architecture of the filter (an AUDIT_ARCH_ or libseccomp's x32) to the greatest number the
    profile names there; 0 (nothing named) leaves that architecture to the filter. Empty when there is nothing to do.
    """
    tests = {arch: _tests(arch, newest) for arch in newest if arch != _ARCH_X32}
    if newest.get(_ARCH_X32):
        tests[_ARCH_X86_64] = _tests(_ARCH_X86_64, newest)
    sections = b""
    # Backwards, as each section leaves for the filter by a jump over those after it.
    for arch, test in reversed(tests.items()):
        if test:
            sections = _section(arch, test, len(sections) // 8) + sections
    return _op(_LOAD, _OFFSET_ARCH) + sections if sections else b""


def _section(arch: int, test: bytes, rest: int) -> bytes:
    """For one architecture: `test` with the number loaded, then on to the filter, `rest` instructions further."""
    body = _op(_LOAD, _OFFSET_NUMBER) + test + _op(_JUMP, rest)
    return _op(_JUMP_EQUAL, arch, 0, len(body) // 8) + body


def _tests(arch: int, newest: Mapping[int, int]) -> bytes:
    """Return ENOSYS or fall off the end, with the system call's number in the accumulator."""
    limit = newest.get(arch, 0)
    test = _above(limit) if limit else b""
    if arch == _ARCH_X86_64:
        return _x86_64(test, newest.get(_ARCH_X32, 0))
    if test and arch in (_ARCH_S390, _ARCH_S390X):
        # Numbers the kernel does not know arrive as 0, the long dead setup(2).
        return _op(_JUMP_EQUAL, 0, 0, 1) + _op(_RETURN, _RET_ENOSYS) + test
    return test


def _above(limit: int) -> bytes:
    return _op(_JUMP_GREATER, limit, 0, 1) + _op(_RETURN, _RET_ENOSYS)


def _x86_64(native: bytes, x32_limit: int) -> bytes:
    """Numbers with the x32 bit have their own limit; without one they are left to the filter."""
    x32 = _above(x32_limit) if x32_limit else b""
    if native and x32:
        native += _op(_JUMP, len(x32) // 8)
    if not native and not x32:
        return b""
    if not native:
        return _op(_JUMP_BITS, _X32_BIT, 0, len(x32) // 8) + x32
    return _op(_JUMP_BITS, _X32_BIT, len(native) // 8, 0) + native + x32


def _op(code: int, k: int, jt: int = 0, jf: int = 0) -> bytes:
    """One struct sock_filter."""
    return pack("=HBBI", code, jt, jf, k)
