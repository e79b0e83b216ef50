"""The generated checker says of every document what jsonschema says."""

from __future__ import annotations

import copy
import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from edits import BUNDLES, bundle
from hypothesis import given, settings
from jsonschema import Draft7Validator
from mutations import SEEDS, mutations, paths

from oci_runtime.spec import _checker
from oci_runtime.spec.explain import load_schema

SCHEMAS = Path(__file__).parents[3] / "schemas"
CONFIG = load_schema("config")
DOCUMENTS = [json.loads(path.read_text("utf-8")) for path in sorted(BUNDLES.glob("*.json"))]


def validator(pointer: str) -> Draft7Validator:
    return Draft7Validator({"$ref": pointer, "definitions": {**CONFIG["definitions"], "config": CONFIG}})


VALIDATORS = [
    (_checker.check_config, Draft7Validator(CONFIG)),
    (_checker.check_process, validator("#/definitions/process")),
    (_checker.check_resources, validator("#/definitions/resources")),
]


@settings(max_examples=400, deadline=None)
@given(mutations(DOCUMENTS))
def test_checker_and_jsonschema_agree(document: Any) -> None:
    assert _checker.check_config(document) == VALIDATORS[0][1].is_valid(document)
    process = document.get("process") if isinstance(document, dict) else document
    assert _checker.check_process(process) == VALIDATORS[1][1].is_valid(process)
    linux = document.get("linux") if isinstance(document, dict) else None
    resources = linux.get("resources") if isinstance(linux, dict) else linux
    assert _checker.check_resources(resources) == VALIDATORS[2][1].is_valid(resources)


@pytest.mark.parametrize("seed", SEEDS, ids=repr)
def test_every_place_of_a_full_document_agrees(seed: Any) -> None:
    """Each value of SEEDS at each place of a document that has every property."""
    check, judge = VALIDATORS[0]
    full = bundle("full")
    sections = [
        ("process", "process"),
        ("mounts", "mount"),
        ("hooks", "hook"),
        ("linux", "linux"),
        ("freebsd", "freebsd"),
    ]
    small = {"ociVersion": "1.0.0"}
    for section, _ in sections:
        for path in paths(full[section]):
            document = {**small, section: copy.deepcopy(full[section])}
            parent = document[section]
            for part in path[:-1]:
                parent = parent[part]
            parent[path[-1]] = seed
            # Only the section that changed can be wrong; the judge is slow on whole documents.
            assert check(document) == valid_at(judge, document, (section, *path)), (section, path)


def valid_at(judge: Draft7Validator, document: Any, path: tuple[Any, ...]) -> bool:
    """Like judge.is_valid(document) for a document whose only doubtful place is `path`, but faster."""
    schema: Any = CONFIG
    for part in path:
        schema = resolve(schema)
        if isinstance(part, int):
            schema = schema["items"]
        else:
            schema = schema["properties"][part] if "properties" in schema else schema["additionalProperties"]
        document = document[part]
    return judge.evolve(schema=schema).is_valid(document)


def resolve(schema: Any) -> Any:
    while "$ref" in schema:
        schema = CONFIG["definitions"][schema["$ref"].rpartition("/")[2]]
    return schema


def test_full_document_has_every_property_of_the_schema() -> None:
    """Otherwise the tests above would miss some."""

    def missing(schema: Any, values: list[Any], at: str) -> list[str]:
        schema = resolve(schema)
        if not values:
            return [at]
        if schema["type"] == "object":
            if "additionalProperties" in schema:
                members = [member for value in values for member in value.values()]
                return missing(schema["additionalProperties"], members, at + "/*")
            found = []
            for key, subschema in schema["properties"].items():
                found += missing(subschema, [value[key] for value in values if key in value], f"{at}/{key}")
            return found
        if schema["type"] == "array":
            return missing(schema["items"], [item for value in values for item in value], at + "/0")
        return []

    # No flags of personality(2) are defined, so a valid document has none.
    assert missing(CONFIG, [bundle("full")], "") == ["/linux/personality/flags/0"]


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_checker", SCHEMAS / "generate_checker.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_checker_in_use_is_the_one_of_this_schema() -> None:
    assert _checker.__file__ is not None
    assert Path(_checker.__file__).read_text("utf-8") == generator().generate()


def test_the_checker_imports_nothing() -> None:
    assert "import" not in generator().generate().partition('"""\n\n')[2]


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "minLength": 1},
        {"type": "string", "pattern": "^x$"},
        {"type": "number"},
        {"type": ["string", "null"]},
        {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
        {"type": "object", "properties": {"a": {"type": "string"}}, "patternProperties": {"x": {}}},
        {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": False},
        {"type": "object", "required": ["b"], "properties": {"a": {"type": "string"}}},
        {"anyOf": [{"type": "string"}]},
        {"enum": ["a", 1]},
        {"$ref": "other.json#/definitions/x"},
        {"$ref": "#/definitions/process", "minimum": 1},
    ],
    ids=json.dumps,
)
def test_what_cannot_be_translated_stops_the_build(schema: Any) -> None:
    module = generator()
    root = {"type": "object", "properties": {"x": schema}, "definitions": CONFIG["definitions"]}
    with pytest.raises(module.UnsupportedSchemaError):
        module.Generator(root).source()


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module = generator()
    assert module.main(["generate_checker.py", str(tmp_path / "out.py")]) == 0
    assert (tmp_path / "out.py").read_text("utf-8") == module.generate()
    assert module.main(["generate_checker.py"]) == 2
    assert "usage" in capsys.readouterr().err
