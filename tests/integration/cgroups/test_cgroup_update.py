"""Manager.update() where no container of `update`'s own tests comes: cgroup v2, and taking an update back later."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cgroup_support import BASE, in_v2_view, needs_v1, needs_v2, v1_only

from oci_runtime.errors import PyociError
from oci_runtime.linux.cgroups import manager
from oci_runtime.linux.cgroups.manager import Manager

HUGE = "hugetlb.2MB.max"


def read(made: Manager, file: str) -> str:
    return Path(made.path(file.split(".")[0]), file).read_text().strip()


@needs_v1("memory")
def test_taken_back_later(created: Callable[..., Manager]) -> None:
    made = created({"memory": {"limit": 8 << 20, "swap": 10 << 20}, "cpu": {"quota": 50000}})
    files = ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "cpu.cfs_quota_us", "cpu.shares"]
    before = [read(made, file) for file in files]
    memory = {"limit": 16 << 20, "swap": 20 << 20}
    snapshot = made.update({"memory": memory, "cpu": {"quota": 60000, "shares": 70}}, pointer="")  # type: ignore[typeddict-item]
    assert [read(made, file) for file in files] == [str(16 << 20), str(20 << 20), "60000", "70"]
    snapshot.restore()
    assert [read(made, file) for file in files] == before


@v1_only
def test_what_is_not_taken_back_is_named(created: Callable[..., Manager]) -> None:
    made = created({"cpu": {"shares": 50}})
    snapshot = made.update({"cpu": {"shares": 60}}, pointer="")
    made.update({"cpu": {"idle": 1}}, pointer="")  # now shares cannot be set
    with pytest.raises(PyociError, match=r"could not be set back: .*/cpu\.shares to '50'"):
        snapshot.restore()


@needs_v2("hugetlb")
def test_v2(name: str) -> None:
    def body() -> None:
        made: Any = manager.new(f"/{name}", name, None)
        made.create()
        directory = BASE / name
        rsvd = directory / "hugetlb.2MB.rsvd.max"
        try:
            limits = [{"pageSize": "2MB", "limit": 4 << 20}]
            made.update({"hugepageLimits": limits}, pointer="")
            assert (int((directory / HUGE).read_text()), int(rsvd.read_text())) == (4 << 20, 4 << 20)
            refused = {"hugepageLimits": [{"pageSize": "2MB", "limit": 6 << 20}], "unified": {HUGE: "much"}}
            with pytest.raises(PyociError, match=f"/unified/{HUGE}"):
                made.update(refused, pointer="")
            assert (int((directory / HUGE).read_text()), int(rsvd.read_text())) == (4 << 20, 4 << 20)
            made.update({"unified": {HUGE: "max"}}, pointer="")
            assert (directory / HUGE).read_text() == "max\n"
        finally:
            made.delete()

    in_v2_view(body)
