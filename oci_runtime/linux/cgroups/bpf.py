"""Device rules with cgroup v2: a BPF_PROG_TYPE_CGROUP_DEVICE program, assembled from the rules and attached.

The kernel asks the program once per open(2) or mknod(2) with struct bpf_cgroup_dev_ctx, linux/bpf.h. Each of the bits
asked for is decided by the last rule that matches it, so the rules are tried from the last to the first, and a bit that
was allowed is not asked again. That is exact for rules which overlap, in whichever order.
"""

from __future__ import annotations

import sys
from errno import ENOSPC, EPERM

from oci_runtime._shim import ffi, lib
from oci_runtime.errors import PyociError, SystemCallError
from oci_runtime.linux.cgroups.devices import ALL, ANY, RWM, Rule

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_LICENSE = b"Apache-2.0\0"

# bpf(2) commands and constants, linux/bpf.h
_PROG_LOAD, _PROG_ATTACH, _PROG_DETACH, _PROG_GET_FD_BY_ID, _PROG_QUERY = 5, 8, 9, 13, 16
_PROG_TYPE_CGROUP_DEVICE = 15
_CGROUP_DEVICE = 6
_F_ALLOW_MULTI, _F_REPLACE = 2, 4
_MAX_PROGRAMS = 64  # that a cgroup can have

# registers: what was asked for, and r0 the answer
_TYPE, _ACCESS, _MAJOR, _MINOR = 2, 3, 4, 5
_MAX_JUMP = 0x7FFF
_ORDER = sys.byteorder


def _insn(code: int, dst: int = 0, src: int = 0, offset: int = 0, imm: int = 0) -> bytes:
    """One struct bpf_insn."""
    registers = src << 4 | dst if _ORDER == "little" else dst << 4 | src  # a bit field
    words = (bytes((code, registers)), offset.to_bytes(2, _ORDER, signed=True), (imm & 0xFFFFFFFF).to_bytes(4, _ORDER))
    return b"".join(words)


_PROLOGUE = (
    _insn(0x61, _ACCESS, 1, 0),  # r3 = *(u32 *)(ctx + 0): access << 16 | type
    _insn(0x61, _MAJOR, 1, 4),
    _insn(0x61, _MINOR, 1, 8),
    _insn(0xBC, _TYPE, _ACCESS),  # w2 = w3
    _insn(0x54, _TYPE, imm=0xFFFF),  # w2 &= 0xffff
    _insn(0x74, _ACCESS, imm=16),  # w3 >>= 16
)
_JNE, _JEQ, _JSET = 0x56, 0x16, 0x46  # of 32 bits, with an immediate
_JA = 0x05


def assemble(rules: Sequence[Rule]) -> bytes:
    """The program for rules in the order in which they are applied; what none allows is denied."""
    # Jumps go to the end of a rule or to one of the two answers at the end, so it is built from there backwards.
    default = False
    blocks: list[list[tuple[int, int, int, str]]] = []
    for rule in reversed(rules):
        if rule.type == ANY:
            default = rule.allow
            break
        blocks.append(_block(rule))
    code = list(_PROLOGUE)
    size = len(code) + sum(map(len, blocks))
    # layout: blocks, the default answer, then the other one if it is used
    places = {default: size, not default: size + 2}
    used = any(target == ("deny" if default else "allow") for block in blocks for _, _, _, target in block)
    for block in blocks:
        end = len(code) + len(block)
        for opcode, register, immediate, target in block:
            if not target:
                code.append(_insn(opcode, register, imm=immediate))
                continue
            where = end if target == "next" else places[target == "allow"]
            offset = where - len(code) - 1
            if offset > _MAX_JUMP:
                raise PyociError(f"{rules[-1].pointer}: too many device rules for cgroup v2, {len(rules)}")
            code.append(_insn(opcode, register, offset=offset, imm=immediate))
    for answer in (default, not default)[: 2 if used else 1]:
        code.append(_insn(0xB7, 0, imm=int(answer)))  # r0 = answer
        code.append(_insn(0x95))  # exit
    return b"".join(code)


def _block(rule: Rule) -> list[tuple[int, int, int, str]]:
    """(opcode, register, immediate, jump target) for one rule."""
    block = [(_JNE, _TYPE, rule.type, "next")]
    if rule.major != ALL:
        block.append((_JNE, _MAJOR, rule.major, "next"))
    if rule.minor != ALL:
        block.append((_JNE, _MINOR, rule.minor, "next"))
    if rule.access == RWM:
        block.append((_JA, 0, 0, "allow" if rule.allow else "deny"))
    elif rule.allow:
        block.append((0x54, _ACCESS, ~rule.access, ""))  # w3 &= ~access
        block.append((_JEQ, _ACCESS, 0, "allow"))
    else:
        block.append((_JSET, _ACCESS, rule.access, "deny"))
    return block


def replace_filter(directory: int, rules: Sequence[Rule], *, fresh: bool, pointer: str) -> None:
    """Make a program for `rules` the only one attached to the cgroup `directory`; a `fresh` cgroup has none yet.

    Where exactly one is attached it is replaced atomically; else the new one comes first and then the others go, so
    that there is no moment without a filter. Raises SystemCallError.
    """
    from posix import close

    try:
        old = [] if fresh else attached(directory)
        opened: list[int] = []
        try:
            opened.append(_load(assemble(rules)))
            opened.extend(_bpf(_PROG_GET_FD_BY_ID, _u32(program)) for program in old)
            new, others = opened[0], opened[1:]
            if len(others) == 1:
                _attach(directory, new, _F_ALLOW_MULTI | _F_REPLACE, others[0])
            else:
                _attach(directory, new, _F_ALLOW_MULTI, 0)
                for program in others:
                    _bpf(_PROG_DETACH, _u32(directory, program, _CGROUP_DEVICE, 0))
        finally:
            for fd in opened:
                close(fd)
    except OSError as error:
        hint = " (it needs CAP_BPF or CAP_SYS_ADMIN in the initial user namespace)" if error.errno == EPERM else ""
        raise SystemCallError("cannot set the device filter of the cgroup" + hint, error.errno or 0, pointer) from None


def _load(program: bytes) -> int:
    code, name = ffi.from_buffer(program), ffi.from_buffer(_LICENSE)
    attributes = b"".join((_u32(_PROG_TYPE_CGROUP_DEVICE, len(program) // 8), _address(code), _address(name)))
    # log level, size and buffer, kernel version, flags: none; then the name
    return _bpf(_PROG_LOAD, attributes + bytes(24) + b"pyoci_devices\0\0\0")


def attached(directory: int) -> list[int]:
    """Ids of the device programs attached to the cgroup itself."""
    ids = ffi.new("unsigned int[]", _MAX_PROGRAMS)
    attributes = ffi.new("char[]", _u32(directory, _CGROUP_DEVICE, 0, 0) + _address(ids) + _u32(_MAX_PROGRAMS, 0))
    result = lib.sys_bpf(_PROG_QUERY, attributes, 32)
    if result < 0 and result != -ENOSPC:
        raise _os_error(-result)
    count = int.from_bytes(ffi.buffer(attributes)[24:28], _ORDER)
    return list(ids[0 : min(count, _MAX_PROGRAMS)])


def _attach(directory: int, program: int, flags: int, replaced: int) -> None:
    _bpf(_PROG_ATTACH, _u32(directory, program, _CGROUP_DEVICE, flags, replaced))


def _bpf(command: int, attributes: bytes) -> int:
    result: int = lib.sys_bpf(command, ffi.from_buffer(attributes), len(attributes))
    if result < 0:
        raise _os_error(-result)
    return result


def _os_error(number: int) -> OSError:
    from posix import strerror

    return OSError(number, strerror(number))


def _u32(*values: int) -> bytes:
    return b"".join(value.to_bytes(4, _ORDER) for value in values)


def _address(pointer: object) -> bytes:
    return int(ffi.cast("uintptr_t", pointer)).to_bytes(8, _ORDER)
