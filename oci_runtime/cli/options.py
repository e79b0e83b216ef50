"""Parser of command lines: tables of options, read the way Go's flag package reads them, since runc's users do.

One dash or two; `--name value` or `--name=value`; booleans take a value only after `=`; `--` ends the options. A table
is a tuple of rows (name, one-letter alias or '', kind, default, help); an option without help is not shown. Kinds:

    text  a string             bool  true or false           int   a number
    list  strings, repeatable  ints  numbers, repeatable
"""

from __future__ import annotations

from oci_runtime.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, TypeAlias

    Option: TypeAlias = tuple[str, str, str, object, str]
    Options: TypeAlias = tuple[Option, ...]

#: NAME_MAX: the id names directories, below the state root and in cgroupfs.
MAX_ID = 255

_ID_CHARACTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-."


class Arguments:
    """A parsed command line: the value of each option that was given, and the positional arguments."""

    __slots__ = ("_given", "_options", "help", "positional")

    def __init__(self, options: Options) -> None:
        self._options = options
        self._given: dict[str, Any] = {}
        self.positional: list[str] = []
        self.help = False

    def text(self, name: str) -> str:
        value: str = self._value(name)
        return value

    def flag(self, name: str) -> bool:
        value: bool = self._value(name)
        return value

    def number(self, name: str) -> int:
        value: int = self._value(name)
        return value

    def texts(self, name: str) -> Sequence[str]:
        value: Sequence[str] = self._value(name)
        return value

    def numbers(self, name: str) -> Sequence[int]:
        value: Sequence[int] = self._value(name)
        return value

    def is_set(self, name: str) -> bool:
        return name in self._given

    def set(self, option: Option, value: Any) -> None:
        """Repeatable options collect their values, of the others the last one counts."""
        if option[2] in ("list", "ints"):
            self._given.setdefault(option[0], []).append(value)
        else:
            self._given[option[0]] = value

    def _value(self, name: str) -> Any:
        if name in self._given:
            return self._given[name]
        for option in self._options:
            if option[0] == name:
                return option[3]
        raise KeyError(name)


def parse(command: str, options: Options, arguments: Sequence[str], interleaved: bool = True) -> Arguments:
    """Reads `arguments` by the table `options`. `command` is for messages, '' for the global options.

    When `interleaved`, options may follow positional arguments; else everything from the first one on is positional,
    but for a -- behind the id, which stands between it and another command line. Raises UsageError.
    """
    parsed = Arguments(options)
    positional = parsed.positional
    index = 0
    count = len(arguments)
    while index < count:
        argument = arguments[index]
        index += 1
        if argument == "--":
            positional += arguments[index:]
            break
        if len(argument) < 2 or argument[0] != "-":
            if not interleaved:
                positional += arguments[index - 1 :]
                break
            positional.append(argument)
            continue
        name, equals, text = argument[2 if argument[1] == "-" else 1 :].partition("=")
        if not name or name[0] == "-":
            raise UsageError(f"bad flag syntax: {argument}; {see_help(command)}")
        option = _find(options, name)
        if option is None:
            if name not in ("help", "h"):
                raise UsageError(f"flag provided but not defined: -{name}; {see_help(command)}")
            parsed.help = not equals or boolean(text, name)
        elif option[2] == "bool":
            parsed.set(option, not equals or boolean(text, name))
        else:
            if not equals:
                if index == count:
                    raise UsageError(f"flag needs an argument: -{name}; {see_help(command)}")
                text = arguments[index]
                index += 1
            parsed.set(option, integer(text, name) if option[2] in ("int", "ints") else text)
    if command and not interleaved and len(positional) > 1 and positional[1] == "--":
        del positional[1]
    return parsed


def _find(options: Options, name: str) -> Option | None:
    for option in options:
        if name in (option[0], option[1]):
            return option
    return None


def see_help(command: str) -> str:
    return f'see "pyoci {command} --help"' if command else 'see "pyoci --help"'


def boolean(text: str, name: str) -> bool:
    """The words of Go's strconv.ParseBool; UsageError for any other."""
    if text in ("1", "t", "T", "true", "TRUE", "True"):
        return True
    if text in ("0", "f", "F", "false", "FALSE", "False"):
        return False
    raise UsageError(f'invalid boolean value "{text}" for flag -{name}: must be true or false')


def integer(text: str, name: str) -> int:
    """A number of 64 bits as Go's flag package reads it: decimal, or by prefix 0x, 0o, 0b, 0; else UsageError."""
    digits = text.lstrip("+-")
    try:
        if not text.isascii() or text != text.strip() or len(text) > 80:
            raise ValueError
        octal = len(digits) > 1 and digits[0] == "0" and digits[1] in "01234567_"
        number = int(text, 8 if octal else 0)
    except ValueError:
        raise UsageError(f'invalid value "{text}" for flag -{name}: not an integer') from None
    if not -(1 << 63) <= number < 1 << 63:
        raise UsageError(f'invalid value "{text}" for flag -{name}: out of range')
    return number


def check_count(command: str, count: int, usage: str, minimum: int, maximum: int | None) -> None:
    """UsageError unless a command that takes minimum to maximum (None: any) positional arguments has got `count`."""
    if count >= minimum and (maximum is None or count <= maximum):
        return
    if minimum == maximum:
        bound = f"exactly {minimum}"
    elif count < minimum:
        bound = f"a minimum of {minimum}"
    else:
        bound = f"a maximum of {maximum}"
    synopsis = f"pyoci {command} [options] {usage}".rstrip()
    raise UsageError(f'"{command}" requires {bound} argument(s), got {count}: {synopsis}')


def container_id(text: str) -> str:
    """Returns a valid container id as it is, UsageError names the rule that any other breaks."""
    if not text:
        raise UsageError("container id cannot be empty")
    if text.strip(_ID_CHARACTERS):
        raise UsageError(f"invalid container ID format: {text!r} may hold only letters A-Z a-z, digits and _ + - .")
    if text in (".", ".."):
        raise UsageError(f"invalid container ID format: {text!r} cannot name a directory")
    if len(text) > MAX_ID:
        raise UsageError(f"invalid container ID format: {len(text)} characters, at most {MAX_ID} are allowed")
    return text
