"""System calls that Python's standard library has not, or not in every version."""

from __future__ import annotations

import ctypes
import os

MS_REC = 0x4000
MS_PRIVATE = 1 << 18
MS_SHARED = 1 << 20
CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWNET = 0x40000000
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result:
        errno = ctypes.get_errno()
        raise OSError(errno, f"{what}: {os.strerror(errno)}")


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """mount(2)"""
    texts = [text.encode() for text in (source, target, kind, data)]
    _check(_libc.mount(texts[0], texts[1], texts[2], ctypes.c_ulong(flags), texts[3]), f"mount on {target}")


def new_namespaces(flags: int) -> None:
    """unshare(2)"""
    _check(_libc.unshare(flags), "unshare")


def new_mount_namespace() -> None:
    """unshare(2) with CLONE_NEWNS"""
    new_namespaces(CLONE_NEWNS)


def adopt_orphans() -> None:
    """Descendants whose parents end become children of this process: PR_SET_CHILD_SUBREAPER(2const)."""
    _check(_libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "PR_SET_CHILD_SUBREAPER")


def end_with_parent(signal: int) -> None:
    """The signal that this process gets when its parent ends: PR_SET_PDEATHSIG(2const)."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, signal, 0, 0, 0), "PR_SET_PDEATHSIG")
