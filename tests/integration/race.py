"""A process that swaps two names without a pause, as an attacker does who shares a directory with a new container."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

AT_FDCWD = -100
RENAME_EXCHANGE = 2


def rounds(usual: int) -> int:
    """How often a race is run: as often as PYOCI_ROUNDS says, else `usual`."""
    return int(os.environ.get("PYOCI_ROUNDS", usual))


def _exchange(one: bytes, other: bytes) -> None:
    renameat2 = ctypes.CDLL(None).renameat2
    while True:
        for _ in range(1000):
            renameat2(AT_FDCWD, one, AT_FDCWD, other, RENAME_EXCHANGE)


@contextmanager
def exchanging(one: Path, other: Path) -> Iterator[None]:
    """While the block runs, `one` and `other` change places."""
    process = multiprocessing.get_context("fork").Process(
        target=_exchange, args=(bytes(one), bytes(other)), daemon=True
    )
    process.start()
    try:
        yield
    finally:
        process.kill()
        process.join()
