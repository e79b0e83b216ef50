"""The package `encodings` of native/interpreter.c: UTF-8 alone, until somebody asks for more.

The interpreter imports `encodings` at its start to look up one codec, which costs it a millisecond. This module answers
for that codec; with the first wish for anything else the library's own package takes its place.
"""

from __future__ import annotations

import sys
from _codecs import register, utf_8_decode, utf_8_encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    LIBRARY: str  # folder of the standard library; compiled in

NAMES = ("utf-8", "utf_8", "utf8")

__path__ = [f"{LIBRARY}/encodings"]  # noqa: F821


def whole() -> ModuleType:
    """The library's package, which registers its codecs when it is imported."""
    import os  # noqa: F401  # completes the initialisation, before files are looked for (bundle_importer.py)
    from _frozen_importlib import module_from_spec
    from _frozen_importlib_external import PathFinder

    current = sys.modules["encodings"]
    if current.__dict__ is not globals():
        return current
    spec = PathFinder.find_spec("encodings", [LIBRARY])  # noqa: F821
    assert spec is not None
    assert spec.loader is not None
    module: ModuleType = module_from_spec(spec)
    sys.modules["encodings"] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules["encodings"] = current
        raise
    return module


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    return getattr(whole(), name)


class IncrementalEncoder:
    """codecs.IncrementalEncoder, which has no state in UTF-8."""

    __slots__ = ("errors",)

    def __init__(self, errors: str = "strict") -> None:
        self.errors = errors

    def encode(self, text: str, final: bool = False) -> bytes:
        return utf_8_encode(text, self.errors)[0]

    def reset(self) -> None:
        pass

    def getstate(self) -> int:
        return 0

    def setstate(self, state: int) -> None:
        pass


class IncrementalDecoder:
    """codecs.BufferedIncrementalDecoder: a character may come in pieces."""

    __slots__ = ("errors", "rest")

    def __init__(self, errors: str = "strict") -> None:
        self.errors = errors
        self.rest = b""

    def decode(self, data: bytes, final: bool = False) -> str:
        data = self.rest + data
        text, used = utf_8_decode(data, self.errors, final)
        self.rest = data[used:]
        return text

    def reset(self) -> None:
        self.rest = b""

    def getstate(self) -> tuple[bytes, int]:
        return self.rest, 0

    def setstate(self, state: tuple[bytes, int]) -> None:
        self.rest = state[0]


class CodecInfo(tuple):  # type: ignore[type-arg]
    """codecs.CodecInfo of UTF-8."""

    name = "utf-8"
    _is_text_encoding = True
    encode = utf_8_encode
    decode = utf_8_decode
    incrementalencoder = IncrementalEncoder
    incrementaldecoder = IncrementalDecoder

    @property
    def streamreader(self) -> Any:
        return whole().search_function("utf-8").streamreader

    @property
    def streamwriter(self) -> Any:
        return whole().search_function("utf-8").streamwriter


def search_function(name: str) -> Any:
    """The codec for a normalised name, or None: codecs.register()."""
    if name in NAMES:
        return CodecInfo((utf_8_encode, utf_8_decode, None, None))
    return whole().search_function(name)


register(search_function)
