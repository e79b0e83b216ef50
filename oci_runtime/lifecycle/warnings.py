"""Where warnings go when no log is given."""

from __future__ import annotations

import posix


def to_stderr(message: str) -> None:
    """One line."""
    posix.write(2, f"pyoci: warning: {message}\n".encode("utf-8", "replace"))
