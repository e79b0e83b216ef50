"""Lists of CPUs and memory nodes as bit masks: cpuset(7), List format."""

from __future__ import annotations

from oci_runtime.spec.validate_scheduling import parse_list


def bit_mask(text: str) -> bytes:
    """The list as the kernel takes it: a bit mask in whole longs, least significant byte first."""
    mask = 0
    for first, last in parse_list(text):
        mask |= (1 << last + 1) - (1 << first)
    return mask.to_bytes((mask.bit_length() + 63) // 64 * 8, "little")
