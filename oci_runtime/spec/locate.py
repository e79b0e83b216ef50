"""Where in the text of a JSON document a JSON pointer (RFC 6901) leads. Used only to explain a refusal."""

from __future__ import annotations

from _json import scanstring
from json import JSONDecoder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    Decode = Callable[[str, int], tuple[Any, int]]

_WHITESPACE = " \t\n\r"


def steps(pointer: str) -> list[str]:
    """The unescaped reference tokens of a pointer."""
    return [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]


def pointer_of(path: Sequence[str | int]) -> str:
    """The pointer for a path of names and indexes."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)


def offset_of(text: str, pointer: str) -> int:
    """The index in `text`, a valid JSON document, of the value at `pointer`, or of the nearest value above it."""
    decode = JSONDecoder().raw_decode
    index = _skip(text, 0)
    for step in steps(pointer):
        found = _member(text, index, step, decode) if text[index] == "{" else _element(text, index, step, decode)
        if found is None:
            break
        index = found
    return index


def line_and_column(text: str, index: int) -> tuple[int, int]:
    """Both counted from 1, columns in characters."""
    return text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index)


def _skip(text: str, index: int) -> int:
    while index < len(text) and text[index] in _WHITESPACE:
        index += 1
    return index


def _member(text: str, index: int, name: str, decode: Decode) -> int | None:
    """The last member of that name, because that one counts."""
    found = None
    index = _skip(text, index + 1)
    while text[index] == '"':
        key, index = scanstring(text, index + 1, True)
        value = _skip(text, _skip(text, index) + 1)
        if key == name:
            found = value
        index = _next(text, decode(text, value)[1])
    return found


def _element(text: str, index: int, step: str, decode: Decode) -> int | None:
    if text[index] != "[" or not step.isdecimal():
        return None
    index = _skip(text, index + 1)
    for _ in range(int(step)):
        if text[index] == "]":
            return None
        index = _next(text, decode(text, index)[1])
    return None if text[index] == "]" else index


def _next(text: str, index: int) -> int:
    """From behind a value to the next one, or to the closing bracket."""
    index = _skip(text, index)
    return _skip(text, index + 1) if text[index] == "," else index
