"""The error of a judge that cannot run."""

from __future__ import annotations


class CannotJudge(Exception):
    """Why no judgement is possible, in one line."""
