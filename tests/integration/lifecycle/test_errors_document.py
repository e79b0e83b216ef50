"""docs/errors.md says what pyoci says."""

from __future__ import annotations

from pathlib import Path

from errors_document import DOCUMENT, document


def test_document_is_as_made(directory: Path) -> None:
    """If it is not: .venv/bin/python tests/integration/lifecycle/errors_document.py"""
    assert DOCUMENT.read_text() == document(directory)
