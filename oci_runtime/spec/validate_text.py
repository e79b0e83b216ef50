"""Strings that no kernel can take: with a NUL inside, or not encodable in UTF-8.

Only a \\u escape can bring these into a document, so the loader looks for one first. Properties that we do not know are
not checked; they stay what they are, ignored.
"""

from __future__ import annotations

from oci_runtime.errors import Problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Schema = dict[str, Any]


def validate_text(document: object, at: str) -> list[Problem]:
    """The problems of a document, whose schema is found at pointer `at` of that of config.json; pointers start here."""
    from oci_runtime.spec.explain import load_schema

    root = load_schema("config")
    schema = root
    for step in at.split("/")[1:]:
        schema = _resolve(root, schema)["properties"][step]
    return list(_walk(document, schema, root, ""))


def _resolve(root: Schema, schema: Schema) -> Schema:
    while "$ref" in schema:
        schema = root["definitions"][schema["$ref"].rpartition("/")[2]]
    return schema


def _walk(value: object, schema: Schema, root: Schema, at: str) -> Iterator[Problem]:
    schema = _resolve(root, schema)
    if isinstance(value, str):
        # Annotations are for humans and other programs; a NUL does no harm in them.
        yield from _text(value, at, "" if at.startswith("/annotations/") else "\0")
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from _walk(item, schema["items"], root, f"{at}/{i}")
    elif isinstance(value, dict):
        for key, member in value.items():
            place = f"{at}/{key.replace('~', '~0').replace('/', '~1')}"
            if "additionalProperties" in schema:
                yield from _text(key, place, "" if at == "/annotations" else "\0", "its key ")
                yield from _walk(member, schema["additionalProperties"], root, place)
            elif key in schema["properties"]:
                yield from _walk(member, schema["properties"][key], root, place)


def _text(text: str, at: str, forbidden: str, what: str = "") -> Iterator[Problem]:
    if forbidden and forbidden in text:
        yield Problem(at, what + "must not contain a NUL character (\\u0000)")
    try:
        text.encode()
    except UnicodeEncodeError:
        yield Problem(at, what + "must not contain half of a surrogate pair (\\ud800 to \\udfff)")
