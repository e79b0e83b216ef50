"""JSON text without the json package, which costs more than all of a `state` command: the C functions behind it."""

from __future__ import annotations

from _json import encode_basestring_ascii, make_encoder, make_scanner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn


class _ScannerContext:
    """What _json.make_scanner reads its settings from: those of json.loads()."""

    __slots__ = ()
    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float
    memo: dict[str, str] = {}  # noqa: RUF012


def loads(text: str) -> Any:
    """The value of a JSON text that we have written. ValueError or StopIteration for any other."""
    context: Any = _ScannerContext()
    try:
        return make_scanner(context)(text, 0)[0]
    except SystemError:  # the scanner wants to raise an exception of json.decoder, which is not imported
        raise ValueError("not JSON") from None


def dumps(value: object) -> str:
    """A value as compact JSON in ASCII."""
    encode = make_encoder(None, _no_json, encode_basestring_ascii, None, ":", ",", False, False, False)
    return "".join(encode(value, 0))


def _no_json(value: object) -> NoReturn:
    raise TypeError(f"{type(value).__name__} has no JSON form")
