"""What stands for a property that is not there: null everywhere, "" and 0 where runc takes it so."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from edits import REMOVE, bundle, edited

from oci_runtime.errors import SpecError
from oci_runtime.spec.document import load_config, load_process, load_resources
from oci_runtime.spec.explain import load_schema
from oci_runtime.spec.locate import pointer_of

SCHEMA = load_schema("config")
FULL = bundle("full")
KINDS: dict[str, tuple[Any, Any, Any]] = {
    "config": (SCHEMA, FULL, load_config),
    "process": (SCHEMA["definitions"]["process"], FULL["process"], load_process),
    "resources": (SCHEMA["definitions"]["resources"], FULL["linux"]["resources"], load_resources),
}


def resolved(schema: Any) -> Any:
    while "$ref" in schema:
        schema = SCHEMA["definitions"][schema["$ref"].rpartition("/")[2]]
    return schema


def optional(schema: Any, value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The place of each optional property that the document has, of the first item in each array."""
    schema = resolved(schema)
    if isinstance(value, list) and value:
        yield from optional(schema["items"], value[0], (*place, 0))
    elif isinstance(value, dict):
        for name, member in schema.get("properties", {}).items():
            if name in value:
                if name not in schema.get("required", ()):
                    yield (*place, name)
                yield from optional(member, value[name], (*place, name))


CASES = [
    (kind, pointer_of(place)) for kind, (schema, document, _) in KINDS.items() for place in optional(schema, document)
]


def outcome(kind: str, document: Any, path: Path) -> Any:
    """The document as it is loaded, or what is wrong with it."""
    path.write_text(json.dumps(document))
    try:
        return KINDS[kind][2](str(path))
    except SpecError as error:
        return sorted((problem.pointer, problem.message) for problem in error.problems)


def test_the_full_bundle_has_nearly_every_property() -> None:
    assert len(CASES) > 200
    assert {pointer for kind, pointer in CASES if kind == "resources"} >= {"/memory/limit", "/pids", "/blockIO/weight"}


@pytest.mark.parametrize(("kind", "pointer"), CASES, ids=[f"{kind}{pointer}" for kind, pointer in CASES])
def test_null_is_absence(kind: str, pointer: str, tmp_path: Path) -> None:
    document = KINDS[kind][1]
    null, absent = (outcome(kind, edited(document, {pointer: x}), tmp_path / "document") for x in (None, REMOVE))
    assert null == absent


def test_all_of_them_at_once(tmp_path: Path) -> None:
    """Also with nothing else: what is left is as short as a configuration may be."""
    document = copy.deepcopy(FULL)
    kept = {"/root", "/process", "/process/args"}
    for kind, pointer in reversed(CASES):
        if kind == "config" and pointer not in kept:
            document = edited(document, {pointer: None})
    loaded = outcome("config", document, tmp_path / "document")
    assert loaded == {
        "ociVersion": FULL["ociVersion"],
        "root": {"path": FULL["root"]["path"]},
        "process": {"cwd": FULL["process"]["cwd"], "args": FULL["process"]["args"]},
    }


@pytest.mark.parametrize(
    ("pointer", "value", "expected"),
    [
        ("/annotations", {"a.b.c": None}, {"a.b.c": ""}),
        ("/process/user/additionalGids", [5, None], [5, 0]),
        ("/process/args", ["sh", None], ["sh", ""]),
        ("/linux/sysctl", {"net.ipv4.ip_forward": None}, {"net.ipv4.ip_forward": ""}),
        ("/linux/resources/unified", {"memory.high": None}, {"memory.high": ""}),
        ("/linux/netDevices", {"eth0": None}, {"eth0": {}}),
    ],
)
def test_null_in_lists_and_maps(pointer: str, value: Any, expected: Any, tmp_path: Path) -> None:
    """As in Go, the empty value of the type."""
    loaded = outcome("config", edited(FULL, {pointer: value}), tmp_path / "document")
    assert loaded == outcome("config", edited(FULL, {pointer: expected}), tmp_path / "document")


@pytest.mark.parametrize(
    ("pointer", "message"),
    [
        ("/ociVersion", "must be a string"),
        ("/process/cwd", "must be a string"),
        ("/process/rlimits/0/type", "must be a string"),
        ("/mounts/0/destination", "must be a string"),
        ("/mounts/0", "must be an object"),
        ("/linux/namespaces/0", "must be an object"),
        ("/linux/seccomp/flags/0", "must be a string"),
    ],
)
def test_null_for_what_must_be_there(pointer: str, message: str, tmp_path: Path) -> None:
    assert (pointer, f" is null: {message}") in outcome("config", edited(FULL, {pointer: None}), tmp_path / "document")


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("/linux/rootfsPropagation", ""),
        ("/linux/intelRdt/memBwSchema", ""),
        ("/linux/seccomp", {"defaultAction": ""}),
        ("/linux/seccomp", {"defaultAction": "", "architectures": ["SCMP_ARCH_X86"], "syscalls": []}),
        ("/linux/seccomp", {"defaultAction": None, "syscalls": None}),
        ("/linux/resources/pids", {"limit": 0}),
    ],
)
def test_empty_is_absence(pointer: str, value: Any, tmp_path: Path) -> None:
    config = edited(FULL, {"/ociVersion": "1.2.1"})
    loaded = outcome("config", edited(config, {pointer: value}), tmp_path / "document")
    assert isinstance(loaded, dict)
    assert loaded == outcome("config", edited(config, {pointer: REMOVE}), tmp_path / "document")


def test_a_filter_without_its_default_is_refused(tmp_path: Path) -> None:
    found = outcome("config", edited(FULL, {"/linux/seccomp": {"defaultAktion": ""}}), tmp_path / "document")
    assert found == [("/linux/seccomp", ': lacks the required property "defaultAction"')]
    found = outcome("config", edited(FULL, {"/linux/seccomp/defaultAction": ""}), tmp_path / "document")
    assert found[0][0] == "/linux/seccomp/defaultAction"


@pytest.mark.parametrize(
    ("version", "is_limit"),
    [("1.0.0", False), ("1.2.1+dev", False), ("1.3.0", True), ("1.3.0-rc.1", True), ("1.10.0", True)],
)
def test_no_processes(version: str, is_limit: bool, tmp_path: Path) -> None:
    config = edited(FULL, {"/ociVersion": version, "/linux/resources/pids/limit": 0})
    loaded = outcome("config", config, tmp_path / "document")
    assert loaded["linux"]["resources"].get("pids") == ({"limit": 0} if is_limit else None)
