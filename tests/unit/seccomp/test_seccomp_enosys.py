"""The ENOSYS prologue against what it is meant to do, for every combination of architectures and limits."""

from __future__ import annotations

import errno
import itertools
import struct

import pytest
from seccomp_tools import I386, X32_BIT, X86_64, Interpreter

from oci_runtime.linux.seccomp_enosys import enosys_prologue

X32 = 0x4000003E
S390X = 0x80000016
AARCH64 = 0xC00000B7
FILTER, ENOSYS = 0x7FFF0000, 0x00050000 | errno.ENOSYS


def expected(newest: dict[int, int], arch: int, number: int) -> int:
    if arch == X86_64 and number & X32_BIT:
        arch = X32
    limit = newest.get(arch, 0)
    unknown = number > limit or (arch == S390X and number == 0)
    return ENOSYS if limit and unknown else FILTER


@pytest.mark.parametrize("x86_64", [0, 300, None])
@pytest.mark.parametrize("x32", [0, X32_BIT | 320, None])
@pytest.mark.parametrize("others", [{}, {I386: 384}, {S390X: 7, I386: 1}, {AARCH64: 400, S390X: 0, I386: 2}])
def test_prologue(x86_64: int | None, x32: int | None, others: dict[int, int]) -> None:
    newest = {arch: limit for arch, limit in {X86_64: x86_64, X32: x32, **others}.items() if limit is not None}
    interpreter = Interpreter(enosys_prologue(newest) + struct.pack("=HBBI", 0x06, 0, 0, FILTER))
    numbers = [0, 1, 2, 3, 7, 8, 299, 300, 301, 319, 320, 321, 384, 385, 400, 401, 0x3FFFFFFF]
    for arch, number in itertools.product((X86_64, I386, S390X, AARCH64, 0x40000028), numbers):
        assert interpreter.decide(arch, number) == expected(newest, arch, number)
        if arch == X86_64:
            assert interpreter.decide(arch, number | X32_BIT) == expected(newest, arch, number | X32_BIT)


def test_nothing_to_do_is_no_code() -> None:
    assert enosys_prologue({}) == b""
    assert enosys_prologue({X86_64: 0, X32: 0, S390X: 0}) == b""
