"""Errors for the user and the log file of --log, in the formats of logrus that engines read.

Without --log, records go to standard error; with it, they go to the file and standard error gets the bare messages.
"""

from __future__ import annotations

import posix
import time
from errno import ENOENT, ENXIO

from oci_runtime.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.cli.main import GlobalOptions

_PLAIN = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._/@^+"
_ESCAPES = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"}
_COLOURS = {"debug": 37, "info": 36, "warning": 33, "error": 31}


def report_error(options: GlobalOptions, message: str, *, several: bool = False) -> None:
    """Tells the user and the log of a failure.

    A message with `several` lines (a config.json with several problems) is several lines to people: on standard error
    and in a text log a record of its own each; a JSON log gets one record with all of it. In any other a line feed is
    part of a value, as are in all of them the further characters that str.splitlines() takes for the end of a line.
    """
    lines = [line for line in message.split("\n") if line] if several else []
    lines = lines or [message]
    if options.log_descriptor != 2:
        _write(2, "".join(f"{visible(line)}\n" for line in lines))
    elif not options.json_log:
        for line in lines:
            record(options, "error", line)
        return
    record(options, "error", lines[0] if len(lines) == 1 else f"{lines[0]}: {'; '.join(lines[1:])}")


def record(options: GlobalOptions, level: str, message: str) -> None:
    """Writes one log record. `level` is debug, info, warning or error."""
    if options.json_log:
        line = json_record(level, message)
    elif options.log_descriptor == 2 and posix.isatty(2):
        line = f"\x1b[{_COLOURS[level]}m{level.upper()[:4]}\x1b[0m[0000] {visible(message)}"
    else:
        line = f'time="{timestamp(time.time())}" level={level} msg={quoted(message)}'
    _write(options.log_descriptor, line + "\n")


def json_record(level: str, message: str) -> str:
    from oci_runtime.cli.json_text import compact

    return compact({"level": level, "msg": message, "time": timestamp(time.time())})


def timestamp(seconds: float) -> str:
    """RFC 3339, local time."""
    local = time.localtime(seconds)
    minutes = local.tm_gmtoff // 60
    zone = f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}" if minutes else "Z"
    return time.strftime("%Y-%m-%dT%H:%M:%S", local) + zone


def quoted(text: str) -> str:
    """A value of a text record: in quotes, with the escapes of Go, unless it has only harmless characters."""
    if text and not text.strip(_PLAIN):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{"".join(map(_escape, escaped))}"'


def open_unusual(path: str, error: OSError) -> int:
    """A log that open(2) refused with `error`: a socket that the caller passed as /dev/fd/N or /dev/stderr will do.

    Returns its descriptor, or raises UsageError.
    """
    head, _, number = path.rpartition("/")
    if path in ("/dev/stdout", "/dev/stderr"):
        head, number = "/dev/fd", "1" if path == "/dev/stdout" else "2"
    if error.errno in (ENXIO, ENOENT) and head in ("/dev/fd", "/proc/self/fd") and number.isdecimal():
        try:
            duplicate = posix.dup(int(number))
        except (OSError, OverflowError):
            raise UsageError(f"cannot open the log {path}: descriptor {number} is not open") from None
        return duplicate
    reason = "it is a FIFO that nobody reads, or a socket" if error.errno == ENXIO else error.strerror
    raise UsageError(f"cannot open the log {path}: {reason}") from None


def _escape(character: str) -> str:
    if character.isprintable():
        return character
    if character in _ESCAPES:
        return _ESCAPES[character]
    code = ord(character)
    if code < 0x80:
        return f"\\x{code:02x}"
    if 0xD800 <= code <= 0xDFFF:
        return "\ufffd"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def visible(text: str) -> str:
    """One line that cannot command a terminal, nor look like another by marks of direction and the like."""
    return "".join(character if character == "\t" else _escape(character) for character in text)


def _write(descriptor: int, text: str) -> None:
    """A log that cannot be written (disk full, reader gone) is no reason to fail, and nowhere to say so."""
    data = text.encode("utf-8", "replace")
    try:
        while data:
            data = data[posix.write(descriptor, data) :]
    except OSError:
        return
