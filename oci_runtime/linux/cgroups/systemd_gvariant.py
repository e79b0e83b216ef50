"""Values of D-Bus from the text format of GVariant, as in the annotations org.systemd.property.NAME. Pure.

What runc's parser takes is taken, and tuples, without which a list of devices could not be written. There are no
maybe types, for D-Bus has none. Format: GLib, GVariant Text Format.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    # what a text may turn out to be: a basic type, "N" for any number, "S" for any kind of string, "*" for anything,
    # or a container of such: ("a", element), ("(", members...), ("{", key, value)
    Pattern = str | tuple[Any, ...]

_TYPES = {
    "boolean": "b",
    "byte": "y",
    "double": "d",
    "int16": "n",
    "int32": "i",
    "int64": "x",
    "objectpath": "o",
    "signature": "g",
    "string": "s",
    "uint16": "q",
    "uint32": "u",
    "uint64": "t",
}
#: signed, bits
INTEGERS = {
    "y": (False, 8),
    "n": (True, 16),
    "q": (False, 16),
    "i": (True, 32),
    "u": (False, 32),
    "x": (True, 64),
    "t": (False, 64),
}
_NARROWER: dict[Pattern, tuple[str, ...]] = {"N": (*INTEGERS, "d"), "S": ("s", "o", "g")}
_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\n": ""}
_CLOSING = {"[": "]", "(": ")", "{": "}", "<": ">"}
_MAX_DEPTH = 32  # of containers, D-Bus Specification, Valid Signatures


class Node:
    """A value that has been read. `kind` is one of number, string, boolean, bytes, array, tuple, dict, variant."""

    __slots__ = ("kind", "pattern", "value")

    def __init__(self, kind: str, value: Any, pattern: Pattern) -> None:
        self.kind = kind
        self.value = value
        self.pattern = pattern


def parse(text: str) -> tuple[str, Any]:
    """The signature and the value, as Bus.call() takes them. ValueError says what is wrong and what would be valid."""
    parser = _Parser(text)
    node = parser.value(0)
    parser.expect_end()
    signature = _settled(node.pattern)
    return signature, _converted(node, signature)


class _Parser:
    __slots__ = ("at", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def _blank(self) -> None:
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1

    def _next(self) -> str:
        """The next character that is not blank, "" at the end."""
        self._blank()
        return self.text[self.at : self.at + 1]

    def _word(self, more: str) -> str:
        start = self.at
        while self.at < len(self.text) and (self.text[self.at].isalnum() or self.text[self.at] in more):
            self.at += 1
        return self.text[start : self.at]

    def expect_end(self) -> None:
        if self._next():
            raise ValueError(f"{self.text[self.at :]!r} is more than one value")

    def value(self, depth: int) -> Node:
        if depth > _MAX_DEPTH:
            raise ValueError(f"it is nested too deeply, valid are {_MAX_DEPTH} levels")
        first = self._next()
        if not first:
            raise ValueError("the value ends too early")
        if first in _CLOSING:
            self.at += 1
            return _READERS[first](self, depth + 1)
        if first in "'\"":
            return Node("string", self._string(), "S")
        if first == "b" and self.text[self.at + 1 : self.at + 2] in ("'", '"'):
            self.at += 1
            return Node("bytes", _bytes(self._quoted()), ("a", "y"))
        if first == "@":
            return self._annotated(depth)
        if first.isdigit() or first in "+-.":
            return self._number()
        return self._keyword(depth)

    def _annotated(self, depth: int) -> Node:
        self.at += 1
        start = self.at
        while self.at < len(self.text) and not self.text[self.at].isspace():
            self.at += 1
        signature = self.text[start : self.at]
        pattern, rest = _pattern_of(signature, 0)
        if rest:
            raise ValueError(f"@{signature} is not one type")
        return _narrowed(self.value(depth), pattern)

    def _keyword(self, depth: int) -> Node:
        word = self._word("_")
        if word in ("true", "false"):
            return Node("boolean", word == "true", "b")
        if word not in _TYPES:
            shown = word or self.text[self.at : self.at + 10]
            raise ValueError(
                f"{shown!r} is neither a value nor a type; text needs quotation marks, and the types are"
                f" {', '.join(sorted(_TYPES))} and @SIGNATURE"
            )
        return _narrowed(self.value(depth), _TYPES[word])

    def _number(self) -> Node:
        start = self.at
        self._word("+-.")
        text = self.text[start : self.at]
        digits = text.lstrip("+-")
        if not digits.lower().startswith("0x") and any(mark in digits for mark in ".eE"):
            _float(text)
            return Node("number", text, "d")
        _integer(text)
        return Node("number", text, "N")

    def _quoted(self) -> str:
        """What stands between quotation marks, escapes and all."""
        quote = self.text[self.at]
        self.at += 1
        start = self.at
        while self.at < len(self.text) and self.text[self.at] != quote:
            self.at += 2 if self.text[self.at] == "\\" else 1
        if self.at >= len(self.text):
            raise ValueError(f"the text has no closing {quote}")
        self.at += 1
        return self.text[start : self.at - 1]

    def _string(self) -> str:
        return _unescaped(self._quoted())

    def members(self, opening: str, read: Callable[[], None]) -> None:
        """Calls `read` for each of the members, which commas separate, up to the closing bracket."""
        closing = _CLOSING[opening]
        while self._next() != closing:
            read()
            if self._next() == ",":
                self.at += 1
            elif self._next() != closing:
                raise ValueError(f"{opening} is not followed by {closing}")
        self.at += 1

    def array(self, depth: int) -> Node:
        nodes: list[Node] = []
        self.members("[", lambda: nodes.append(self.value(depth)))
        element: Pattern = "*"
        for node in nodes:
            element = _unified(element, node.pattern)
        return Node("array", nodes, ("a", element))

    def tuple(self, depth: int) -> Node:
        nodes: list[Node] = []
        self.members("(", lambda: nodes.append(self.value(depth)))
        if not nodes:
            raise ValueError("D-Bus has no empty tuples")
        return Node("tuple", nodes, ("(", *(node.pattern for node in nodes)))

    def dictionary(self, depth: int) -> Node:
        pairs: list[tuple[Node, Node]] = []

        def pair() -> None:
            key = self.value(depth)
            if self._next() != ":":
                raise ValueError("a key of a dictionary has no ':' and value")
            self.at += 1
            pairs.append((key, self.value(depth)))

        self.members("{", pair)
        keys: Pattern = "*"
        values: Pattern = "*"
        for key, value in pairs:
            keys, values = _unified(keys, key.pattern), _unified(values, value.pattern)
        return Node("dict", pairs, ("a", ("{", keys, values)))

    def variant(self, depth: int) -> Node:
        inner = self.value(depth)
        if self._next() != ">":
            raise ValueError("< is not followed by >")
        self.at += 1
        return Node("variant", inner, "v")


_READERS: dict[str, Callable[[_Parser, int], Node]] = {
    "[": _Parser.array,
    "(": _Parser.tuple,
    "{": _Parser.dictionary,
    "<": _Parser.variant,
}


def _narrowed(node: Node, pattern: Pattern) -> Node:
    node.pattern = _unified(node.pattern, pattern)
    return node


def _unified(one: Pattern, two: Pattern) -> Pattern:
    """The pattern that both stand for. ValueError when there is none."""
    for wide, narrow in ((one, two), (two, one)):
        if wide in ("*", narrow) or narrow in _NARROWER.get(wide, ()):
            return narrow
    if isinstance(one, tuple) and isinstance(two, tuple) and one[0] == two[0] and len(one) == len(two):
        return (one[0], *(_unified(left, right) for left, right in zip(one[1:], two[1:], strict=True)))
    raise ValueError(f"it is both of type {_shown(one)} and of type {_shown(two)}")


def _shown(pattern: Pattern) -> str:
    if isinstance(pattern, tuple):
        inner = "".join(map(_shown, pattern[1:]))
        return {"a": "a" + inner, "(": f"({inner})", "{": f"{{{inner}}}"}[pattern[0]]
    return {"N": "number", "S": "string", "*": "?"}.get(pattern, pattern)


def _settled(pattern: Pattern) -> str:
    """The signature, with GVariant's defaults: int32 for numbers, string for text."""
    if isinstance(pattern, tuple):
        inner = "".join(map(_settled, pattern[1:]))
        return {"a": "a" + inner, "(": f"({inner})", "{": f"{{{inner}}}"}[pattern[0]]
    if pattern == "*":
        raise ValueError("the type of what is empty must be named, as in @as []")
    return {"N": "i", "S": "s"}.get(pattern, pattern)


def split(signature: str) -> list[str]:
    """The complete types that a valid signature consists of."""
    parts = []
    while signature:
        rest = _pattern_of(signature, 0)[1]
        parts.append(signature[: len(signature) - len(rest)])
        signature = rest
    return parts


def _pattern_of(signature: str, depth: int) -> tuple[Pattern, str]:
    """The first complete type of a signature, and the rest of it. ValueError."""
    first, rest = signature[:1], signature[1:]
    if first in (*INTEGERS, "b", "d", "s", "o", "g", "v"):
        return first, rest
    if depth > _MAX_DEPTH or first not in ("a", "(", "{"):
        raise ValueError(f"{signature!r} is no signature of D-Bus types")
    if first == "a":
        element, rest = _pattern_of(rest, depth + 1)
        return ("a", element), rest
    closing, members = _CLOSING[first], []
    while rest[:1] != closing:
        member, rest = _pattern_of(rest, depth + 1)
        members.append(member)
    if not members or (first == "{" and len(members) != 2):
        raise ValueError(f"{signature!r} is no signature of D-Bus types")
    return (first, *members), rest[1:]


def _converted(node: Node, signature: str) -> Any:
    if node.kind == "number":
        return _float(node.value) if signature == "d" else _in_range(_integer(node.value), signature)
    if node.kind == "variant":
        inner = _settled(node.value.pattern)
        return inner, _converted(node.value, inner)
    if node.kind == "array":
        return [_converted(member, signature[1:]) for member in node.value]
    if node.kind == "tuple":
        types = split(signature[1:-1])
        return tuple(_converted(member, kind) for member, kind in zip(node.value, types, strict=True))
    if node.kind == "dict":
        key, value = split(signature[2:-1])
        return [(_converted(left, key), _converted(right, value)) for left, right in node.value]
    return node.value


def _in_range(number: int, signature: str) -> int:
    signed, bits = INTEGERS[signature]
    least, end = (-(1 << bits - 1), 1 << bits - 1) if signed else (0, 1 << bits)
    if not least <= number < end:
        name = next(name for name, kind in _TYPES.items() if kind == signature)
        raise ValueError(f"{number} is out of range; valid for {name} is {least} to {end - 1}")
    return number


def _integer(text: str) -> int:
    """Decimal, 0x hexadecimal or 0 octal."""
    digits = text.removeprefix("-" if text[:1] == "-" else "+")
    base = 16 if digits[:2].lower() == "0x" else 8 if digits[:1] == "0" and len(digits) > 1 else 10
    digits = digits[2:] if base == 16 else digits
    if not digits or not digits.isascii() or not digits.isalnum() or len(digits) > 64:
        raise ValueError(f"{text!r} is no number")
    try:
        number = int(digits, base)
    except ValueError:
        raise ValueError(f"{text!r} is no number") from None
    return -number if text[:1] == "-" else number


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{text!r} is no number") from None


def _unescaped(text: str) -> str:
    parts = text.split("\\")
    found = [parts[0]]
    rest = iter(parts[1:])
    for part in rest:
        if not part:  # two backslashes are one
            found.append("\\" + next(rest, ""))
        elif part[0] in "uU":
            found.append(_unicode(part))
        else:
            found.append(_ESCAPES.get(part[0], part[0]) + part[1:])
    whole = "".join(found)
    if "\0" in whole:
        raise ValueError("D-Bus has no text with a NUL in it")
    return whole


def _unicode(part: str) -> str:
    length = 4 if part[0] == "u" else 8
    try:
        if len(part) <= length:
            raise ValueError
        character = chr(int(part[1 : 1 + length], 16))
        character.encode()  # half of a surrogate pair is no character
    except (ValueError, OverflowError):
        raise ValueError(f"\\{part[: 1 + length]} is no character; valid are \\uXXXX and \\UXXXXXXXX") from None
    return character + part[1 + length :]


def _bytes(text: str) -> bytes:
    """The value of b'...', which ends with a NUL as in GVariant; octal and \\x escapes are single bytes."""
    found, at = bytearray(), 0
    while at < len(text):
        if text[at] != "\\":
            found += text[at].encode()
            at += 1
        elif text[at + 1] == "x":
            found.append(_byte(text[at + 2 : at + 4], 16))
            at += 4
        elif text[at + 1] in "01234567":
            end = at + 1
            while end < min(len(text), at + 4) and text[end] in "01234567":
                end += 1
            found.append(_byte(text[at + 1 : end], 8))
            at = end
        else:
            found += _ESCAPES.get(text[at + 1], text[at + 1]).encode()
            at += 2
    return bytes(found) + b"\0"


def _byte(digits: str, base: int) -> int:
    try:
        value = int(digits, base)
    except ValueError:
        value = 256
    if value > 255 or (base == 16 and len(digits) != 2):
        raise ValueError(f"{digits!r} is no byte")
    return value
