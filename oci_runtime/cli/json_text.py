"""JSON writer without the json module, whose import costs 7 ms.

Strings are written as Go writes them: characters beyond ASCII as they are, but < > & and the line separators escaped,
so that the text can stand in HTML; what is no character (a lone surrogate) becomes U+FFFD. All others that do not print
(C1 controls, marks of direction, ends of lines) are escaped too: what a container is called by commands no terminal.
"""

from __future__ import annotations

from _json import encode_basestring

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

_ESCAPED = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\x7f": "\\u007f"}


def compact(value: object) -> str:
    """`value` on one line, without spaces."""
    from _json import make_encoder

    encode = make_encoder(None, _refuse, encode_basestring, None, ":", ",", False, False, False)
    return _escape("".join(encode(value, 0)))


def indented(value: object, indent: str = "  ") -> str:
    """`value` over several lines, no newline at the end."""
    pieces: list[str] = []
    _append(pieces, value, "\n", indent)
    return _escape("".join(pieces))


def _append(pieces: list[str], value: Any, newline: str, indent: str) -> None:
    """`newline` is a line feed and the indentation of the line that `value` starts in."""
    if isinstance(value, str):
        pieces.append(encode_basestring(value))
    elif value is None or value is True or value is False:
        pieces.append("null" if value is None else "true" if value else "false")
    elif isinstance(value, dict):
        _append_object(pieces, value, newline, indent)
    elif isinstance(value, (list, tuple)):
        _append_array(pieces, value, newline, indent)
    elif isinstance(value, (int, float)):
        pieces.append(_number(value))
    else:
        _refuse(value)


def _append_object(pieces: list[str], members: Mapping[str, Any], newline: str, indent: str) -> None:
    separator = "{" + newline + indent
    for name, value in members.items():
        if not isinstance(name, str):
            _refuse(name)
        pieces += (separator, encode_basestring(name), ": ")
        _append(pieces, value, newline + indent, indent)
        separator = "," + newline + indent
    pieces.append(newline + "}" if members else "{}")


def _append_array(pieces: list[str], items: Sequence[Any], newline: str, indent: str) -> None:
    separator = "[" + newline + indent
    for value in items:
        pieces.append(separator)
        _append(pieces, value, newline + indent, indent)
        separator = "," + newline + indent
    pieces.append(newline + "]" if items else "[]")


def _number(value: int | float) -> str:
    if isinstance(value, int):
        return int.__repr__(value)
    if value != value or value in (float("inf"), float("-inf")):
        raise ValueError(f"{value!r} is not a JSON number")
    return float.__repr__(value)


def _refuse(value: object) -> object:
    raise TypeError(f"{type(value).__name__} is not a JSON type")


def _escape(text: str) -> str:
    """The characters that Go escapes occur in nothing but strings, so all of the text can be searched for them."""
    for character, escape in _ESCAPED.items():
        if character in text:
            text = text.replace(character, escape)
    if text.isascii():
        return text
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return "".join(c if c.isprintable() or c < " " else _unprintable(c) for c in text)


def _unprintable(character: str) -> str:
    """Beyond U+FFFF it takes two escapes (RFC 8259, 7)."""
    code = ord(character)
    if code < 0x10000:
        return f"\\u{code:04x}"
    return f"\\u{0xD7C0 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"
