"""Documents near real ones, for tests that hold several judges to the same verdict."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import strategies as st

# What mutations put in: the borders of the types, and strings near what patterns and enumerations want.
SEEDS: list[Any] = [
    *(None, True, False, 0, 1, -1, 1.0, 0.5, -0.0, 1e300, float("inf"), 255, 256, 511, 512, 65535, 65536),
    *(2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2**32 - 1, 2**32, float(2**32), 2**63 - 1, 2**63, float(2**63)),
    *(-(2**63), -(2**63) - 1, 2**64 - 1, 2**64, float(2**64), -(2.0**63), 10**30, "", "\n", "0", "c", "c\n", "user"),
    *("RLIMIT_", "RLIMIT_CPU", "RLIMIT_CPU\n", "RLIMIT_A1", "RLIMIT_a", "xRLIMIT_A", "RLIMIT_\u00c4", "RLIMIT_\uff21"),
    *("0-3,7", "0-3,7\n", " ", "1 2", "a", "1\n2", "\u0661", "2MB", "02MB", "0KB", "2mB", "2MB\n", "12GB", "MB"),
    *("\u0662MB", "2\u0660KB", "MB:", "MB:1;2", "MB:\n", "MB:a\nb", "mb:", " MB:", "CAP_CHOWN", "CAP_", "CAP_A1"),
    *("SCMP_ACT_ALLOW", "SCMP_CMP_EQ", "LINUX", "private"),
    *([], [[]], [None], [""], [0], ["x", 1], {}, {"": ""}, {"a": 1}, {"path": 1}, {"path": "/x"}, {"type": "pid"}),
]

Path = tuple[Any, ...]


def paths(value: Any, path: Path = ()) -> list[Path]:
    """The place of every member of a document, of the members of members too."""
    found = [path] if path else []
    members = enumerate(value) if isinstance(value, list) else value.items() if isinstance(value, dict) else ()
    for step, member in members:
        found += paths(member, (*path, step))
    return found


def mutations(documents: list[Any]) -> st.SearchStrategy[Any]:
    """One of the documents with one to three members replaced, removed, renamed, wrapped, doubled or exchanged."""
    return _mutated(documents, [paths(document) for document in documents])


@st.composite
def _mutated(draw: st.DrawFn, documents: list[Any], places: list[list[Path]]) -> Any:
    index = draw(st.integers(0, len(documents) - 1))
    document = copy.deepcopy(documents[index])
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(places[index]))
        parent = _member(document, path[:-1])
        if _has(parent, path[-1]):
            _mutate(draw, document, parent, path, places[index])
    return document


def _has(parent: Any, step: Any) -> bool:
    if isinstance(parent, dict):
        return step in parent
    return isinstance(parent, list) and isinstance(step, int) and step < len(parent)


def _member(document: Any, path: Path) -> Any:
    """None where earlier mutations left nothing."""
    for step in path:
        if not _has(document, step):
            return None
        document = document[step]
    return document


def _mutate(draw: st.DrawFn, document: Any, parent: Any, path: Path, places: list[Path]) -> None:
    step = path[-1]
    operations = ["seed", "seed", "seed", "any", "remove", "rename", "wrap", "append", "exchange", "unknown"]
    operation = draw(st.sampled_from(operations))
    if operation == "seed":
        parent[step] = copy.deepcopy(draw(st.sampled_from(SEEDS)))
    elif operation == "any":
        parent[step] = draw(st.text(max_size=5) | st.integers() | st.floats(allow_nan=False))
    elif operation == "remove":
        del parent[step]
    elif operation == "rename" and isinstance(parent, dict):
        parent[draw(st.text(max_size=3))] = parent.pop(step)
    elif operation == "wrap":
        parent[step] = [parent[step]] if draw(st.booleans()) else {"x": parent[step]}
    elif operation == "exchange":
        parent[step] = copy.deepcopy(_member(document, draw(st.sampled_from(places))))
    elif operation == "append" and isinstance(parent, list):
        parent += [copy.deepcopy(parent[step]), copy.deepcopy(draw(st.sampled_from(SEEDS)))]
    elif isinstance(parent, dict):
        parent[draw(st.text(max_size=3) | st.sampled_from(["x", "linux", "path"]))] = draw(st.sampled_from([None, 1]))
