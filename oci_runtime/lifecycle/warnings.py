"""Where warnings go when no log is given, and what people who wait want to know in any case."""

from __future__ import annotations

import posix


def to_stderr(message: str) -> None:
    """One line, which cannot command a terminal."""
    visible = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in message)
    try:
        posix.write(2, f"pyoci: warning: {visible}\n".encode("utf-8", "replace"))
    except OSError:
        return  # nobody is there who could be told
