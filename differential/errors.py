"""The error of a comparison that cannot be made."""

from __future__ import annotations


class CannotCompare(Exception):
    """Why nothing can be compared, in one line."""
