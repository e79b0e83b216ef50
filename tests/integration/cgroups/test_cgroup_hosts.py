"""Hosts that are laid out otherwise: hierarchies mounted elsewhere, in part, together, or read-only."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cgroup_support import BASE, Child, in_mount_namespace, left_over, needs_v1, run_inside, v1_has, v1_only
from containers import Bundle, Pyoci, cgroups_of

from oci_runtime.errors import PyociError, SystemCallError
from oci_runtime.linux.cgroups import manager

pytestmark = v1_only


def names() -> list[str]:
    return [path.name for path in BASE.iterdir() if os.path.ismount(path)]


#: Hierarchies that can be mounted beside those of the host.
MORE = ("net_cls,net_prio", "perf_event")


@pytest.fixture
def more() -> Iterator[list[list[str]]]:
    """Commands that mount two more hierarchies, one of two controllers, with the links that systemd makes beside them;
    none where the host has them. The kernel is rid of them afterwards.

    It keeps a hierarchy that is unmounted while a cgroup in it is still being freed, until it is mounted again.
    """
    missing = [hierarchy for hierarchy in MORE if not os.path.ismount(BASE / hierarchy)]
    yield mounted_beside(missing) if missing else []
    deadline = time.monotonic() + 10
    for hierarchy in missing:
        mount = ["mount", "-t", "cgroup", "-o", hierarchy, "cgroup", "/mnt"]
        while hierarchy in cgroups_of(os.getpid()):
            in_mount_namespace([mount, ["umount", "/mnt"]], lambda: None)
            time.sleep(0.05)
            assert time.monotonic() < deadline, f"the hierarchy {hierarchy} stays"


def mounted_beside(missing: list[str]) -> list[list[str]]:
    """The commands, for a mount namespace of one's own."""
    commands = [
        ["mount", "-t", "tmpfs", "tmpfs", "/mnt"],
        ["mount", "--rbind", str(BASE), "/mnt"],
        ["mount", "-t", "tmpfs", "tmpfs", str(BASE)],
        *(["mkdir", str(BASE / hierarchy)] for hierarchy in names()),
        *(["mount", "--bind", f"/mnt/{hierarchy}", str(BASE / hierarchy)] for hierarchy in names()),
        ["umount", "-R", "-l", "/mnt"],
    ]
    for hierarchy in missing:
        commands.append(["mkdir", str(BASE / hierarchy)])
        commands.append(["mount", "-t", "cgroup", "-o", hierarchy, "cgroup", str(BASE / hierarchy)])
        if "," in hierarchy:
            commands += [["ln", "-s", hierarchy, str(BASE / controller)] for controller in hierarchy.split(",")]
    return commands


def test_hierarchies_mounted_elsewhere(name: str, tmp_path: Path) -> None:
    """As on hosts from before /sys/fs/cgroup; only /proc/self/mountinfo tells."""
    target = tmp_path / "with space"
    commands = [
        ["mkdir", str(target)],
        ["mount", "--rbind", str(BASE), str(target)],
        ["mount", "-t", "tmpfs", "x", str(BASE)],
    ]

    def body() -> None:
        made = manager.new(f"/{name}", name, None)
        assert made.path("pids") == f"{target}/pids/{name}"
        made.create()
        made.apply({"pids": {"limit": 9}})
        assert (target / "pids" / name / "pids.max").read_text() == "9\n"
        assert run_inside(made, lambda: 0) == 0
        made.delete()

    in_mount_namespace(commands, body)
    assert left_over(name) == []


def test_no_cgroups_at_all(name: str) -> None:
    def body() -> None:
        with pytest.raises(PyociError, match="no cgroup hierarchy is mounted"):
            manager.new(None, name, None)

    in_mount_namespace([["umount", "-R", str(BASE)]], body)


def test_no_devices_controller(name: str) -> None:
    def body() -> None:
        with pytest.raises(PyociError, match="devices is not mounted"):
            manager.new(None, name, None)

    in_mount_namespace([["umount", str(BASE / "devices")]], body)


@needs_v1("memory")
def test_no_memory_controller(name: str) -> None:
    def body() -> None:
        made = manager.new(f"/{name}", name, None)
        made.create()
        with pytest.raises(PyociError, match=r"memory/limit: .*controller memory.*mounted.*pids"):
            made.apply({"memory": {"limit": 1 << 30}})
        made.apply(None)
        made.delete()

    in_mount_namespace([["umount", str(BASE / "memory")]], body)


def test_no_freezer(name: str) -> None:
    def body() -> None:
        made = manager.new(f"/{name}", name, None)
        made.create()
        assert not made.frozen()
        with pytest.raises(PyociError, match="freezer is not mounted"):
            made.freeze()
        processes = [Child() for _ in range(3)]
        for process in processes:
            made.add(process.pid)
        (BASE / "unified/cgroup.procs").write_text(str(processes[0].pid))
        made.kill_all()
        assert [process.wait() for process in processes] == [-9, -9, -9]
        made.delete()

    in_mount_namespace([["umount", str(BASE / "freezer")]], body)


def test_inside_of_a_container(name: str) -> None:
    """Every hierarchy shows only the part that the runtime's own cgroup is the root of, without a cgroup namespace."""
    commands = []
    for hierarchy in names():
        (BASE / hierarchy / name / "own").mkdir(parents=True)
        commands.append(["mount", "--bind", str(BASE / hierarchy / name), str(BASE / hierarchy)])
    for path in (f"cpuset/{name}", f"cpuset/{name}/own") if v1_has("cpuset") else ():
        for file in ("cpuset.cpus", "cpuset.mems"):
            (BASE / path / file).write_text((BASE / "cpuset" / file).read_text())

    def body() -> None:
        for hierarchy in names():
            (BASE / hierarchy / "own/cgroup.procs").write_text(str(os.getpid()))
        assert cgroups_of(os.getpid())["pids"] == f"/{name}/own"
        made = manager.new("a/b", "b", None)
        assert made.path("pids") == f"{BASE}/pids/own/a/b"
        made.create()
        assert run_inside(made, lambda: int("/own/a/b" not in Path("/proc/self/cgroup").read_text())) == 0
        made.delete()
        assert not (BASE / "pids/own/a").exists()

    in_mount_namespace(commands, body)


def test_controllers_mounted_together(name: str, more: list[list[str]]) -> None:
    together = BASE / MORE[0]

    def body() -> None:
        made = manager.new(f"/{name}", name, None)
        assert made.path("net_cls") == made.path("net_prio") == str(together / name)
        made.create()
        made.apply({"network": {"classID": 1048577, "priorities": [{"name": "lo", "priority": 7}]}})
        assert (together / name / "net_cls.classid").read_text() == "1048577\n"
        assert "lo 7" in (together / name / "net_prio.ifpriomap").read_text()
        mounts = {m.name: m for m in made.mounts_for_container(private_namespace=True).hierarchies}
        assert mounts[together.name].data == "net_cls,net_prio"
        assert mounts[together.name].links == ("net_cls", "net_prio")
        assert run_inside(made, lambda: 0) == 0
        made.delete()
        assert not (together / name).exists()

    in_mount_namespace(more, body)


def test_a_container_joins_all_that_is_mounted(bundle: Bundle, pyoci: Pyoci, more: list[list[str]]) -> None:
    bundle.namespace("cgroup").mount("/sys/fs/cgroup", "cgroup", "cgroup", ["ro"])
    bundle.linux["resources"] = {"network": {"classID": 1048577, "priorities": [{"name": "lo", "priority": 7}]}}
    bundle.shell(
        "cd /sys/fs/cgroup; cat net_cls/net_cls.classid net_prio/net_prio.ifpriomap; readlink net_cls;"
        "readlink net_prio; echo perf $(cat perf_event/cgroup.procs); cat /proc/1/cgroup"
    )

    def body() -> None:
        out = pyoci.run(bundle).out.splitlines()
        assert out[0] == "1048577"
        assert "lo 7" in out
        assert out.count(MORE[0]) == 2
        assert next(line for line in out if line.startswith("perf")).split()[1] == "1"
        joined = [line.split(":", 2)[1:] for line in out if line.count(":") >= 2]
        assert {controllers for controllers, _ in joined} >= {*MORE, "memory" if "memory" in names() else "pids"}
        assert {path for _, path in joined} == {"/"}

    in_mount_namespace(more, body)


def test_read_only_named_hierarchy_is_done_without(name: str) -> None:
    def body() -> None:
        made = manager.new(f"/{name}", name, None)
        record = made.to_state()
        made.create()
        assert run_inside(made, lambda: 0) == 0
        later = manager.from_state(record)
        assert len(later.tasks_fds()) == len(names()) - 2
        assert later.v2_dir_fd() is None
        later.delete()

    commands = [["mount", "-o", "remount,bind,ro", str(BASE / part)] for part in ("systemd", "unified")]
    in_mount_namespace(commands, body)
    assert left_over(name) == []


def test_read_only_controller(name: str) -> None:
    def body() -> None:
        made = manager.new(f"/{name}", name, None)
        with pytest.raises(SystemCallError, match=r"pids.*/linux/cgroupsPath.*Read-only"):
            made.create()
        made.delete()

    in_mount_namespace([["mount", "-o", "remount,bind,ro", str(BASE / "pids")]], body)
    assert left_over(name) == []


def test_mount_over_a_control_file(name: str, tmp_path: Path) -> None:
    """What is not on the hierarchy's own mount is not written to."""
    other = tmp_path / "other"
    other.write_text("")

    def body() -> None:
        made = manager.new(f"/{name}", name, None)
        made.create()
        subprocess.run(["mount", "--bind", str(other), str(BASE / "pids" / name / "pids.max")], check=True)
        with pytest.raises(SystemCallError, match="/linux/resources/pids/limit"):
            made.apply({"pids": {"limit": 5}})
        assert other.read_text() == ""

    in_mount_namespace([], body)
