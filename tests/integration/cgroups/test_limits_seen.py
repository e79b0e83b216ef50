"""Every property of linux.resources: what it sets, read inside of a container; or the error where it cannot be had.

The same table holds for v1, hybrid and v2. What this machine's kernel lacks has to be refused, and is looked for then.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from containers import CGROUP_ROOT, Bundle, Container, Pyoci

MIB = 1 << 20
V2 = (CGROUP_ROOT / "cgroup.controllers").exists()
UNLIMITED_V1 = "9223372036854771712"

#: Files, of which the first that is there counts, and their content.
Seen = tuple[tuple[str, str], ...]


class Limit:
    """`v1` and `v2` are what `resources` sets there, none where it must be refused; `pointer` what is refused then."""

    __slots__ = ("controllers", "pointer", "resources", "v1", "v2")

    def __init__(self, controllers: str, pointer: str, resources: dict[str, Any], v1: Seen, v2: Seen) -> None:
        self.controllers = controllers.split()
        self.pointer = "/linux/resources/" + pointer
        self.resources = resources
        self.v1 = v1
        self.v2 = v2


def one(file: str, content: object) -> Seen:
    return ((file, str(content)),)


def memory(pointer: str, properties: dict[str, Any], v1: Seen, v2: Seen) -> Limit:
    return Limit("memory", "memory/" + pointer, {"memory": properties}, v1, v2)


def cpu(pointer: str, properties: dict[str, Any], v1: Seen, v2: Seen) -> Limit:
    return Limit("cpu", "cpu/" + pointer, {"cpu": properties}, v1, v2)


LIMITS = {
    "limit": memory("limit", {"limit": 64 * MIB}, one("memory.limit_in_bytes", 64 * MIB), one("memory.max", 64 * MIB)),
    "no limit": memory("limit", {"limit": -1}, one("memory.limit_in_bytes", UNLIMITED_V1), one("memory.max", "max")),
    "no limit is no limit of swap": memory(
        "limit", {"limit": -1}, one("memory.memsw.limit_in_bytes", UNLIMITED_V1), one("memory.swap.max", "max")
    ),
    "reservation": memory(
        "reservation",
        {"reservation": 32 * MIB},
        one("memory.soft_limit_in_bytes", 32 * MIB),
        one("memory.low", 32 * MIB),
    ),
    "swap": memory(
        "swap",
        {"limit": 64 * MIB, "swap": 96 * MIB},
        one("memory.memsw.limit_in_bytes", 96 * MIB),
        one("memory.swap.max", 32 * MIB),
    ),
    "no swap": memory(
        "swap",
        {"limit": 64 * MIB, "swap": 64 * MIB},
        one("memory.memsw.limit_in_bytes", 64 * MIB),
        one("memory.swap.max", 0),
    ),
    "no limit of swap": memory(
        "swap",
        {"limit": 64 * MIB, "swap": -1},
        one("memory.memsw.limit_in_bytes", UNLIMITED_V1),
        one("memory.swap.max", "max"),
    ),
    "swappiness": memory("swappiness", {"swappiness": 10}, one("memory.swappiness", 10), ()),
    "disableOOMKiller": memory(
        "disableOOMKiller", {"disableOOMKiller": True}, one("memory.oom_control", "oom_kill_disable 1*"), ()
    ),
    "useHierarchy": memory(
        "useHierarchy", {"useHierarchy": True}, one("memory.use_hierarchy", 1), one("memory.max", "max")
    ),
    "checkBeforeUpdate": memory(
        "limit",
        {"limit": 64 * MIB, "checkBeforeUpdate": True},
        one("memory.limit_in_bytes", 64 * MIB),
        one("memory.max", 64 * MIB),
    ),
    "kernelTCP": memory("kernelTCP", {"kernelTCP": 16 * MIB}, one("memory.kmem.tcp.limit_in_bytes", 16 * MIB), ()),
    "no kernel limits": memory(
        "kernel",
        {"limit": 64 * MIB, "kernel": -1, "kernelTCP": -1},
        one("memory.limit_in_bytes", 64 * MIB),
        one("memory.max", 64 * MIB),
    ),
    "shares": cpu("shares", {"shares": 512}, one("cpu.shares", 512), one("cpu.weight", 59)),
    "least shares": cpu("shares", {"shares": 2}, one("cpu.shares", 2), one("cpu.weight", 1)),
    "most shares": cpu("shares", {"shares": 262144}, one("cpu.shares", 262144), one("cpu.weight", 10000)),
    "quota": cpu(
        "quota", {"quota": 20000, "period": 50000}, one("cpu.cfs_quota_us", 20000), one("cpu.max", "20000 50000")
    ),
    "no quota": cpu("quota", {"quota": -1}, one("cpu.cfs_quota_us", -1), one("cpu.max", "max 100000")),
    "period": cpu("period", {"period": 50000}, one("cpu.cfs_period_us", 50000), one("cpu.max", "max 50000")),
    "burst": cpu(
        "burst", {"quota": 20000, "burst": 10000}, one("cpu.cfs_burst_us", 10000), one("cpu.max.burst", 10000)
    ),
    "idle": cpu("idle", {"idle": 1}, one("cpu.idle", 1), one("cpu.idle", 1)),
    "not idle": cpu("idle", {"idle": 0, "shares": 512}, one("cpu.shares", 512), one("cpu.weight", 59)),
    "realtimeRuntime": cpu("realtime*", {"realtimeRuntime": 1000}, one("cpu.rt_runtime_us", 1000), ()),
    "realtimePeriod": cpu("realtime*", {"realtimePeriod": 500000}, one("cpu.rt_period_us", 500000), ()),
    "cpus": Limit("cpuset", "cpu/cpus", {"cpu": {"cpus": "0"}}, one("cpuset.cpus", 0), one("cpuset.cpus", 0)),
    "mems": Limit("cpuset", "cpu/mems", {"cpu": {"mems": "0"}}, one("cpuset.mems", 0), one("cpuset.mems", 0)),
    "pids": Limit("pids", "pids/limit", {"pids": {"limit": 7}}, one("pids.max", 7), one("pids.max", 7)),
    "no pids limit": Limit(
        "pids", "pids/limit", {"pids": {"limit": -1}}, one("pids.max", "max"), one("pids.max", "max")
    ),
    "pids limit 0": Limit("pids", "pids/limit", {"pids": {"limit": 0}}, one("pids.max", 1), one("pids.max", 1)),
    "weight": Limit(
        "blkio io",
        "blockIO/weight",
        {"blockIO": {"weight": 200}},
        (("blkio.weight", "200"), ("blkio.bfq.weight", "200")),
        (("io.bfq.weight", "default 200"), ("io.weight", "default 1920")),
    ),
    "leafWeight": Limit(
        "blkio io", "blockIO/leafWeight", {"blockIO": {"leafWeight": 300}}, one("blkio.leaf_weight", 300), ()
    ),
    "hugepageLimits": Limit(
        "hugetlb",
        "hugepageLimits/0",
        {"hugepageLimits": [{"pageSize": "2MB", "limit": 4 * MIB}]},
        one("hugetlb.2MB.limit_in_bytes", 4 * MIB),
        one("hugetlb.2MB.max", 4 * MIB),
    ),
    "hugepageLimits of reservations": Limit(
        "hugetlb",
        "hugepageLimits/0",
        {"hugepageLimits": [{"pageSize": "2MB", "limit": 4 * MIB}]},
        one("hugetlb.2MB.rsvd.limit_in_bytes", 4 * MIB),
        one("hugetlb.2MB.rsvd.max", 4 * MIB),
    ),
    "classID": Limit(
        "net_cls", "network/classID", {"network": {"classID": 0x100001}}, one("net_cls.classid", 1048577), ()
    ),
    "priorities": Limit(
        "net_prio",
        "network/priorities",
        {"network": {"priorities": [{"name": "lo", "priority": 5}]}},
        one("net_prio.ifpriomap", "*lo 5*"),
        (),
    ),
    "unified": Limit("memory", "unified", {"unified": {"memory.high": "33554432"}}, (), one("memory.high", 33554432)),
    "unified over a property": Limit(
        "memory",
        "unified",
        {"memory": {"limit": 64 * MIB}, "unified": {"memory.max": "33554432"}},
        (),
        one("memory.max", 33554432),
    ),
    "unified of the core": Limit("", "unified", {"unified": {"cgroup.max.depth": "3"}}, (), one("cgroup.max.depth", 3)),
}


def in_v2(controllers: list[str]) -> bool:
    """Whether the v2 tree has one of them: the host has no other, or it has left it to the tree beside v1."""
    if V2:
        return True
    tree = CGROUP_ROOT / "unified/cgroup.controllers"
    there = tree.read_text().split() if tree.exists() else []
    return any(name in there and not os.path.ismount(CGROUP_ROOT / name) for name in controllers)


def directory_of(container: Container, controllers: list[str]) -> Path | None:
    """Where the container itself sees its cgroup; where we do if a hybrid host has the controller in the v2 tree."""
    inside = Path(f"/proc/{container.pid}/root/sys/fs/cgroup")
    if V2:
        return inside
    if in_v2(controllers):
        lines = Path(f"/proc/{container.pid}/cgroup").read_text().splitlines()
        own = next(line[3:] for line in lines if line.startswith("0::"))
        return CGROUP_ROOT / "unified" / own[1:]
    return next((inside / name for name in controllers if (inside / name).is_dir()), None)


def look(container: Container, controllers: list[str], wanted: Seen) -> tuple[str, str]:
    """What the first of the files that is there has to hold, and holds; '' twice when none is there."""
    directory = directory_of(container, controllers)
    for file, content in wanted:
        if directory is not None and (directory / file).exists():
            return content, (directory / file).read_text().strip()
    return "", ""


def matches(content: str, found: str) -> bool:
    bare = content.strip("*")
    if content.startswith("*"):
        return bare in found
    return found.startswith(bare) if content.endswith("*") else found == bare


@pytest.fixture
def looking(bundle: Bundle) -> Bundle:
    """It sees its cgroups, and sleeps."""
    bundle.namespace("cgroup").mount("/sys/fs/cgroup", "cgroup", "cgroup", ["nosuid", "noexec", "nodev", "ro"])
    return bundle.args("sleep", "100")


def refused(bundle: Bundle, pyoci: Pyoci) -> str:
    done = pyoci.run(bundle, check=False)
    assert done.code == 1
    assert done.err.count("\n") == 1
    return done.err


@pytest.mark.parametrize("which", LIMITS)
def test_property(which: str, looking: Bundle, pyoci: Pyoci) -> None:
    limit = LIMITS[which]
    unified = "unified" in limit.resources
    wanted = limit.v2 if V2 or (in_v2(limit.controllers) and not unified) else limit.v1
    looking.linux["resources"] = limit.resources
    looking.save()
    id = pyoci.new_id()
    done = pyoci("create", "--bundle", str(looking.path), id, check=False)
    if done.code == 0:
        container = Container(pyoci, id, looking, looking.path / "none")
        content, found = look(container, limit.controllers, wanted)
        assert content, "created, but it is not to be seen"
        assert matches(content, found), found
        return
    assert done.err.count("\n") == 1
    assert limit.pointer.rstrip("*") in done.err
    if wanted:  # then this machine must be without
        assert "which is not available" in done.err or "this kernel has no" in done.err
        del looking.linux["resources"]
        assert look(pyoci.run_detached(looking), limit.controllers, wanted) == ("", "")


@pytest.fixture
def disk(directory: Path) -> Iterator[str]:
    """MAJOR:MINOR of a block device whose scheduler, if possible, weighs."""
    image = directory / "disk"
    image.write_bytes(bytes(4 * MIB))
    attach = ["losetup", "--find", "--show", str(image)]
    device = Path(subprocess.run(attach, check=True, capture_output=True, text=True).stdout.strip()).name
    scheduler = Path(f"/sys/block/{device}/queue/scheduler")
    if "bfq" in scheduler.read_text():
        scheduler.write_text("bfq")
    yield Path(f"/sys/block/{device}/dev").read_text().strip()
    subprocess.run(["losetup", "--detach", f"/dev/{device}"], check=True)


def weighs(disk: str) -> bool:
    """Whether the device has the one scheduler that weighs, without which the kernel takes no weight for it."""
    return "[bfq]" in Path(f"/sys/dev/block/{disk}/queue/scheduler").read_text()


THROTTLES = {
    "throttleReadBpsDevice": ("blkio.throttle.read_bps_device", "rbps"),
    "throttleWriteBpsDevice": ("blkio.throttle.write_bps_device", "wbps"),
    "throttleReadIOPSDevice": ("blkio.throttle.read_iops_device", "riops"),
    "throttleWriteIOPSDevice": ("blkio.throttle.write_iops_device", "wiops"),
}


@pytest.mark.parametrize("name", THROTTLES)
def test_throttles(name: str, looking: Bundle, pyoci: Pyoci, disk: str) -> None:
    major, minor = map(int, disk.split(":"))
    looking.linux["resources"] = {"blockIO": {name: [{"major": major, "minor": minor, "rate": 1048576}]}}
    v1, key = THROTTLES[name]
    limits = {"rbps": "max", "wbps": "max", "riops": "max", "wiops": "max", key: "1048576"}
    shown = " ".join(f"{name}={value}" for name, value in limits.items())
    wanted = one("io.max", f"{disk} {shown}") if V2 else one(v1, f"{disk} 1048576")
    content, found = look(pyoci.run_detached(looking), ["blkio", "io"], wanted)
    assert found == content


def test_weight_of_a_device(looking: Bundle, pyoci: Pyoci, disk: str) -> None:
    major, minor = map(int, disk.split(":"))
    looking.linux["resources"] = {"blockIO": {"weightDevice": [{"major": major, "minor": minor, "weight": 300}]}}
    if not weighs(disk):
        assert "/linux/resources/blockIO/weightDevice/0/weight" in refused(looking, pyoci)
        return
    v1 = (("blkio.weight_device", f"*{disk} 300*"), ("blkio.bfq.weight_device", f"*{disk} 300*"))
    content, found = look(pyoci.run_detached(looking), ["blkio", "io"], one("io.bfq.weight", v1[1][1]) if V2 else v1)
    assert matches(content, found), found


def test_leaf_weight_of_a_device(looking: Bundle, pyoci: Pyoci, disk: str) -> None:
    """Gone with the scheduler CFQ in Linux 5.0, and v2 never had it."""
    major, minor = map(int, disk.split(":"))
    looking.linux["resources"] = {"blockIO": {"weightDevice": [{"major": major, "minor": minor, "leafWeight": 300}]}}
    assert "/linux/resources/blockIO/weightDevice/0/leafWeight" in refused(looking, pyoci)


REFUSED = {
    "a device without rdma": ({"rdma": {"mlx5_1": {"hcaHandles": 3, "hcaObjects": 10000}}}, "rdma/mlx5_1"),
    "a size without pages": ({"hugepageLimits": [{"pageSize": "3MB", "limit": 3 * MIB}]}, "hugepageLimits/0"),
    "a CPU that is not there": ({"cpu": {"cpus": "999"}}, "cpu/cpus"),
    "a node that is not there": ({"cpu": {"mems": "99"}}, "cpu/mems"),
    "a burst above the quota": ({"cpu": {"quota": 10000, "burst": 20000}}, "cpu/"),
    "a quota too small": ({"cpu": {"quota": 10, "period": 100000}}, "cpu/quota"),
    "a period too long": ({"cpu": {"period": 2000000}}, "cpu/period"),
    "swap below memory": ({"memory": {"limit": 64 * MIB, "swap": 32 * MIB}}, "memory/swap"),
    "a controller that is none": ({"unified": {"nothing.max": "1"}}, "unified"),
    "a path that escapes": ({"unified": {"../memory.max": "1"}}, "unified"),
    "a path below": ({"unified": {"below/memory.max": "1"}}, "unified"),
    "a file without a controller": ({"unified": {"tasks": "1"}}, "unified"),
    "a file that is not there": ({"unified": {"memory.nothing": "1"}}, "unified"),
    "a value that is none": ({"unified": {"cgroup.max.depth": "deep"}}, "unified"),
    "kernel memory": ({"memory": {"kernel": 64 * MIB}}, "memory/kernel"),
    "a hierarchy that is flat": ({"memory": {"useHierarchy": False}}, "memory/useHierarchy"),
}


@pytest.mark.parametrize("which", REFUSED)
def test_what_is_refused(which: str, bundle: Bundle, pyoci: Pyoci) -> None:
    """And that nothing is left of it, which the fixture sees to."""
    resources, pointer = REFUSED[which]
    bundle.linux["resources"] = resources
    assert f"/linux/resources/{pointer}" in refused(bundle, pyoci)


def test_any_file_of_the_v2_tree(looking: Bundle, pyoci_v2: Pyoci) -> None:
    """Several of one key, a line each, too."""
    files = {"cgroup.max.depth": "3", "cgroup.max.descendants": "4\n5", "cgroup.pressure": "0"}
    looking.linux["resources"] = {"unified": files}
    out = pyoci_v2.run(
        looking.shell("cd /sys/fs/cgroup; cat cgroup.max.depth cgroup.max.descendants cgroup.pressure")
    ).out
    assert out.split() == ["3", "5", "0"]


def test_everything_together(looking: Bundle, pyoci: Pyoci) -> None:
    """What an engine may ask for at once; each write finds the others' there."""
    looking.linux["resources"] = {
        "memory": {"limit": 64 * MIB, "swap": 128 * MIB, "reservation": 32 * MIB, "disableOOMKiller": False},
        "cpu": {"shares": 512, "quota": 30000, "period": 100000, "burst": 1000, "cpus": "0", "mems": "0", "idle": 0},
        "pids": {"limit": 50},
    }
    container = pyoci.run_detached(looking)
    for controller, v1, v2 in (
        ("memory", one("memory.memsw.limit_in_bytes", 128 * MIB), one("memory.swap.max", 64 * MIB)),
        ("cpu", one("cpu.cfs_quota_us", 30000), one("cpu.max", "30000 100000")),
        ("cpuset", one("cpuset.cpus", 0), one("cpuset.cpus", 0)),
        ("pids", one("pids.max", 50), one("pids.max", 50)),
    ):
        content, found = look(container, [controller], v2 if in_v2([controller]) else v1)
        assert found == content


def test_all_controllers_are_joined(looking: Bundle, pyoci: Pyoci) -> None:
    """Of every hierarchy and of the tree it is a cgroup of its own that the container sees as the root."""
    container = pyoci.run_detached(looking)
    host = Path(f"/proc/{container.pid}/cgroup").read_text()
    paths = {line.split(":", 2)[1]: line.split(":", 2)[2] for line in host.splitlines()}
    assert all(path.endswith("/" + container.id) for path in paths.values()), host
    inside = container.exec("cat", "/proc/1/cgroup").out
    assert {line.split(":", 2)[2] for line in inside.splitlines()} == {"/"}
    if V2:
        assert "1" in container.exec("cat", "/sys/fs/cgroup/cgroup.procs").out.split()
        return
    for controllers in filter(None, paths):
        for controller in controllers.removeprefix("name=").split(","):
            assert "1" in container.exec("cat", f"/sys/fs/cgroup/{controller}/cgroup.procs").out.split(), controller
