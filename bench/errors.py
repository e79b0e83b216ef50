"""What makes a benchmark end early."""

from __future__ import annotations


class BenchError(Exception):
    """A command failed, or something is missing on this machine."""
