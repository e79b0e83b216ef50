"""The program of which the tests' root filesystems are made."""

from __future__ import annotations

import os
from pathlib import Path


def busybox() -> Path:
    """The static busybox of the host. Raises FileNotFoundError if there is none."""
    for candidate in ("/bin/busybox", "/usr/bin/busybox"):
        if os.access(candidate, os.X_OK):
            return Path(candidate)
    raise FileNotFoundError("no busybox on this machine: install busybox-static")
