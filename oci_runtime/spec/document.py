"""Read config.json, process.json and the resources of `update`: bytes, UTF-8, JSON, schema, semantics.

When all goes well this costs well under a millisecond: the C scanner of `_json` is used without the json package, and
the checker generated from the schemas says yes. Only a refusal imports explain.py, and with it jsonschema.

JSON (RFC 8259) as here understood: no byte order mark, no NaN or Infinity, the last of duplicate names wins as in Go
and yajl, and an integer may be written 1.0 (JSON Schema draft-07), which becomes 1.
"""

from __future__ import annotations

import posix
from _json import make_scanner

from oci_runtime.errors import SpecError
from oci_runtime.spec._checker import check_config, check_process, check_resources
from oci_runtime.spec.validate import validate_config
from oci_runtime.spec.validate_process import validate_process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final, NoReturn

    from oci_runtime.errors import Problem
    from oci_runtime.spec.types import Config, Process, Resources

MAX_SIZE: Final = 16 * 1024 * 1024
"""Bytes. The largest document that is read; real ones have tens of kilobytes."""

_WHITESPACE: Final = " \t\n\r"


def load_config(source: str | int | bytes, *, process_required: bool = True, name: str = "config.json") -> Config:
    """The valid config.json at a path, read to the end of a file descriptor (which stays open), or that has been read.

    `process` is optional in the specification until `start`; like runc and crun we want it at `create`, so that no
    container is made that cannot start. Raises SpecError.
    """
    text, name = _read(source, name)
    document = _parse(text, name)
    if not check_config(document):
        _look_again("config", check_config, document, text, name)
    problems = validate_config(document, process_required=process_required)
    if "\\u" in text:
        problems += _bad_text(document, "")
    if problems:
        _refuse(problems, document, text, name)
    drop_zero_of_old(document.get("linux", {}).get("resources", {}), document["ociVersion"])
    return document  # type: ignore[no-any-return]


def drop_zero_of_old(resources: Resources, version: str) -> None:
    """Takes a limit of 0 processes out of the resources of a container whose ociVersion is `version`: since 1.3 of the
    specification that is a limit, before engines wrote it for none, and runtimes took it for that."""
    if resources.get("pids", {}).get("limit") == 0 and int(version.split(".")[1]) < 3:
        del resources["pids"]


def load_process(source: str | int, *, name: str = "process.json") -> Process:
    """The valid `process` object that `exec --process` gets, at a path or from a file descriptor. Raises SpecError.

    A FIFO is waited for, as by runc.
    Whether its ids are mapped is the container's affair: see validate.validate_ids.
    """
    text, name = _read(source, name)
    document = _parse(text, name)
    if not check_process(document):
        _look_again("process", check_process, document, text, name)
    problems: list[Problem] = []
    validate_process(document, "", problems)
    if "\\u" in text:
        problems += _bad_text(document, "/process")
    if problems:
        _refuse(problems, document, text, name)
    return document  # type: ignore[no-any-return]


def load_resources(source: str | int, *, name: str = "resources") -> Resources:
    """The valid `linux.resources` object that `update --resources` gets. Raises SpecError."""
    from oci_runtime.spec.validate_resources import validate_resources

    text, name = _read(source, name)
    document = _parse(text, name)
    if not check_resources(document):
        _look_again("resources", check_resources, document, text, name)
    problems: list[Problem] = []
    validate_resources(document, "", problems, partial=True)
    if "\\u" in text:
        problems += _bad_text(document, "/linux/resources")
    if problems:
        _refuse(problems, document, text, name)
    return document  # type: ignore[no-any-return]


def parse_object(data: bytes, name: str) -> dict[str, Any]:
    """The JSON object in `data`, unchecked but for its syntax; `name` is for the message of the SpecError."""
    document: dict[str, Any] = _parse(_decode(data, name), name)
    return document


def _read(source: str | int | bytes, name: str) -> tuple[str, str]:
    """The text and the name to use in messages."""
    if isinstance(source, bytes):
        return _decode(source, name), name
    if isinstance(source, int):
        return _decode(read_descriptor(source, name), name), name
    try:
        descriptor = posix.open(source, posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError as error:
        raise SpecError(f"cannot read {source}: {error.strerror}") from None
    try:
        return _decode(read_descriptor(descriptor, source), source), source
    finally:
        posix.close(descriptor)


def read_descriptor(descriptor: int, name: str) -> bytes:
    """All that there is to read, of a pipe too. SpecError when it cannot be read, or is too large for a document.

    A pipe that was opened with O_NONBLOCK, for one may not wait for ever that somebody opens it to write, is read as
    long as somebody has it open.
    """
    chunks = []
    left = MAX_SIZE + 1
    try:
        while left > 0:
            try:
                chunk = posix.read(descriptor, min(left, 65536))
            except BlockingIOError:
                posix.set_blocking(descriptor, True)
                continue
            if not chunk:
                break
            chunks.append(chunk)
            left -= len(chunk)
    except OSError as error:
        raise SpecError(f"cannot read {name}: {error.strerror}") from None
    if left <= 0:
        raise SpecError(f"{name} is larger than {MAX_SIZE} bytes")
    return b"".join(chunks)


def _decode(data: bytes, name: str) -> str:
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = len(data[data.rfind(b"\n", 0, error.start) + 1 : error.start].decode()) + 1
        why = f"byte 0x{data[error.start]:02x} is not UTF-8 ({error.reason})"
        raise SpecError(f"{name}:{line}:{column}: {why}; JSON must be encoded in UTF-8") from None
    if text.startswith("\ufeff"):
        raise SpecError(f"{name}:1:1: starts with a byte order mark; JSON must not have one, remove its three bytes")
    return text


class _Context:
    """What make_scanner reads its settings from: the class itself, so that functions are not bound."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    array_hook = None
    parse_int = int

    @staticmethod
    def parse_float(text: str) -> int | float:
        value = float(text)
        if not value.is_integer():
            return value
        whole, _, fraction = text.partition(".")
        return int(value) if fraction.strip("0") or "e" in whole.lower() else int(whole)  # exact also above 2**53

    @staticmethod
    def parse_constant(text: str) -> NoReturn:
        raise _ConstantError(text)


class _ConstantError(Exception):
    """NaN, Infinity or -Infinity."""


def _parse(text: str, name: str) -> Any:
    """A dict, always; untyped because only the checks that follow give it a type."""
    scan: Callable[[str, int], tuple[Any, int]] = make_scanner(_Context)  # type: ignore[arg-type]
    start = len(text) - len(text.lstrip(_WHITESPACE))
    try:
        document, end = scan(text, start)
        rest = text[end:].lstrip(_WHITESPACE)
    except SystemError:  # the scanner wants to raise an exception of json.decoder, which is not imported
        import json.decoder  # noqa: F401

        return _parse(text, name)
    except (ValueError, StopIteration, RecursionError, _ConstantError) as error:
        from oci_runtime.spec.explain import syntax_error

        raise syntax_error(error, text, name) from None
    if rest:
        from oci_runtime.spec.explain import error_at

        raise error_at(text, len(text) - len(rest), name, "more text after the end of the JSON document")
    if type(document) is not dict:
        from oci_runtime.spec.explain import error_at

        raise error_at(text, start, name, "the document must be a JSON object, { … }")
    return document


def _bad_text(document: Any, at: str) -> list[Problem]:
    """Only a document with a \\u escape can hold a NUL or half of a surrogate pair."""
    from oci_runtime.spec.validate_text import validate_text

    return validate_text(document, at)


def _refuse(problems: list[Problem], document: object, text: str, name: str) -> NoReturn:
    from oci_runtime.spec.explain import spec_error

    raise spec_error(problems, document, text, name)


def _look_again(kind: str, check: Callable[[Any], bool], document: Any, text: str, name: str) -> None:
    """At a document that the checker refuses: without what stands for absence it may be valid."""
    from oci_runtime.spec.absence import remove_absent

    remove_absent(kind, document)
    if not check(document):
        from oci_runtime.spec.explain import schema_error

        raise schema_error(kind, document, text, name)
