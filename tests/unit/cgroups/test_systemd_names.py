"""linux.cgroupsPath as the names of systemd units."""

from __future__ import annotations

import pytest

from oci_runtime.errors import SpecError
from oci_runtime.linux.cgroups import systemd_names


@pytest.mark.parametrize(
    ("cgroups_path", "name", "path"),
    [
        (None, "pyoci-box.scope", "system.slice/pyoci-box.scope"),
        ("", "pyoci-box.scope", "system.slice/pyoci-box.scope"),
        ("machine.slice:libpod:1234", "libpod-1234.scope", "machine.slice/libpod-1234.scope"),
        (":docker:1234", "docker-1234.scope", "system.slice/docker-1234.scope"),
        ("::1234", "-1234.scope", "system.slice/-1234.scope"),
        ("-.slice:cri:1", "cri-1.scope", "cri-1.scope"),
        ("a-b-c.slice:p:n", "p-n.scope", "a.slice/a-b.slice/a-b-c.slice/p-n.scope"),
        ("user-1000.slice:p:a-b", "p-a-b.scope", "user.slice/user-1000.slice/p-a-b.scope"),
        ("system.slice:ignored:a-b.slice", "a-b.slice", "a.slice/a-b.slice"),
    ],
)
def test_names(cgroups_path: str | None, name: str, path: str) -> None:
    unit = systemd_names.parse(cgroups_path, "box", "system.slice")
    assert (unit.name, unit.path()) == (name, path)
    assert unit.kind == ("Slice" if name.endswith(".slice") else "Scope")


def test_below_the_managers_own_cgroup() -> None:
    unit = systemd_names.parse(None, "box", "user.slice")
    assert unit.path("/user.slice/user-7.slice/user@7.service") == (
        "user.slice/user-7.slice/user@7.service/user.slice/pyoci-box.scope"
    )
    assert unit.path("/") == unit.path("") == "user.slice/pyoci-box.scope"


def test_ids_have_characters_that_units_have_not() -> None:
    assert systemd_names.parse(None, "a+b", "system.slice").name == "pyoci-a\\x2bb.scope"


@pytest.mark.parametrize(
    ("cgroups_path", "reason"),
    [
        ("/system.slice/x", "not of the form SLICE:PREFIX:NAME"),
        ("a.slice:b", "not of the form SLICE:PREFIX:NAME"),
        ("a.slice:b:c:d", "not of the form SLICE:PREFIX:NAME"),
        ("a:b:c", "'a' is no slice"),
        (".slice:b:c", "'.slice' is no slice"),
        ("a--b.slice:b:c", "'a--b.slice' is no slice"),
        ("-a.slice:b:c", "'-a.slice' is no slice"),
        ("a-.slice:b:c", "'a-.slice' is no slice"),
        ("a.slice/a-b.slice:b:c", "has '/'"),
        ("a.slice:b:", "has no name"),
        ("a.slice:b:c/d", "has '/'"),
        ("a.slice:b:c+d", "has '+'"),
        ("a.slice:b:c\u00e9", "has '\u00e9'"),
        ("::-.slice", "the root of all slices"),
        ("a.slice:b:" + "c" * 250, "too long"),
    ],
)
def test_what_is_no_unit(cgroups_path: str, reason: str) -> None:
    with pytest.raises(SpecError) as caught:
        systemd_names.parse(cgroups_path, "box", "system.slice")
    assert [problem.pointer for problem in caught.value.problems] == ["/linux/cgroupsPath"]
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("unit", "escaped"),
    [
        ("a-b.scope", "a_2db_2escope"),
        ("1x_y.slice", "_31x_5fy_2eslice"),
        ("x\\x2b@.scope", "x_5cx2b_40_2escope"),
    ],
)
def test_objects_of_units(unit: str, escaped: str) -> None:
    """As systemd's own bus_label_escape() does it: `busctl tree org.freedesktop.systemd1` shows them."""
    assert systemd_names.object_path(unit) == f"/org/freedesktop/systemd1/unit/{escaped}"
