"""The parser reads command lines as Go's flag package does."""

from __future__ import annotations

import pytest

from oci_runtime.cli.kill import signal_number
from oci_runtime.cli.options import Arguments, boolean, check_count, container_id, integer, parse
from oci_runtime.errors import UsageError

OPTIONS = (
    ("bundle", "b", "text", "", "x"),
    ("detach", "d", "bool", False, "x"),
    ("env", "e", "list", (), "x"),
    ("gid", "g", "ints", (), "x"),
    ("count", "", "int", 7, "x"),
)


def read(*arguments: str, interleaved: bool = True) -> Arguments:
    return parse("create", OPTIONS, arguments, interleaved)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--bundle", "/b"),
        ("-bundle", "/b"),
        ("--bundle=/b",),
        ("-bundle=/b",),
        ("-b", "/b"),
        ("--b", "/b"),
        ("-b=/b",),
        ("-b", "/a", "-b", "/b"),
    ],
)
def test_spellings_of_a_text(arguments: tuple[str, ...]) -> None:
    parsed = read(*arguments)
    assert parsed.text("bundle") == "/b"
    assert parsed.is_set("bundle")
    assert parsed.positional == []


def test_defaults() -> None:
    parsed = read("id")
    assert (parsed.text("bundle"), parsed.flag("detach"), parsed.number("count")) == ("", False, 7)
    assert (list(parsed.texts("env")), list(parsed.numbers("gid"))) == ([], [])
    assert not parsed.is_set("bundle")
    assert parsed.positional == ["id"]


def test_a_name_that_is_not_in_the_table_is_our_mistake() -> None:
    with pytest.raises(KeyError):
        read().text("nope")


@pytest.mark.parametrize(
    ("argument", "value"),
    [("-d", True), ("--detach", True), ("-d=false", False), ("--detach=1", True), ("-d=F", False), ("-d=TRUE", True)],
)
def test_booleans(argument: str, value: bool) -> None:
    assert read(argument).flag("detach") is value


def test_a_boolean_does_not_take_the_next_argument() -> None:
    parsed = read("-d", "false")
    assert parsed.flag("detach")
    assert parsed.positional == ["false"]


def test_repeatable_options_collect() -> None:
    parsed = read("-e", "A=1", "--env=B=2=3", "-e", "-d", "-g", "0x10", "-g=2")
    assert parsed.texts("env") == ["A=1", "B=2=3", "-d"]
    assert parsed.numbers("gid") == [16, 2]


def test_options_may_follow_the_id_unless_it_ends_them() -> None:
    assert read("id", "-d", "--bundle", "/b").positional == ["id"]
    parsed = read("-d", "id", "ls", "-b", "--", "x", interleaved=False)
    assert parsed.positional == ["id", "ls", "-b", "--", "x"]
    assert not parsed.is_set("bundle")


def test_two_dashes_between_the_id_and_another_command_line() -> None:
    """runc's manual page: exec container-id [--] command."""
    assert read("-d", "id", "--", "ls", "--", "-x", interleaved=False).positional == ["id", "ls", "--", "-x"]
    assert read("--", "id", "--", "ls", interleaved=False).positional == ["id", "ls"]
    assert read("id", "--", interleaved=False).positional == ["id"]
    assert parse("", OPTIONS, ["create", "--", "x"], interleaved=False).positional == ["create", "--", "x"]


def test_two_dashes_end_the_options_and_one_is_an_argument() -> None:
    assert read("-d", "-", "--", "-b", "--").positional == ["-", "-b", "--"]


def test_help() -> None:
    assert read("-h").help
    assert read("id", "--help").help
    assert not read("--help=false").help
    assert not read("--", "-h").help


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--nope",), "flag provided but not defined: -nope"),
        (("-db",), "flag provided but not defined: -db"),
        (("--bundle",), "flag needs an argument: -bundle"),
        (("---b",), "bad flag syntax: ---b"),
        (("-=x",), "bad flag syntax: -=x"),
        (("--=x",), "bad flag syntax: --=x"),
        (("--detach=maybe",), 'invalid boolean value "maybe" for flag -detach'),
        (("--detach=",), 'invalid boolean value "" for flag -detach'),
        (("--count", "many"), 'invalid value "many" for flag -count: not an integer'),
        (("--count=",), 'invalid value "" for flag -count: not an integer'),
        (("-g", "1,2"), 'invalid value "1,2" for flag -g: not an integer'),
        (("--count", "9223372036854775808"), "out of range"),
    ],
)
def test_errors_are_one_line(arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(*arguments)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("-5", -5),
        ("+5", 5),
        ("010", 8),
        ("0o10", 8),
        ("0x1F", 31),
        ("0b11", 3),
        ("1_000", 1000),
        ("-010", -8),
    ],
)
def test_integers_of_go(text: str, value: int) -> None:
    assert integer(text, "n") == value


@pytest.mark.parametrize("text", ["", " 1", "1 ", "1.0", "09", "٣", "--1", "0x", "1" * 100])
def test_no_integers(text: str) -> None:
    with pytest.raises(UsageError):
        integer(text, "n")


@pytest.mark.parametrize("text", ["yes", "tRUE", "2", "on"])
def test_no_booleans(text: str) -> None:
    with pytest.raises(UsageError):
        boolean(text, "n")


@pytest.mark.parametrize("text", ["a", "A-9_+.b", "...", "-", "--all", "x" * 255])
def test_container_ids(text: str) -> None:
    assert container_id(text) == text


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "empty"),
        (".", "directory"),
        ("..", "directory"),
        ("a/b", "letters"),
        ("../a", "letters"),
        ("a b", "letters"),
        ("a\n", "letters"),
        ("ä", "letters"),
        ("a:b", "letters"),
        ("a\ud800", "letters"),
        ("x" * 256, "at most 255"),
    ],
)
def test_no_container_ids(text: str, rule: str) -> None:
    with pytest.raises(UsageError, match=rule) as caught:
        container_id(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("count", "minimum", "maximum", "message"),
    [(0, 1, 1, "exactly 1"), (2, 1, 1, "exactly 1"), (0, 1, 2, "a minimum of 1"), (3, 1, 2, "a maximum of 2")],
)
def test_wrong_numbers_of_arguments(count: int, minimum: int, maximum: int, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check_count("kill", count, "<id>", minimum, maximum)


@pytest.mark.parametrize(("count", "minimum", "maximum"), [(0, 0, 0), (1, 1, 1), (2, 1, 2), (9, 1, None)])
def test_right_numbers_of_arguments(count: int, minimum: int, maximum: int | None) -> None:
    check_count("kill", count, "<id>", minimum, maximum)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("", 15),
        ("TERM", 15),
        ("SIGTERM", 15),
        ("sigkill", 9),
        ("Hup", 1),
        ("9", 9),
        ("+9", 9),
        ("0", 0),
        ("64", 64),
        ("SIGRTMIN", 34),
        ("rtmin+3", 37),
        ("SIGRTMAX-14", 50),
        ("RTMAX", 64),
        ("STKFLT", 16),
        ("CLD", 17),
        ("IOT", 6),
        ("POLL", 29),
    ],
)
def test_signals(text: str, number: int) -> None:
    assert signal_number(text) == number


@pytest.mark.parametrize(
    "text",
    [
        "FOO",
        "65",
        "-9",
        "SIG",
        "SIG_DFL",
        "SIG_BLOCK",
        "RTMIN+31",
        "RTMIN-1",
        "RTMAX+1",
        "RTMIN+",
        "RTMAX-99999",
        "9.0",
        "٩",
    ],
)
def test_no_signals(text: str) -> None:
    with pytest.raises(UsageError, match=r"SIGRTMIN\+0 to SIGRTMIN\+30.*SIGHUP"):
        signal_number(text)
