"""The rules and the page that gives their reasons, and what counts as a difference."""

from __future__ import annotations

from typing import Any

import pytest

from differential import known, rules
from differential.cases import Case
from differential.compare import Difference, differences


def step(verb: str, code: int = 0, err: str = "", **more: Any) -> dict[str, Any]:
    return {"verb": verb, "code": code, "err": err, **more}


def seen(*steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    """What session.py gives."""
    left: dict[str, Any] = {"cgroups": [], "mounts": [], "state": [], "files": {}}
    return {
        "steps": list(steps),
        "reports": [],
        "endings": [],
        "hooks": {},
        "tree": {},
        "host_namespaces": {},
        "kept_namespaces": {},
        "host_mountinfo": "",
        "before_cleaning": {**left, "processes": 0},
        "left": left,
        "processes_left": [],
        **more,
    }


CASE = Case({}, [], "native", "case")


def places(**found: dict[str, Any]) -> list[str]:
    return [each.place for each in differences(CASE, found, "pyoci")]


def test_every_rule_is_on_the_page_and_every_line_has_a_rule() -> None:
    assert sorted(rules.listed()) == sorted({rule.name for rule in known.RULES})


def test_alike() -> None:
    assert places(pyoci=seen(step("create")), runc=seen(step("create"))) == []


def test_like_one_of_two() -> None:
    state = step("state", state={"status": "created"})
    other = step("state", state={"status": "creating"})
    assert places(pyoci=seen(state), runc=seen(other), crun=seen(state)) == []
    assert places(pyoci=seen(state), runc=seen(other), crun=seen(other)) == ["step 0 state/state/status"]


def test_only_those_that_went_the_same_way_are_compared() -> None:
    """crun fails, so what it has done otherwise is its own."""
    ours = seen(step("create"), step("exec", 5))
    assert places(pyoci=ours, runc=ours, crun=seen(step("create", 1, "no"), step("exec", 1, "no"))) == []


def test_the_command_at_which_they_part() -> None:
    ours = seen(step("create", 1, 'time="x" level=error msg="no"'), step("start", 1, 'time="x" level=error msg="no"'))
    theirs = seen(step("create"), step("start"))
    (found,) = differences(CASE, {"pyoci": ours, "runc": theirs}, "pyoci")
    assert (found.place, found.ours, found.theirs) == ("step 0 create/ok", False, {"runc": True})


@pytest.mark.parametrize(
    "message", ["", "Traceback (most recent call last):", 'time="x" level=error msg="internal error"']
)
def test_noise_is_no_error(message: str) -> None:
    assert places(pyoci=seen(step("create", 1, message))) == ["step 0 create/message"]


def test_left_over() -> None:
    left = {"cgroups": ["/sys/fs/cgroup/x"], "mounts": [], "state": [], "files": {}, "processes": 0}
    failed = step("create", 1, 'time="x" level=error msg="no"')
    assert places(pyoci=seen(failed, before_cleaning=left)) == ["left/cgroups/wanted"]
    assert places(pyoci=seen(step("create"), before_cleaning=left)) == []


def test_a_rule_is_about_a_version() -> None:
    rule = rules.Rule("old", {"runc": (1, 2)}, "left/cgroups")
    difference = Difference(CASE, "left/cgroups", [], {"runc": ["x"]})
    assert rules.explain(difference, {"runc": (1, 1, 5)}, [rule]) == {"old"}
    assert rules.explain(difference, {"runc": (1, 2, 0)}, [rule]) == set()
    assert rules.stale([rule], {"runc": (1, 1, 5)}, []) == ["old"]
    assert rules.stale([rule], {"runc": (1, 2, 0)}, []) == []


def test_each_peer_needs_a_rule() -> None:
    difference = Difference(CASE, "left/cgroups", [], {"runc": ["x"], "crun": ["y"]})
    one = rules.Rule("one", {"runc": ()}, "left/cgroups")
    other = rules.Rule("other", {"crun": ()}, "left/cgroups")
    assert rules.explain(difference, {}, [one]) == set()
    assert rules.explain(difference, {}, [one, other]) == {"one", "other"}
