"""`update` with cgroup v2: what it changes, and that it changes all or nothing. For v1 see test_update.py."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from containers import CGROUP_ROOT, Bundle, Container, Pyoci, wait_for
from update_support import MIB, recorded_config, recorded_limits, update

pytestmark = pytest.mark.skipif(
    not (CGROUP_ROOT / "cgroup.controllers").exists(), reason="reads files of cgroup v2; for v1 see test_update.py"
)

#: Parts of names of files that change by themselves, or that cannot be read.
NOT_LIMITS = ("current", "events", "peak", "pressure", "procs", "reclaim", "stat", "threads", "kill", "freeze")


class Held:
    """The control files of a container."""

    __slots__ = ("_container", "_directory")

    def __init__(self, container: Container) -> None:
        self._container = container
        line = Path(f"/proc/{container.pid}/cgroup").read_text().strip()
        self._directory = CGROUP_ROOT / line.removeprefix("0::/")

    def __getitem__(self, file: str) -> str:
        return (self._directory / file).read_text().strip()

    def has(self, file: str) -> bool:
        return (self._directory / file).exists()

    def everything(self) -> dict[str, str]:
        """All limits, and the recorded configuration."""
        found = {"config.json": recorded_config(self._container)}
        for path in self._directory.iterdir():
            if path.is_file() and not any(part in path.name for part in NOT_LIMITS):
                found[path.name] = path.read_text()
        for file in ("cpuset.cpus", "cpuset.mems"):  # the kernel does not let them be emptied again
            if not found[file].strip():
                found[file] = (self._directory.parent / f"{file}.effective").read_text()
        return found

    @property
    def recorded(self) -> dict[str, Any]:
        return recorded_limits(self._container)


@pytest.fixture
def held(running: Container) -> Held:
    return Held(running)


FLAGS = [
    ("--cpu-share", "2", "cpu.weight", "1"),
    ("--cpu-share", "1024", "cpu.weight", "100"),
    ("--cpu-share", "262144", "cpu.weight", "10000"),
    ("--cpu-period", "90000", "cpu.max", "50000 90000"),
    ("--cpu-quota", "60000", "cpu.max", "60000 100000"),
    ("--cpu-quota", "-1", "cpu.max", "max 100000"),
    ("--cpu-burst", "30000", "cpu.max.burst", "30000"),
    ("--cpu-idle", "1", "cpu.idle", "1"),
    ("--cpuset-cpus", "0", "cpuset.cpus", "0"),
    ("--cpuset-mems", "0", "cpuset.mems", "0"),
    ("--memory", "40m", "memory.max", str(40 * MIB)),
    ("--memory", "-1", "memory.max", "max"),
    ("--memory-reservation", "16MB", "memory.low", str(16 * MIB)),
    ("--memory-swap", "64m", "memory.swap.max", str(32 * MIB)),
    ("--memory-swap", "-1", "memory.swap.max", "max"),
    ("--memory-swap", "32m", "memory.swap.max", "0"),
    ("--pids-limit", "10", "pids.max", "10"),
    ("--pids-limit", "-1", "pids.max", "max"),
    ("--pids-limit", "0", "pids.max", "1"),
]
#: Files that go with others: swap is the rest of a sum, an idle cgroup has another weight, effective is what is used.
TOGETHER = {
    "memory.max": {"memory.swap.max"},
    "cpu.weight": {"cpu.weight.nice"},
    "cpu.idle": {"cpu.weight", "cpu.weight.nice"},
    "cpuset.cpus": {"cpuset.cpus.effective"},
    "cpuset.mems": {"cpuset.mems.effective"},
}


@pytest.mark.parametrize(("option", "value", "file", "text"), FLAGS)
def test_an_option_changes_its_limit_and_no_other(
    running: Container, held: Held, option: str, value: str, file: str, text: str
) -> None:
    before = held.everything()
    assert update(running, option, value) == ""
    assert held[file] == text
    after = held.everything()
    changed = {name for name in after if after[name] != before[name]}
    assert changed <= {file, "config.json", *TOGETHER.get(file, ())}
    assert "config.json" in changed


def test_weight_of_io(running: Container, held: Held) -> None:
    if held.has("io.bfq.weight"):
        update(running, "--blkio-weight", "200")
        assert held["io.bfq.weight"].startswith("default 200")
    elif held.has("io.weight"):
        update(running, "--blkio-weight", "200")
        assert held["io.weight"].startswith("default 1920")
    else:
        assert "this kernel has no io.weight" in update(running, "--blkio-weight", "200", check=False)


@pytest.mark.parametrize(
    ("options", "limit", "swap"),
    [
        (["--memory", "40m"], 40, 8),  # together they are still 48
        (["--memory", "60m", "--memory-swap", "80m"], 60, 20),
        (["--memory", "8m", "--memory-swap", "8m"], 8, 0),
        (["--memory-swap", "40m"], 32, 8),
    ],
)
def test_memory_and_swap_are_a_sum(running: Container, held: Held, options: list[str], limit: int, swap: int) -> None:
    update(running, *options)
    assert (held["memory.max"], held["memory.swap.max"]) == (str(limit * MIB), str(swap * MIB))


def test_resources_from_standard_input(running: Container, held: Held) -> None:
    update(running, resources={"memory": {"limit": 40 * MIB}, "pids": {"limit": 9}, "cpu": {"cpus": "0", "shares": 0}})
    assert (held["memory.max"], held["pids.max"], held["cpuset.cpus"]) == (str(40 * MIB), "9", "0")
    assert held["cpu.weight"] == "59"
    assert held.recorded["memory"] == {"limit": 40 * MIB, "swap": 48 * MIB, "reservation": 24 * MIB}


def test_any_file(running: Container, held: Held) -> None:
    update(running, resources={"unified": {"memory.high": str(30 * MIB), "cgroup.max.depth": "2"}})
    assert (held["memory.high"], held["cgroup.max.depth"]) == (str(30 * MIB), "2")
    assert held.recorded["unified"] == {"memory.high": str(30 * MIB), "cgroup.max.depth": "2"}


def test_idle_and_back(running: Container, held: Held) -> None:
    for idle in ("1", "0", "1"):
        update(running, "--cpu-idle", idle)
        assert held["cpu.idle"] == idle
    assert "/cpu/shares" in update(running, "--cpu-share", "300", check=False)
    update(running, "--cpu-share", "1024", "--cpu-idle", "0")
    assert (held["cpu.weight"], held["cpu.idle"]) == ("100", "0")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[str]:
    """MAJOR:MINOR of a block device."""
    (tmp_path / "disk").write_bytes(bytes(MIB))
    attach = ["losetup", "--find", "--show", str(tmp_path / "disk")]
    device = subprocess.run(attach, check=True, capture_output=True, text=True).stdout.strip()
    yield Path(f"/sys/block/{Path(device).name}/dev").read_text().strip()
    subprocess.run(["losetup", "--detach", device], check=True)


def test_throttles_by_device(running: Container, held: Held, disk: str) -> None:
    major, minor = map(int, disk.split(":"))
    device = {"major": major, "minor": minor}
    update(running, resources={"blockIO": {"throttleReadBpsDevice": [device | {"rate": MIB}]}})
    assert held["io.max"] == f"{disk} rbps={MIB} wbps=max riops=max wiops=max"
    update(running, resources={"blockIO": {"throttleWriteIOPSDevice": [device | {"rate": 50}]}})
    assert held["io.max"] == f"{disk} rbps={MIB} wbps=max riops=max wiops=50"
    before = held.everything()
    refused = {
        "throttleReadBpsDevice": [device | {"rate": 5}],
        "throttleWriteBpsDevice": [device | {"rate": 6}, {"major": 4000, "minor": 1, "rate": 7}],
    }
    assert "/blockIO/throttleWriteBpsDevice/1" in update(running, resources={"blockIO": refused}, check=False)
    assert held.everything() == before
    update(running, resources={"blockIO": {"throttleReadBpsDevice": [device | {"rate": 0}]}})
    assert held["io.max"] == f"{disk} rbps=max wbps=max riops=max wiops=50"


# --- all or nothing


REFUSED: list[tuple[dict[str, Any], list[str]]] = [
    ({"pids": {"limit": 5000000}}, ["/pids/limit", "'5000000'"]),
    ({"memory": {"swap": 16 * MIB}}, ["/memory/swap", str(16 * MIB)]),
    ({"memory": {"swappiness": 7}}, ["/memory/swappiness"]),
    ({"memory": {"disableOOMKiller": True}}, ["/memory/disableOOMKiller"]),
    ({"memory": {"limit": 4096, "swap": 4096, "checkBeforeUpdate": True}}, ["/memory/swap", "bytes in use"]),
    ({"cpu": {"quota": 999}}, ["/cpu/quota", "'999 "]),
    ({"cpu": {"period": 99}}, ["/cpu/", " 99'"]),
    ({"cpu": {"cpus": "0-4000"}}, ["/cpu/cpus", "'0-4000'"]),
    ({"cpu": {"mems": "77"}}, ["/cpu/mems", "'77'"]),
    ({"cpu": {"realtimeRuntime": 1000}}, ["/cpu/realtimeRuntime"]),
    ({"network": {"classID": 5}}, ["/network/classID"]),
    ({"blockIO": {"leafWeight": 100}}, ["/blockIO/leafWeight"]),
    ({"unified": {"memory.high": "much"}}, ["/unified/memory.high", "'much'"]),
    ({"unified": {"memory.nothing": "1"}}, ["/unified/memory.nothing", "no memory.nothing"]),
    ({"unified": {"nothing.max": "1"}}, ["/unified/nothing.max", "controller nothing"]),
    ({"unified": {"../memory.max": "1"}}, ["/unified/..~1memory.max"]),
]
#: Written before or after what is refused.
HARMLESS: list[dict[str, Any]] = [
    {},
    {"cpu": {"idle": 1}, "memory": {"reservation": 8 * MIB}},
    {"cpu": {"shares": 777, "burst": 20000, "quota": 70000, "period": 80000, "cpus": "1"}, "pids": {"limit": 11}},
    {"memory": {"limit": 70 * MIB, "swap": 90 * MIB}, "unified": {"memory.low": "4096", "cgroup.max.depth": "7"}},
]


@pytest.mark.parametrize(("refused", "words"), REFUSED, ids=lambda each: json.dumps(each)[:40])
def test_a_refusal_leaves_all_as_it_was(
    running: Container, held: Held, refused: dict[str, Any], words: list[str]
) -> None:
    before = held.everything()
    for harmless in HARMLESS:
        both = {**harmless, **refused}
        for section in harmless.keys() & refused.keys():
            both[section] = {**harmless[section], **refused[section]}
        error = update(running, resources=both, check=False)
        if not harmless:
            assert [word for word in words if word not in error] == []
        assert held.everything() == before, f"{both} changed something"
    assert running.status == "running"


@pytest.fixture
def eating(bundle: Bundle, pyoci: Pyoci) -> Container:
    """It uses 24 MiB that cannot be reclaimed."""
    bundle.linux["resources"] = {"memory": {"limit": 64 * MIB, "swap": 64 * MIB}}
    bundle.mount("/mnt", "tmpfs", "tmpfs")
    bundle.shell("dd if=/dev/zero of=/mnt/big bs=1M count=24 2>&1; echo ready; sleep 100")
    return pyoci.run_detached(bundle).expect("ready")


@pytest.mark.parametrize("memory", [{"limit": 10 * MIB}, {"limit": 20 * MIB, "swap": 20 * MIB}])
def test_what_is_in_use_is_not_taken_away_when_that_is_asked_for(eating: Container, memory: dict[str, int]) -> None:
    held = Held(eating)
    before = held.everything()
    changes = {"memory": {**memory, "checkBeforeUpdate": True}, "pids": {"limit": 9}}
    assert "bytes in use, checkBeforeUpdate is set" in update(eating, resources=changes, check=False)
    assert held.everything() == before
    assert eating.status == "running"
    update(eating, resources={"memory": {"limit": 40 * MIB, "swap": 40 * MIB, "checkBeforeUpdate": True}})
    assert held["memory.max"] == str(40 * MIB)


def test_memory_below_what_is_in_use_ends_the_container(eating: Container) -> None:
    """As with runc: the kernel takes the limit and kills."""
    update(eating, "--memory", "10m", "--memory-swap", "10m")
    eating.wait()


# --- states


def test_created_and_paused(limited: Bundle, pyoci: Pyoci) -> None:
    container = pyoci.create(limited)
    held = Held(container)
    update(container, "--pids-limit", "8")
    assert (held["pids.max"], container.status) == ("8", "created")
    container.start()
    pyoci("pause", container.id)
    update(container, "--pids-limit", "9", "--memory", "40m")
    assert (held["pids.max"], container.status) == ("9", "paused")
    pyoci("resume", container.id)
    wait_for(lambda: container.status == "running")


def test_devices_are_left_alone(bundle: Bundle, pyoci: Pyoci) -> None:
    container = pyoci.run_detached(bundle.mount("/mnt", "tmpfs", "tmpfs").args("sleep", "100"))
    update(container, resources={"devices": [{"allow": True, "access": "rwm"}], "pids": {"limit": 8}})
    mknod = "mknod /mnt/kmsg c 1 11; : < /mnt/kmsg"
    done = container.exec("sh", "-c", mknod, options=["--cap", "CAP_MKNOD", "--cap", "CAP_SYSLOG"], check=False)
    assert "Operation not permitted" in done.err


def test_updates_at_once_lose_nothing(running: Container, held: Held) -> None:
    pyoci = running.pyoci
    commands = [
        ("--memory-reservation", str(12 * MIB)),
        ("--pids-limit", "15"),
        ("--cpu-share", "1024"),
        ("--cpu-quota", "34000"),
    ]
    children = [pyoci.spawn("update", *options, running.id, stdin=subprocess.DEVNULL) for options in commands]
    assert [child.wait(timeout=120) for child in children] == [0] * len(children)
    assert held.recorded == {
        "cpu": {"shares": 1024, "quota": 34000, "period": 100000},
        "memory": {"limit": 32 * MIB, "swap": 48 * MIB, "reservation": 12 * MIB},
        "pids": {"limit": 15},
    }
