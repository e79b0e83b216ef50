"""Whose ids the runtime sees: those of the host, or of a user namespace."""

from __future__ import annotations

import posix

_WHOLE_RANGE = b"4294967295"


def in_user_namespace() -> bool:
    """Whether the runtime itself is in a user namespace that is not the initial one, which maps each id to itself."""
    try:
        fd = posix.open("/proc/self/uid_map", posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError:  # a kernel without user namespaces
        return False
    text = posix.read(fd, 256).split()
    posix.close(fd)
    return text != [b"0", b"0", _WHOLE_RANGE]
