"""linux.intelRdt on a directory that stands in for resctrl: no machine here has a CPU with RDT."""

from __future__ import annotations

import os
import posix
from typing import TYPE_CHECKING

import pytest

from oci_runtime._shim import lib
from oci_runtime.errors import PyociError
from oci_runtime.linux import resctrl

if TYPE_CHECKING:
    from pathlib import Path

    from oci_runtime.spec.types import IntelRdt


@pytest.fixture
def mount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A group directory gets its files when it is made, as in resctrl."""
    make = posix.mkdir

    def make_group(path: str, mode: int) -> None:
        make(path, mode)
        for name in ("tasks", "schemata"):
            with open(f"{path}/{name}", "w"):
                pass
        if "mon_groups" not in path:
            make(f"{path}/mon_groups", mode)

    with open(tmp_path / "tasks", "w"):
        pass
    monkeypatch.setattr(posix, "mkdir", make_group)
    monkeypatch.setattr(resctrl, "RDTGROUP_SUPER_MAGIC", lib.sys_filesystem_magic(_directory(tmp_path)))
    return tmp_path


def _directory(path: Path) -> int:
    return os.open(path, os.O_RDONLY)


def test_without_a_clos_the_group_is_the_containers_own(mount: Path) -> None:
    rdt: IntelRdt = {"l3CacheSchema": "L3:0=ff", "memBwSchema": "MB:0=20", "schemata": ["L2:0=f"]}
    groups = resctrl.plan_groups(rdt, "c1", str(mount))
    resctrl.make_groups(rdt, groups, 42)
    assert groups["own"] == f"{mount}/c1"
    assert (mount / "c1/schemata").read_text() == "L3:0=ff\nMB:0=20\nL2:0=f\n"
    assert (mount / "c1/tasks").read_text() == "42\n"


def test_a_clos_without_schemata_must_exist(mount: Path) -> None:
    with pytest.raises(PyociError, match=r"/linux/intelRdt/closID: the group .*/gold does not exist"):
        resctrl.plan_groups({"closID": "gold"}, "c1", str(mount))


def test_an_existing_clos_is_joined_and_not_removed(mount: Path) -> None:
    posix.mkdir(str(mount / "gold"), 0o755)
    groups = resctrl.plan_groups({"closID": "gold"}, "c1", str(mount))
    resctrl.make_groups({"closID": "gold"}, groups, 42)
    assert (mount / "gold/tasks").read_text() == "42\n"
    assert groups["own"] == ""
    resctrl.remove_groups(groups)
    assert (mount / "gold").exists()


@pytest.mark.parametrize(
    ("there", "fits"), [("L3:00=0ff;1=00f\n", True), ("L3:0=f0;1=00f\n", False), ("MB:0=10\n", False)]
)
def test_schemata_of_an_existing_clos_are_compared(mount: Path, there: str, fits: bool) -> None:
    posix.mkdir(str(mount / "gold"), 0o755)
    (mount / "gold/schemata").write_text(there)
    rdt: IntelRdt = {"closID": "gold", "l3CacheSchema": "L3:0=ff;1=f"}
    groups = resctrl.plan_groups(rdt, "c1", str(mount))
    if fits:
        resctrl.make_groups(rdt, groups, 42)
    else:
        with pytest.raises(PyociError, match="exists with other schemata"):
            resctrl.make_groups(rdt, groups, 42)


def test_the_root_is_a_clos(mount: Path) -> None:
    groups = resctrl.plan_groups({"closID": "/"}, "c1", str(mount))
    assert groups["group"] == str(mount)
    assert groups["own"] == ""


def test_monitoring_has_a_group_that_goes_with_the_container(mount: Path) -> None:
    posix.mkdir(str(mount / "gold"), 0o755)
    rdt: IntelRdt = {"closID": "gold", "enableMonitoring": True}
    groups = resctrl.plan_groups(rdt, "c1", str(mount))
    resctrl.make_groups(rdt, groups, 42)
    monitoring = mount / "gold/mon_groups/c1"
    assert (monitoring / "tasks").read_text() == "42\n"
    for file in monitoring.iterdir():
        file.unlink()  # resctrl's files go with their directory
    resctrl.remove_groups(groups)
    assert not monitoring.exists()


def test_a_group_must_be_in_a_resctrl_filesystem(mount: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resctrl, "RDTGROUP_SUPER_MAGIC", 1)
    groups = resctrl.plan_groups({}, "c1", str(mount))
    with pytest.raises(PyociError, match="not in a resctrl filesystem"):
        resctrl.make_groups({}, groups, 42)


def test_no_mount_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(PyociError, match="no resctrl filesystem is mounted"):
        resctrl.find_mount()


def test_an_update_writes_its_schemata_and_can_be_taken_back(mount: Path) -> None:
    groups = resctrl.plan_groups({"l3CacheSchema": "L3:0=ff"}, "c1", str(mount))
    resctrl.make_groups({"l3CacheSchema": "L3:0=ff"}, groups, 42)
    take_back = resctrl.update_group({"memBwSchema": "MB:0=20"}, groups)
    assert (mount / "c1/schemata").read_text() == "MB:0=20\n"
    take_back()
    assert (mount / "c1/schemata").read_text() == "L3:0=ff\n"
