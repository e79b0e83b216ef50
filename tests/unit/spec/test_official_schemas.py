"""The schemas of the specification, ours, and the checker generated from ours, say the same of every document, but for
what schemas/differences.json lists."""

from __future__ import annotations

import copy
import json
import re
from typing import Any

import pytest
from edits import BUNDLES
from hypothesis import HealthCheck, given, settings
from jsonschema import Draft4Validator, Draft7Validator
from mutations import SEEDS, mutations
from official import KINDS, Difference, Node, Place, Schemas, differences, matches, our_schema, refused, schema_folder

from oci_runtime.errors import SpecError
from oci_runtime.spec import _checker
from oci_runtime.spec.document import parse_object

OURS = {kind: Draft7Validator(our_schema(kind)) for kind in KINDS}
OUR_ROOTS = {kind: Node(our_schema(kind)) for kind in KINDS}
DIFFERENCES = differences()
OTHER_PLATFORMS = ("solaris", "vm", "windows", "zos")
REMOVED = object()
SAMPLES = ("", "c", "RLIMIT_CPU", "2MB", "MB:0=10", "CAP_CHOWN")
"""A valid string for every pattern."""


class Judges:
    """All that have a verdict on documents of one kind."""

    __slots__ = ("kind", "root", "theirs")

    def __init__(self, kind: str, schemas: Schemas) -> None:
        self.kind = kind
        schema = schemas.inlined(kind)
        self.root = Node(schema)
        self.theirs = Draft4Validator(schema)

    def differ(self, document: Any) -> list[tuple[str, Place]]:
        """What theirs say and where, if ours do not. The generated checker must say what ours say."""
        theirs, ours = refused(self.theirs, document), refused(OURS[self.kind], document)
        if self.kind == "config":
            assert _checker.check_config(document) == (not ours), document
            if isinstance(document, dict):
                agree(_checker.check_process, document, ours, ("process",))
                agree(_checker.check_resources, document, ours, ("linux", "resources"))
        return [("refused", place) for place in theirs - ours] + [("accepted", place) for place in ours - theirs]

    def unlisted(self, document: Any) -> list[tuple[str, Place]]:
        return [
            (verdict, place)
            for verdict, place in self.differ(document)
            if not any(difference.covers(self.kind, verdict, place, document) for difference in DIFFERENCES)
        ]


def agree(check: Any, document: Any, ours: set[Place], place: Place) -> None:
    """The checker of a part, for process.json and the resources of update, finds what the whole finds there."""
    for step in place:
        if not isinstance(document, dict) or step not in document:
            return
        document = document[step]
    assert check(document) == (not any(wrong[: len(place)] == place for wrong in ours)), document


@pytest.fixture(scope="session")
def schemas() -> Schemas:
    return Schemas(schema_folder())


@pytest.fixture
def judges(kind: str, schemas: Schemas) -> Judges:
    return Judges(kind, schemas)


def example(node: Node) -> Any:
    """The smallest valid value."""
    kind = node.keyword("type")
    if kind == "object":
        return {name: example(node.members[name]) for name in node.required()}
    if kind == "array":
        return [example(node.members[0])] * (node.keyword("minItems") or 0)
    if kind == "string":
        if node.keyword("enum"):
            return node.keyword("enum")[0]
        return next(sample for sample in SAMPLES if re.search(node.keyword("pattern") or "", sample))
    if kind == "integer":
        return max(node.keyword("minimum") or 0, 0)
    assert kind == "boolean", kind
    return True


def spine(node: Node, place: Place, value: Any) -> Any:
    """The smallest document that has this value at a place and is valid elsewhere."""
    if not place:
        return copy.deepcopy(value)
    members, step = node.members, place[0]
    below = members.get(step, members.get(0 if isinstance(step, int) else "x"))
    assert below is not None, place
    if isinstance(step, int):
        return [] if value is REMOVED and len(place) == 1 else [spine(below, place[1:], value)]
    document = example(node)
    if value is REMOVED and len(place) == 1:
        document.pop(step, None)
    else:
        document[step] = spine(below, place[1:], value)
    return document


def thinned(value: Any) -> Any:
    """A document with one or two items of each shape in its arrays: as many cases, in less time."""
    if isinstance(value, dict):
        return {key: thinned(member) for key, member in value.items()}
    if not isinstance(value, list):
        return value
    kept: dict[Any, list[Any]] = {}
    for item in value:
        shape = tuple(sorted(item)) if isinstance(item, dict) else type(item)
        kept.setdefault(shape, []).append(thinned(item))
    return [item for items in kept.values() for item in items[:2]]


def real_documents(kind: str, schemas: Schemas) -> list[Any]:
    files = sorted((schemas.examples / kind / "good").glob("*.json"))
    if kind == "config":
        files += sorted(BUNDLES.glob("*.json"))
    return [thinned(json.loads(path.read_text("utf-8"))) for path in files]


def verdicts(judges: Judges, schemas: Schemas, text: bytes) -> set[bool]:
    """What the specification's schemas say as they are written, inlined, and what we say."""
    try:
        document = parse_object(text, "document")
    except SpecError:
        return {False}
    assert judges.unlisted(document) == []
    whole = schemas.validator(judges.kind)
    return {validator.is_valid(document) for validator in (whole, judges.theirs, OURS[judges.kind])}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("verdict", ["good", "bad"])
def test_examples_of_the_specification(kind: str, verdict: str, judges: Judges, schemas: Schemas) -> None:
    files = sorted((schemas.examples / kind / verdict).glob("*.json"))
    assert files
    for path in files:
        assert verdicts(judges, schemas, path.read_bytes()) == {verdict == "good"}, path.name


@pytest.mark.parametrize("kind", KINDS)
def test_every_value_at_every_place(kind: str, judges: Judges) -> None:
    """SEEDS at each place that either schema describes, and each of these places empty; but where all may differ."""
    theirs, ours = judges.root, OUR_ROOTS[kind]
    found = []
    for root, places in ((theirs, set(theirs.places())), (ours, set(ours.places()) - set(theirs.places()))):
        for place in places:
            if place[0] in OTHER_PLATFORMS:
                continue
            for seed in (REMOVED, *SEEDS):
                found += [(*difference, seed) for difference in judges.unlisted(spine(root, place, seed))]
    assert found == []


@pytest.mark.parametrize(("kind", "examples"), [("config", 2500), ("state", 300), ("features", 700)])
def test_mutations_of_real_documents(kind: str, examples: int, judges: Judges, schemas: Schemas) -> None:
    @settings(max_examples=examples, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(mutations(real_documents(kind, schemas)))
    def agree_on(document: Any) -> None:
        assert judges.unlisted(document) == []

    agree_on()


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda difference: difference.entry["what"].partition(":")[0])
def test_listed_differences_occur(difference: Difference, schemas: Schemas) -> None:
    """Each example of schemas/differences.json is judged differently, and each place that it lists has an example."""
    entry = difference.entry
    kind, verdict = entry["document"], entry["theirs"]
    assert {verdict, entry["ours"]} == {"accepted", "refused"}
    assert all(entry[key] for key in ("what", "why", "examples"))
    judges = Judges(kind, schemas)
    places = set(judges.root.places())
    unused = set(difference.at)
    for pointer, value in entry["examples"].items():
        place = tuple(int(step) if step.isdigit() else step for step in pointer.split("/")[1:])
        value = REMOVED if entry.get("absent") else value
        document = spine(judges.root if describes(places, place) else OUR_ROOTS[kind], place, value)
        assert judges.differ(document) == [(verdict, place)], pointer
        assert difference.covers(kind, verdict, place, document), pointer
        unused -= {pattern for pattern in difference.at if matches(pattern, place)}
    assert unused == set()


def describes(places: set[Place], place: Place) -> bool:
    """Whether a schema with these places describes this one, which may be a member of a map."""
    return place in places or (*place[:-1], "x") in places
