"""Our JSON writer gives what the json module gives, with Go's escapes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oci_runtime.cli.json_text import compact, indented

_TEXT = st.text(st.characters(exclude_characters="<>&\u2028\u2029", exclude_categories=["Cs"]))
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _TEXT,
    lambda children: st.lists(children) | st.dictionaries(_TEXT, children),
)


def _escaped(text: str) -> str:
    """What does not print, which the json module leaves as it is."""
    return "".join(c if c.isprintable() or c < " " else _escape(c) for c in text)


def _escape(character: str) -> str:
    return "\\u007f" if character == "\x7f" else json.dumps(character)[1:-1]


@given(_VALUES)
def test_indented_is_the_json_modules(value: object) -> None:
    assert indented(value) == _escaped(json.dumps(value, indent=2, ensure_ascii=False))
    assert indented(value, "\t") == _escaped(json.dumps(value, indent="\t", ensure_ascii=False))


@given(_VALUES)
def test_compact_is_the_json_modules(value: object) -> None:
    assert compact(value) == _escaped(json.dumps(value, separators=(",", ":"), ensure_ascii=False))


@given(st.text())
def test_every_text_is_valid_json_in_utf_8(text: str) -> None:
    for written in (compact([text]), indented([text])):
        (read,) = json.loads(written.encode())
        assert read == text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


@given(st.text())
def test_no_text_commands_a_terminal(text: str) -> None:
    assert compact([text]).isprintable()
    assert "".join(indented([text]).split("\n")).isprintable()


def test_characters_of_html_are_escaped() -> None:
    assert compact({"<a>": "b&c\u2028\u2029é"}) == '{"\\u003ca\\u003e":"b\\u0026c\\u2028\\u2029é"}'


@pytest.mark.parametrize("value", [{1: 2}, {"a": {1, 2}}, [b"x"], {"a": float("nan")}, [float("inf")]])
def test_what_is_not_json_is_refused(value: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        indented(value)


@pytest.mark.parametrize("value", [{"a": {1, 2}}, [b"x"], {"a": float("nan")}])
def test_what_is_not_json_is_refused_on_one_line_too(value: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        compact(value)
