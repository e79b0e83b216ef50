"""Pointer to line and column, against a plain recursive reading of documents that hypothesis makes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oci_runtime.spec.locate import line_and_column, offset_of, pointer_of, steps

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


def pointers(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    found = [path]
    members = enumerate(value) if isinstance(value, list) else value.items() if isinstance(value, dict) else ()
    for step, member in members:
        found += pointers(member, (*path, step))
    return found


@given(VALUES, st.sampled_from([None, 0, 1, "\t"]), st.booleans())
def test_the_value_at_the_place_is_the_value_at_the_pointer(value: Any, indent: Any, ascii_only: bool) -> None:
    text = " \n" + json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    for path in pointers(value):
        expected = value
        for step in path:
            expected = expected[step]
        offset = offset_of(text, pointer_of(path))
        assert json.JSONDecoder().raw_decode(text, offset)[0] == expected
        line, column = line_and_column(text, offset)
        assert text.split("\n")[line - 1][column - 1 :].startswith(text[offset])


@given(st.lists(st.text()))
def test_pointers_are_escaped_and_unescaped(path: list[str]) -> None:
    assert steps(pointer_of(path)) == path


@pytest.mark.parametrize(
    ("pointer", "place"),
    [("", 0), ("/a", 6), ("/a/1", 10), ("/a/2", 6), ("/a/x", 6), ("/b", 0), ("/e", 19), ("/e/0", 19), ("/f/a", 28)],
)
def test_what_is_not_there_is_placed_at_what_is_above(pointer: str, place: int) -> None:
    text = '{"a": [1, 2], "e": [], "f": {}}'
    assert offset_of(text, pointer) == place
