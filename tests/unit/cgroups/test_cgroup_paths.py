from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oci_runtime.errors import SpecError, SystemCallError, UsageError
from oci_runtime.linux.cgroups import _fs, cgroup, layout, mounts, subcgroup
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


@pytest.mark.parametrize("end", ["\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028"])
def test_names_that_others_choose_have_no_lines(monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    """Mount points of any user (FUSE), and cgroups of a container, may have all but the line feed in their names."""
    mounts_of_host = (
        f"30 29 0:1 / /home/u/x{end}y rw - fuse.sshfs me rw\n31 29 0:2 /a{end}b /m{end} rw - cgroup c rw,cpu\n"
    )
    files = {"/proc/self/mountinfo": mounts_of_host, "/proc/self/cgroup": f"1:cpu:/a{end}b\n0::/c{end}0::/d\n"}
    monkeypatch.setattr(_fs, "read_proc", files.__getitem__)
    assert layout._Mounts("cgroup")._read() == [(f"/m{end}", f"/a{end}b", ["rw", "cpu"])]
    assert layout._cgroups_of("self") == [("1", "cpu", f"/a{end}b"), ("0", "", f"/c{end}0::/d")]


def test_the_cgroup_of_init_is_where_it_is_not_what_its_name_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container to which its cgroup is delegated names those below."""
    opened: list[str] = []

    def open_dir(directory: int, name: str) -> int:
        opened.append(name)
        raise FileNotFoundError(2, "no such cgroup")

    files = {
        "/proc/7/cgroup": "0::/box/x\x1c0::/host\n",
        "/proc/self/mountinfo": "1 1 0:1 / /m rw - cgroup2 cgroup rw\n",
    }
    monkeypatch.setattr(_fs, "read_proc", files.__getitem__)
    monkeypatch.setattr(_fs, "open_dir", open_dir)
    box = Cgroup(2, (), "/m", "box")
    box.root = 0
    with pytest.raises(SystemCallError):
        subcgroup.join_init(box, 1, 7)
    assert opened == ["box/x\x1c0::/host"]
