"""What is drawn, made smaller, and made comparable."""

from __future__ import annotations

import pytest

from differential import normal
from differential.cases import VIEWS, Case, from_document
from differential.draw import draw_cases
from differential.draw import strategies as st
from differential.draw.strategies import Draw
from differential.reduce import reduce


@pytest.mark.parametrize("view", VIEWS)
def test_a_seed_draws_the_same_cases(view: str) -> None:
    few = [case.text() for case in draw_cases(view, 3, 20)]
    assert few == [case.text() for case in draw_cases(view, 3, 40)][:20]
    assert few != [case.text() for case in draw_cases(view, 4, 20)]


def test_known_draws() -> None:
    """A change of these numbers would change what every seed means."""
    draw = Draw("x")
    assert [draw(st.integers(0, 99)) for _ in range(5)] == [63, 59, 48, 76, 38]


def test_lists() -> None:
    draw = Draw("lists")
    for _ in range(50):
        found = draw(st.lists(st.sampled_from("abc"), min_size=1, max_size=4, unique=True))
        assert 1 <= len(found) == len(set(found)) <= 3


def test_a_case_survives_its_file() -> None:
    for case in draw_cases("v2", 1, 30):
        assert from_document(case.document()).text() == case.text()


def test_smaller() -> None:
    config = {"a": {"b": [1, 2, {"c": 3, "d": 4}]}, "e": 5}
    case = Case(config, [{"verb": "create", "options": []}, {"verb": "state"}], "native", "name")
    small = reduce(case, lambda each: "'c': 3" in str(each.config) and "create" in str(each.steps), 100)
    assert small.config == {"a": {"b": [{"c": 3}]}}
    assert small.steps == [{"verb": "create", "options": []}]


def test_smaller_in_so_many_tries() -> None:
    case = Case({str(i): i for i in range(9)}, [], "native")
    assert len(reduce(case, lambda _: True, 4).config) == 5


def test_mounts() -> None:
    text = (
        "20 1 0:5 / / rw,relatime master:7 - ext4 /dev/vda rw\n"
        "22 21 0:7 /x /a/b ro - tmpfs none rw,size=1k\n"
        "21 20 0:6 / /a rw shared:9 - tmpfs none rw\n"
        "23 20 0:6 / /a rw - tmpfs none rw\n"
    )
    found = normal.mounts(text, {"7"})
    assert found["order"] == ["/", "/a/b", "/a", "/a#2"]
    assert found["/"]["propagation"] == ["master of the host"]
    assert found["/a"]["propagation"] == ["shared"]
    assert found["/a/b"]["parent"] == "/a"


def test_namespaces() -> None:
    links = {"ipc": "ipc:[1]", "net": "net:[2]", "pid": "pid:[3]", "uts": "-2"}
    host = {"ipc": "ipc:[1]", "net": "net:[9]", "pid": "pid:[9]", "uts": "uts:[9]"}
    found = normal.namespaces(links, host, {"net:[2]": "kept"})
    assert found == {"ipc": "host", "net": "kept", "pid": "new", "uts": "-2"}
