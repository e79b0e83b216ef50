"""Whatever the validator takes can be planned and encoded."""

from __future__ import annotations

import copy
import json
import os
from typing import Any

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from plans import NAMES, bundle, plan_of
from test_plan import check_encoding

from oci_runtime.errors import SpecError
from oci_runtime.spec.document import load_config
from oci_runtime.spec.validate_process import CAPABILITIES

CONFIGS = [bundle(name) for name in NAMES]
VALUES: list[Any] = [
    *(0, 1, -1, 2, 7, 15, 255, 511, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1, -(2**63)),
    *(True, False, "", "/", "/proc/self", "a", "A=b", "0", "0-3", "rbind", "ro", "user", "tmpfs", "CAP_KILL"),
    *("\u00e9\U0001d11e", "x" * 5000, [], {}, ["a"], [""], {"a": "b"}, [0]),
]
Path = tuple[Any, ...]


def places(document: Any, path: Path = ()) -> list[Path]:
    """Every value's path."""
    found = [path] if path else []
    if isinstance(document, dict):
        for key, value in document.items():
            found += places(value, (*path, key))
    elif isinstance(document, list):
        for i, value in enumerate(document[:6]):
            found += places(value, (*path, i))
    return found


PLACES = [[path for path in places(config) if path[:2] != ("linux", "seccomp")] for config in CONFIGS]


@st.composite
def mutants(draw: st.DrawFn) -> Any:
    """A bundle's configuration with up to four values replaced, removed or doubled."""
    which = draw(st.integers(0, len(CONFIGS) - 1))
    config = copy.deepcopy(CONFIGS[which])
    for _ in range(draw(st.integers(1, 4))):
        path = draw(st.sampled_from(PLACES[which]))
        parent = config
        try:
            for step in path[:-1]:
                parent = parent[step]
            old = parent[path[-1]]
        except (KeyError, IndexError, TypeError):
            continue  # a change before this one has taken it away
        change = draw(st.sampled_from(["replace", "remove", "double"]))
        if change == "replace":
            alike = [value for value in VALUES if type(value) is type(old)]
            parent[path[-1]] = copy.deepcopy(draw(st.sampled_from(alike or VALUES)))
        elif change == "remove":
            del parent[path[-1]]
        elif isinstance(parent, list):
            parent.append(copy.deepcopy(old))
    return config


def valid(config: Any) -> Any:
    """As read from a file, or the example is given up."""
    fd = os.memfd_create("config.json")
    try:
        os.write(fd, json.dumps(config).encode())
        os.lseek(fd, 0, 0)
        return load_config(fd)
    except SpecError:
        assume(False)
    finally:
        os.close(fd)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(mutants())
def test_a_valid_configuration_can_be_planned(config: Any) -> None:
    check_encoding(plan_of(valid(config)))


SETS = st.lists(st.sampled_from(CAPABILITIES), max_size=8)
NUMBERS = st.integers(0, 2**32 - 1)


@settings(max_examples=100, deadline=None)
@given(
    st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(("bounding", "permitted", "effective", "inheritable", "ambient"), SETS),
    ),
    st.fixed_dictionaries(
        {"uid": NUMBERS, "gid": NUMBERS},
        optional={"umask": st.integers(0, 0o777), "additionalGids": st.lists(NUMBERS, max_size=20)},
    ),
    st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=50), min_size=1),
)
def test_any_identity_and_any_arguments(capabilities: Any, user: Any, args: list[str]) -> None:
    config = bundle("minimal")
    assume(args[0])
    config["process"].update(capabilities=capabilities, user=user, args=args)
    check_encoding(plan_of(valid(config)))
