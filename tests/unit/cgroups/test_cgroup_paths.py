from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oci_runtime.errors import SpecError, UsageError
from oci_runtime.linux.cgroups import cgroup, layout, mounts, subcgroup
from oci_runtime.linux.cgroups.cgroup import Cgroup


@pytest.mark.parametrize(
    ("given", "cleaned"),
    [
        ("", ""),
        ("/", ""),
        ("..", ""),
        ("/../../a", "a"),
        ("a/../b", "b"),
        ("a/../../b", "b"),
        ("./a//b/", "a/b"),
        ("/a/./b/..", "a"),
        ("...", "..."),
    ],
)
def test_clean(given: str, cleaned: str) -> None:
    assert layout.clean(given) == cleaned


@given(st.lists(st.sampled_from(["..", ".", "", "a", "b"])).map("/".join))
def test_clean_never_leaves(path: str) -> None:
    assert not {"..", ".", ""} & set(layout.clean(path).split("/")) or layout.clean(path) == ""


@pytest.mark.parametrize(
    ("path", "inner"),
    [
        (None, ("id", False)),
        ("", ("id", False)),
        ("a/b", ("a/b", False)),
        ("/a/b", ("a/b", True)),
        ("../a", ("a", False)),
    ],
)
def test_inner_path(path: str | None, inner: tuple[str, bool]) -> None:
    assert layout.inner_path(path, "id") == inner


@pytest.mark.parametrize("path", ["/", ".", "a/..", "/../..", "a\0", "a\nb"])
def test_inner_path_that_is_none(path: str) -> None:
    with pytest.raises(SpecError) as caught:
        layout.inner_path(path, "id")
    assert caught.value.problems[0].pointer == "/linux/cgroupsPath"


def test_state_round_trip() -> None:
    for one in (Cgroup(1, ("cpu", "cpuacct"), "/m/cpu", "a/b", 1), Cgroup(2, (), "/m", "a", 0)):
        again = cgroup.from_state(one.to_state())
        assert again.to_state() == one.to_state()
        assert again.controllers == one.controllers


def test_comounted_controllers_have_one_path() -> None:
    together = Cgroup(1, ("cpu", "cpuacct"), "/m/cpu,cpuacct", "x")
    assert subcgroup.by_hierarchy({"cpu": "a", "cpuacct": "/a"}, [together]) == {("cpu", "cpuacct"): "a"}
    with pytest.raises(UsageError, match="another path"):
        subcgroup.by_hierarchy({"cpu": "a", "cpuacct": "b"}, [together])


def test_mount_of_comounted_controllers() -> None:
    together = Cgroup(1, ("cpu", "cpuacct"), "/sys/fs/cgroup/cpu,cpuacct", "x/y")
    (private,) = mounts.for_v1([together], private_namespace=True).hierarchies
    assert (private.name, private.source, private.data) == ("cpu,cpuacct", "cgroup", "cpu,cpuacct")
    (bind,) = mounts.for_v1([together], private_namespace=False).hierarchies
    assert (bind.name, bind.source, bind.data) == ("cpu,cpuacct", "/sys/fs/cgroup/cpu,cpuacct/x/y", "")
    assert private.links == bind.links == ("cpu", "cpuacct")
