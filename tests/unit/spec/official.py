"""The JSON schemas of the specification, from the Go module that conformance/go.mod requires, and how ours differ."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft4Validator
from referencing import Registry
from referencing.jsonschema import DRAFT4, DRAFT7

from oci_runtime.spec.explain import load_schema

if TYPE_CHECKING:
    from jsonschema import ValidationError
    from jsonschema.protocols import Validator

ROOT = Path(__file__).parents[3]
MODULE = "github.com/opencontainers/runtime-spec"
KINDS = ("config", "state", "features")
ABSENT = object()
"""The value of a place where a required property is missing."""

Place = tuple[Any, ...]


def schema_folder() -> Path:
    """schema/ of the specification in Go's module cache. Without Go the test fails where `make test` runs it."""
    if shutil.which("go") is None:
        reason = "go is not installed, which fetches the schemas of the specification (conformance/go.mod)"
        if os.environ.get("PYOCI_ENGINES") == "required":
            pytest.fail(reason)
        pytest.skip(reason)
    command = ["go", "mod", "download", "-json", MODULE]
    done = subprocess.run(command, cwd=ROOT / "conformance", capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        pytest.fail(f"{' '.join(command)} in conformance/: {done.stdout}{done.stderr}")
    return Path(json.loads(done.stdout)["Dir"], "schema")


class Node:
    """A place of a schema without references, alternatives merged: which members it describes and demands."""

    __slots__ = ("members", "parts")

    def __init__(self, schema: Any) -> None:
        self.parts = list(_parts(schema))
        self.members: dict[Any, Node] = {}
        """By name; by 0 for the items of an array, by "x" for all members of a map."""
        for part in self.parts:
            subschemas = dict(part.get("properties", {}))
            items = part.get("items")
            if items is not None:
                subschemas[0] = items[0] if isinstance(items, list) else items
            for schema in (part.get("additionalProperties"), *part.get("patternProperties", {}).values()):
                if schema is not None:
                    subschemas["x"] = schema
            self.members.update({step: Node(schema) for step, schema in subschemas.items()})

    def required(self) -> list[str]:
        return [name for part in self.parts for name in part.get("required", [])]

    def keyword(self, name: str) -> Any:
        return next((part[name] for part in self.parts if name in part), None)

    def places(self) -> Iterator[Place]:
        for step, member in self.members.items():
            yield (step,)
            for rest in member.places():
                yield (step, *rest)


def _parts(schema: Any) -> Iterator[Any]:
    yield schema
    for keyword in ("allOf", "anyOf", "oneOf"):
        for alternative in schema.get(keyword, ()):
            yield from _parts(alternative)


class Schemas:
    """The specification's for each of KINDS."""

    __slots__ = ("examples", "registry")

    def __init__(self, folder: Path) -> None:
        self.examples = folder / "test"
        resources = [(path.name, DRAFT4.create_resource(_mended(path))) for path in sorted(folder.glob("*.json"))]
        self.registry: Any = Registry[Any]().with_resources(resources)

    def validator(self, kind: str) -> Validator:
        return Draft4Validator(self._reference(kind), registry=self.registry)

    def inlined(self, kind: str) -> Any:
        """The same without references, which cost a judge most of its time."""
        return _inlined(self._reference(kind), self.registry.resolver())

    @staticmethod
    def _reference(kind: str) -> Any:
        return {"$ref": f"{kind}-schema.json"}


def _mended(path: Path) -> Any:
    """Of version 1.3.0 one reference lacks its slash, for `vm.hwConfig.irqs`, and resolves to nothing."""
    return json.loads(path.read_text("utf-8").replace('"#definitions/', '"#/definitions/'))


def our_schema(kind: str) -> Any:
    """schemas/KIND.schema.json, inlined."""
    registry: Any = Registry[Any]().with_resource(kind, DRAFT7.create_resource(load_schema(kind)))
    return _inlined({"$ref": kind}, registry.resolver())


def _inlined(schema: Any, resolver: Any) -> Any:
    """Until draft-07 what stands beside a reference does not count."""
    if isinstance(schema, list):
        return [_inlined(item, resolver) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        resolved = resolver.lookup(schema["$ref"])
        return _inlined(resolved.contents, resolved.resolver)
    return {key: _inlined(value, resolver) for key, value in schema.items() if key != "definitions"}


def refused(validator: Validator, document: Any) -> set[Place]:
    """The places that a schema finds wrong; that of a missing property is where it should be."""
    return {place for error in validator.iter_errors(document) for place in _places(error)}


def _places(error: ValidationError) -> Iterator[Place]:
    if error.context:
        for cause in error.context:
            yield from _places(cause)
        return
    place = tuple(error.absolute_path)
    if error.validator == "required":
        wanted: Any = error.validator_value
        document: Any = error.instance
        yield from ((*place, name) for name in wanted if name not in document)
    else:
        yield place


class Difference:
    """One entry of schemas/differences.json."""

    __slots__ = ("at", "entry", "key", "value")

    def __init__(self, entry: dict[str, Any]) -> None:
        self.entry = entry
        self.at = [tuple(pattern.split("/")[1:]) for pattern in entry["at"]]
        self.key = Draft4Validator(entry.get("key", {}))
        self.value = Draft4Validator(entry.get("value", {}))

    def covers(self, kind: str, theirs: str, place: Place, document: Any) -> bool:
        if self.entry["document"] != kind or self.entry["theirs"] != theirs:
            return False
        if not any(matches(pattern, place) for pattern in self.at):
            return False
        value = value_at(document, place)
        if value is ABSENT:
            return "value" not in self.entry
        return self.key.is_valid(place[-1]) and self.value.is_valid(value)


def matches(pattern: tuple[str, ...], place: Place) -> bool:
    """`*` is any step, `**` at the end any number of steps."""
    if pattern[-1] == "**":
        pattern, place = pattern[:-1], place[: len(pattern) - 1]
    return len(pattern) == len(place) and all(
        step in ("*", str(part)) for step, part in zip(pattern, place, strict=True)
    )


def value_at(document: Any, place: Place) -> Any:
    for step in place:
        if isinstance(document, dict) and step not in document:
            return ABSENT
        document = document[step]
    return document


def differences() -> list[Difference]:
    return [Difference(entry) for entry in json.loads((ROOT / "schemas" / "differences.json").read_text("utf-8"))]
