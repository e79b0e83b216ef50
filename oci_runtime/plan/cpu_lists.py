"""Lists of CPUs and memory nodes: cpuset(7), List format."""

from __future__ import annotations


def numbers_of(text: str) -> list[int]:
    """`0-3,7` as numbers, ascending. ValueError for anything else."""
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        low, high = int(first), int(last if dash else first)
        if not 0 <= low <= high < 65536:
            raise ValueError(text)
        found.update(range(low, high + 1))
    return sorted(found)


def bit_mask(text: str) -> bytes:
    """The list as the kernel takes it: a little-endian bit mask, in whole longs."""
    numbers = numbers_of(text)
    mask = sum(1 << number for number in numbers)
    return mask.to_bytes((numbers[-1] // 64 + 1) * 8, "little")
