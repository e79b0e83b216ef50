"""The text format of GVariant, as GLib and runc read it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oci_runtime.linux.cgroups.systemd_gvariant import INTEGERS, parse


@pytest.mark.parametrize(
    ("text", "signature", "value"),
    [
        ("true", "b", True),
        (" false ", "b", False),
        ("456", "i", 456),
        ("-456", "i", -456),
        ("+7", "i", 7),
        ("0x1F", "i", 31),
        ("010", "i", 8),
        ("0", "i", 0),
        ("byte 234", "y", 234),
        ("int16 -234", "n", -234),
        ("uint16 234", "q", 234),
        ("uint32 234", "u", 234),
        ("int64 234", "x", 234),
        ("uint64 18446744073709551615", "t", 2**64 - 1),
        ("@t 5", "t", 5),
        ("234.789", "d", 234.789),
        ("1e3", "d", 1000.0),
        ("double 2", "d", 2.0),
        ("'text'", "s", "text"),
        ('"it\'s"', "s", "it's"),
        (r"'a\nb\\c\'d\u00e9\U0001F600'", "s", "a\nb\\c'd\u00e9\U0001f600"),
        ("objectpath '/a/b'", "o", "/a/b"),
        ("signature 'as'", "g", "as"),
        ("b'ab'", "ay", b"ab\0"),
        (r"b'\x41\101\0\\'", "ay", b"AA\0\\\0"),
        ("['a', 'b']", "as", ["a", "b"]),
        ("[1, 2]", "ai", [1, 2]),
        ("[uint64 1, 2]", "at", [1, 2]),
        ("[1, uint64 2]", "at", [1, 2]),
        ("[1, 2.5]", "ad", [1.0, 2.5]),
        ("@as []", "as", []),
        ("@a(ss) []", "a(ss)", []),
        ("[[], ['a']]", "aas", [[], ["a"]]),
        ("[('/dev/null', 'rw')]", "a(ss)", [("/dev/null", "rw")]),
        ("(1, 'a')", "(is)", (1, "a")),
        ("[('/dev/sda', uint64 5)]", "a(st)", [("/dev/sda", 5)]),
        ("{'a': 1}", "a{si}", [("a", 1)]),
        ("{'a': <1>, 'b': <'x'>}", "a{sv}", [("a", ("i", 1)), ("b", ("s", "x"))]),
        ("<uint32 5>", "v", ("u", 5)),
        ("@a{sv} {}", "a{sv}", []),
        ("'inactive-or-failed'", "s", "inactive-or-failed"),
    ],
)
def test_values(text: str, signature: str, value: Any) -> None:
    assert parse(text) == (signature, value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "ends too early"),
        ("covfefe", "neither a value nor a type"),
        ("invalid-value", "neither a value nor a type"),
        ("uint64", "ends too early"),
        ("uint64 -1", "out of range"),
        ("uint64 18446744073709551616", "out of range"),
        ("byte 256", "out of range"),
        ("2147483648", "out of range"),
        ("uint64 'a'", "of type"),
        ("uint64 true", "of type"),
        ("uint32 1.5", "of type"),
        ("12ab", "no number"),
        ("089", "no number"),
        ("0x", "no number"),
        ("1.2.3", "no number"),
        ("--5", "no number"),
        ("'open", "no closing '"),
        ("'a' 'b'", "more than one value"),
        ("[]", "must be named"),
        ("[1, 'a']", "of type"),
        ("[1", "not followed by ]"),
        ("[1 2]", "not followed by ]"),
        ("{'a' 1}", "no ':'"),
        ("()", "no empty tuples"),
        ("<1", "not followed by >"),
        ("@zz 1", "no signature"),
        ("@ii 1", "not one type"),
        ("@ 1", "no signature"),
        (r"'\u12'", "no character"),
        (r"'\ud800'", "no character"),
        (r"'\u0000'", "NUL"),
        (r"b'\x4'", "no byte"),
        (r"b'\777'", "no byte"),
        ("[" * 100 + "]" * 100, "too deeply"),
        ("@" + "a" * 100 + "i []", "no signature"),
    ],
)
def test_what_is_no_value(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parse(text)
    assert reason in str(caught.value)


@given(st.text(alphabet="0123456789abxu'\"\\[](){}<>@:,. -+eitrufalsby\n", max_size=40))
def test_anything_is_a_value_or_a_valueerror(text: str) -> None:
    try:
        signature, _ = parse(text)
    except ValueError:
        return
    assert signature


@given(st.sampled_from(sorted(INTEGERS)), st.data())
def test_integers_of_each_type(kind: str, data: st.DataObject) -> None:
    signed, bits = INTEGERS[kind]
    least, most = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    value = data.draw(st.integers(least, most))
    assert parse(f"@{kind} {value}") == (kind, value)


@given(st.text(alphabet=st.characters(exclude_characters="\0", codec="utf-8")))
def test_any_text(text: str) -> None:
    quoted = text.replace("\\", "\\\\").replace("'", "\\'")
    assert parse(f"'{quoted}'") == ("s", text)
