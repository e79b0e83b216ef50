"""`update`: what it changes, seen on the host, from inside and in the record; and that it changes all or nothing."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from containers import CGROUP_ROOT, Bundle, Container, Pyoci, wait_for
from update_support import LIMIT, MIB, SHARES, SWAP, recorded_config, recorded_limits, update

pytestmark = pytest.mark.skipif(not os.path.ismount(CGROUP_ROOT / "memory"), reason="reads files of cgroup v1")


class Held:
    """The control files of a container."""

    __slots__ = ("_container", "_directories")

    def __init__(self, container: Container) -> None:
        self._container = container
        self._directories: dict[str, Path] = {}
        for line in Path(f"/proc/{container.pid}/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            for controller in controllers.split(","):
                self._directories[controller] = CGROUP_ROOT / controller / path[1:]

    def __getitem__(self, file: str) -> str:
        return (self._directories[file.split(".")[0]] / file).read_text().rstrip("\n")

    def everything(self) -> dict[str, str]:
        """All limits, and the recorded configuration."""
        found = {"config.json": recorded_config(self._container)}
        for controller in ("blkio", "cpu", "cpuset", "memory", "pids"):
            for path in self._directories[controller].iterdir():
                if path.name.endswith(NOT_LIMITS) or not path.is_file():
                    continue
                found[path.name] = path.read_text()
        return found

    @property
    def recorded(self) -> dict[str, Any]:
        return recorded_limits(self._container)


#: Endings of files that change by themselves, or cannot be read.
NOT_LIMITS = (
    "cgroup.procs",
    "events",
    "events.local",
    "failcnt",
    "force_empty",
    "effective_cpus",
    "effective_mems",
    "event_control",
    "max_usage_in_bytes",
    "numa_stat",
    "peak",
    "pids.current",
    "pressure_level",
    "ram_in_bytes",
    "recursive",
    "reset_stats",
    "service_bytes",
    "serviced",
    "slabinfo",
    "stat",
    "stat.local",
    "tasks",
    "usage_in_bytes",
)


@pytest.fixture
def held(running: Container) -> Held:
    return Held(running)


FLAGS = [
    ("--cpu-share", "200", "cpu.shares", "200"),
    ("--cpu-period", "90000", "cpu.cfs_period_us", "90000"),
    ("--cpu-quota", "60000", "cpu.cfs_quota_us", "60000"),
    ("--cpu-quota", "-1", "cpu.cfs_quota_us", "-1"),
    ("--cpu-burst", "30000", "cpu.cfs_burst_us", "30000"),
    ("--cpu-idle", "1", "cpu.idle", "1"),
    ("--cpu-rt-period", "500000", "cpu.rt_period_us", "500000"),
    ("--cpu-rt-runtime", "1000", "cpu.rt_runtime_us", "1000"),
    ("--cpuset-cpus", "0", "cpuset.cpus", "0"),
    ("--cpuset-mems", "0", "cpuset.mems", "0"),
    ("--memory", str(40 * MIB), "memory.limit_in_bytes", str(40 * MIB)),
    ("--memory", "40m", "memory.limit_in_bytes", str(40 * MIB)),
    ("--memory", "0.03125GiB", "memory.limit_in_bytes", str(32 * MIB)),
    ("--memory-reservation", "16MB", "memory.soft_limit_in_bytes", str(16 * MIB)),
    ("--memory-swap", str(64 * MIB), "memory.memsw.limit_in_bytes", str(64 * MIB)),
    ("--pids-limit", "10", "pids.max", "10"),
    ("--pids-limit", "-1", "pids.max", "max"),
    ("--pids-limit", "0", "pids.max", "1"),
    ("--blkio-weight", "200", "blkio.bfq.weight", "200"),
]


#: An idle cgroup has other shares; the default weight is listed with those of devices.
SHOWN_TWICE = {"cpu.idle": ["cpu.shares"], "blkio.bfq.weight": ["blkio.bfq.weight_device"]}


@pytest.mark.parametrize(("option", "value", "file", "text"), FLAGS)
def test_an_option_changes_its_limit_and_no_other(
    running: Container, held: Held, option: str, value: str, file: str, text: str
) -> None:
    before = held.everything()
    assert update(running, option, value) == ""
    assert held[file] == text
    after = held.everything()
    changed = {name for name in after if after[name] != before[name]}
    assert changed <= {file, "config.json", *SHOWN_TWICE.get(file, [])}
    assert "config.json" in changed


def test_many_options_at_once(running: Container, held: Held) -> None:
    update(running, "--cpu-period", "90000", "--cpu-quota=60000", "--cpu-share=200", "--memory=40m", "--pids-limit=10")
    assert [held[f"cpu.{name}"] for name in ("cfs_period_us", "cfs_quota_us", "shares")] == ["90000", "60000", "200"]
    assert held["memory.limit_in_bytes"] == str(40 * MIB)
    assert held["pids.max"] == "10"
    assert held.recorded == {
        "cpu": {"shares": 200, "quota": 60000, "period": 90000},
        "memory": {"limit": 40 * MIB, "swap": SWAP, "reservation": 24 * MIB},
        "pids": {"limit": 10},
    }
    update(running, "--pids-limit", "12")  # adds to what the first one recorded
    assert held.recorded["pids"] == {"limit": 12}
    assert held.recorded["cpu"] == {"shares": 200, "quota": 60000, "period": 90000}


def test_what_changed_is_seen_inside(bundle: Bundle, pyoci: Pyoci) -> None:
    container = pyoci.run_detached(bundle.mount("/sys/fs/cgroup", "cgroup", "cgroup", ["ro"]).args("sleep", "100"))
    update(container, "--memory", "64m", "--pids-limit", "7", "--cpuset-cpus", "1")
    inside = container.exec("cat", "/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/pids/pids.max")
    assert inside.out.split() == [str(64 * MIB), "7"]
    assert container.exec("nproc").out == "1\n"
    assert "Cpus_allowed_list:\t1\n" in Path(f"/proc/{container.pid}/status").read_text()


def test_a_limit_of_processes_holds_at_once(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.process["env"] = ["PATH=/bin"]
    container = pyoci.run_detached(bundle.shell("while :; do sleep 0.02 || echo full; done"))
    update(container, "--pids-limit", "1")
    container.expect("can't fork")


def test_a_limit_of_memory_kills_who_exceeds_it(bundle: Bundle, pyoci: Pyoci) -> None:
    script = "until [ -e /tmp/go ]; do sleep 0.02; done; dd if=/dev/zero of=/dev/null bs=60M count=1; echo got $?"
    container = pyoci.run_detached(bundle.shell(script.replace("count=1;", "count=1 ||")))
    update(container, "--memory", "20m", "--memory-swap", "20m")
    (bundle.rootfs / "tmp/go").touch()
    container.expect("got 137")


@pytest.mark.parametrize("source", ["-", "file", "--resources=file"])
def test_resources_from_a_file_or_standard_input(
    running: Container, held: Held, pyoci: Pyoci, directory: Path, source: str
) -> None:
    text = json.dumps(
        {"memory": {"limit": 40 * MIB, "swap": 0}, "pids": {"limit": 9}, "cpu": {"cpus": "0", "shares": 0}}
    )
    (directory / "file").write_text(text)
    options = [source] if source.startswith("--") else ["-r", source]
    options += ["--cpu-share", "999"]  # ignored beside a file
    pyoci("update", *options, running.id, input=text, cwd=directory)
    assert held["memory.limit_in_bytes"] == str(40 * MIB)
    assert held["memory.memsw.limit_in_bytes"] == str(SWAP)
    assert (held["pids.max"], held["cpuset.cpus"], held["cpu.shares"]) == ("9", "0", str(SHARES))
    assert held.recorded["memory"] == {"limit": 40 * MIB, "swap": SWAP, "reservation": 24 * MIB}
    assert held.recorded["cpu"] == {"shares": SHARES, "quota": 50000, "period": 100000, "cpus": "0"}


def test_throttles_by_device(running: Container, held: Held) -> None:
    device = _block_device()
    name = f"{device['major']}:{device['minor']}"
    update(running, resources={"blockIO": {"throttleReadBpsDevice": [device | {"rate": MIB}]}})
    assert held["blkio.throttle.read_bps_device"] == f"{name} {MIB}"
    update(running, resources={"blockIO": {"throttleReadBpsDevice": [device | {"rate": 2 * MIB}]}})
    assert held["blkio.throttle.read_bps_device"] == f"{name} {2 * MIB}"
    assert held.recorded["blockIO"] == {"throttleReadBpsDevice": [device | {"rate": 2 * MIB}]}
    before = held.everything()
    refused = {
        "blockIO": {
            "throttleReadBpsDevice": [device | {"rate": 5}],
            "throttleWriteBpsDevice": [device | {"rate": 6}, {"major": 4000, "minor": 1, "rate": 7}],
        }
    }
    error = update(running, resources=refused, check=False)
    assert "/blockIO/throttleWriteBpsDevice/1" in error
    assert held.everything() == before


@pytest.mark.parametrize(
    ("limit", "swap"),
    [(60 * MIB, 80 * MIB), (8 * MIB, 10 * MIB), (60 * MIB, -1), (40 * MIB, 44 * MIB), (SWAP, SWAP)],
)
def test_memory_and_swap_move_together(running: Container, held: Held, limit: int, swap: int) -> None:
    unlimited = (CGROUP_ROOT / "memory/memory.memsw.limit_in_bytes").read_text().strip()
    update(running, "--memory", str(limit), "--memory-swap", str(swap))
    assert held["memory.limit_in_bytes"] == str(limit)
    assert held["memory.memsw.limit_in_bytes"] == (unlimited if swap < 0 else str(swap))
    assert held.recorded["memory"] == {"limit": limit, "swap": swap, "reservation": 24 * MIB}


def test_no_limit_of_memory_is_none_of_swap(running: Container, held: Held) -> None:
    unlimited = (CGROUP_ROOT / "memory/memory.memsw.limit_in_bytes").read_text().strip()
    update(running, "--memory", "-1")
    assert held["memory.limit_in_bytes"] == held["memory.memsw.limit_in_bytes"] == unlimited
    assert held.recorded["memory"] == {"limit": -1, "reservation": 24 * MIB}


def test_idle_and_back(running: Container, held: Held) -> None:
    for idle in ("1", "0", "1"):
        update(running, "--cpu-idle", idle)
        assert held["cpu.idle"] == idle
        assert held.recorded["cpu"] == {"quota": 50000, "period": 100000, "idle": int(idle)}
    assert "/cpu/shares" in update(running, "--cpu-share", "300", check=False)
    update(running, "--cpu-share", "300", "--cpu-idle", "0")
    assert (held["cpu.shares"], held["cpu.idle"]) == ("300", "0")


# --- all or nothing


REFUSED: list[tuple[dict[str, Any], list[str]]] = [
    ({"pids": {"limit": 5000000}}, ["/pids/limit", "'5000000'"]),
    ({"memory": {"swap": 16 * MIB}}, ["/memory/swap", str(16 * MIB)]),
    ({"memory": {"limit": 4096, "swap": 4096}}, ["/memory/limit", "'4096'", "busy"]),
    ({"memory": {"limit": 20 * MIB, "swap": 80 * MIB, "reservation": 1 << 63}}, []),
    ({"cpu": {"quota": 999}}, ["/cpu/quota", "'999'"]),
    ({"cpu": {"period": 99}}, ["/cpu/period", "'99'"]),
    ({"cpu": {"shares": 300000}}, ["/cpu/shares", "300000"]),
    ({"cpu": {"cpus": "0-4000"}}, ["/cpu/cpus", "'0-4000'"]),
    ({"cpu": {"mems": "77"}}, ["/cpu/mems", "'77'"]),
    ({"cpu": {"realtimeRuntime": 2000000}}, ["/cpu/realtimeRuntime", "'2000000'"]),
    ({"network": {"classID": 5}}, ["/network/classID", "net_cls"]),
    ({"unified": {"memory.high": "1"}}, ["/unified", "cgroup v1"]),
]
#: Written before or after what is refused.
HARMLESS: list[dict[str, Any]] = [
    {},
    {"cpu": {"idle": 1}, "memory": {"reservation": 8 * MIB, "swappiness": 7}, "blockIO": {"weight": 300}},
    {"cpu": {"shares": 777, "burst": 20000, "quota": 70000, "period": 80000, "cpus": "1"}, "pids": {"limit": 11}},
    {"memory": {"disableOOMKiller": True, "limit": 70 * MIB, "swap": 90 * MIB}},
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
            assert error.count("\n") == 1
        assert held.everything() == before, f"{both} changed something"
    assert running.status == "running"


def test_memory_above_memory_and_swap_is_refused(running: Container, held: Held) -> None:
    before = held.everything()
    error = update(running, "--cpu-share", "7", "--memory", "64m", check=False)
    assert f"'{64 * MIB}' (memory cannot exceed memory and swap together) (/memory/limit)" in error
    assert held.everything() == before


def test_a_refusal_while_idle_leaves_it_idle(running: Container, held: Held) -> None:
    update(running, "--cpu-idle", "1")
    before = held.everything()
    update(running, "--cpu-idle", "0", "--cpu-share", "500", "--pids-limit", "5000000", check=False)
    assert held.everything() == before


def test_what_is_in_use_is_not_taken_away(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.linux["resources"] = {"memory": {"limit": 64 * MIB, "swap": 64 * MIB}}
    bundle.mount("/mnt", "tmpfs", "tmpfs")
    container = pyoci.run_detached(bundle.shell("dd if=/dev/zero of=/mnt/big bs=1M count=20; echo done; sleep 100"))
    container.expect("done")
    held = Held(container)
    before = held.everything()
    error = update(container, "--pids-limit", "5", "--memory", "10m", "--cpu-share", "300", check=False)
    assert "/memory/limit" in error
    assert str(10 * MIB) in error
    assert "current usage" in error
    assert held.everything() == before


# --- the command line, and what is asked for


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--no-such-flag", "1"], "flag provided but not defined: -no-such-flag"),
        (["--memory"], "requires exactly 1 argument(s), got 0"),
        (["--memory", "lots"], "invalid value for memory: 'lots'"),
        (["--memory", "1.2.3"], "invalid value for memory"),
        (["--memory", "-2"], "invalid value for memory"),
        (["--memory", "10q"], "invalid value for memory"),
        (["--memory", "9999999p"], "out of range"),
        (["--cpu-share", "-1"], "invalid value for cpu-share: '-1'"),
        (["--cpu-quota", "1e3"], "invalid value for cpu-quota: '1e3'"),
        (["--cpu-period", "18446744073709551616"], "invalid value for cpu-period"),
        (["--pids-limit", "many"], "invalid value for pids-limit"),
        (["--blkio-weight", "9"], "/blockIO/weight: 9 must be between 10 and 1000"),
        (["--blkio-weight", "1001"], "/blockIO/weight: 1001 must be between 10 and 1000"),
        (["--cpu-idle", "2"], "/cpu/idle: 2 must be 0 or 1"),
        (["--memory", "20m", "--memory-swap", "10m"], f"/memory/swap: {10 * MIB} is memory and swap together"),
        (["--resources", "/no/such/file"], "cannot read /no/such/file: No such file or directory"),
    ],
)
def test_bad_options(running: Container, held: Held, options: list[str], words: str) -> None:
    before = held.everything()
    assert words in update(running, *options, check=False)
    assert held.everything() == before


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("{", "not valid JSON"),
        ("[]", "must be a JSON object"),
        ('{"memory": {"limit": 1000000}} x', "more text"),
        ('{"memory": {"limit": "1000000"}}', "/memory/limit"),
        ('{"memory": {"limit": -5}}', "/memory/limit"),
        ('{"cpu": {"shares": 10, "idle": 7}}', "/cpu/idle"),
        ('{"pids": {"limit": 1.5}}', "/pids/limit"),
        ('{"memory": {"limit": 2000000, "swap": 1000000}}', "/memory/swap"),
        ('{"blockIO": {"weight": 5}}', "/blockIO/weight"),
    ],
)
def test_bad_resources(running: Container, held: Held, text: str, words: str) -> None:
    before = held.everything()
    assert words in update(running, resources=text, check=False)
    assert held.everything() == before


def test_kernel_memory_is_ignored_with_a_warning(running: Container, held: Held) -> None:
    assert "/memory/kernel" in update(
        running, "--kernel-memory", "10m", "--kernel-memory-tcp", "1", "--pids-limit", "8"
    )
    assert "/memory/kernelTCP" in update(running, resources={"memory": {"kernelTCP": MIB}})
    assert held["pids.max"] == "8"
    assert held.recorded["memory"] == {"limit": LIMIT, "swap": SWAP, "reservation": 24 * MIB}


def test_devices_are_left_alone(running: Container, held: Held) -> None:
    before = (held._directories["devices"] / "devices.list").read_text()
    update(running, resources={"devices": [{"allow": True}], "pids": {"limit": 8}})
    assert held["pids.max"] == "8"
    assert (held._directories["devices"] / "devices.list").read_text() == before


@pytest.mark.parametrize("option", ["--l3-cache-schema=L3:0=f", "--mem-bw-schema=MB:0=50"])
def test_schemata_need_a_group(running: Container, held: Held, option: str) -> None:
    before = held.everything()
    error = update(running, option, "--pids-limit", "8", check=False)
    assert "updating a non-existent Intel RDT configuration is not supported" in error
    assert held.everything() == before


def test_a_record_that_cannot_be_written_leaves_all_as_it_was(running: Container, held: Held) -> None:
    before = held.everything()
    obstacle = running.pyoci.root / running.id / "config.json~"
    obstacle.mkdir()
    error = update(running, "--pids-limit", "8", "--memory", "40m", "--memory-swap", "60m", check=False)
    obstacle.rmdir()
    assert "cannot write" in error
    assert held.everything() == before


def test_nothing_to_update_is_fine(running: Container, held: Held) -> None:
    before = held.everything()
    update(running)
    update(running, resources={})
    assert held.everything() == before


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
    assert container.status == "running"


def test_stopped(running: Container) -> None:
    running.kill()
    running.wait()
    assert "container not running: stopped" in update(running, "--pids-limit", "8", check=False)


def test_no_such_container(pyoci: Pyoci) -> None:
    done = pyoci("update", "--pids-limit", "8", "nobody", check=False)
    assert done.code == 1
    assert "container does not exist" in done.err


def test_a_container_without_cgroups(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.args("sleep", "100").save()
    id = pyoci.new_id()
    create = ["--rootless=true", *pyoci.command("run", "-d", "--bundle", str(bundle.path), id)[1:]]
    script = 'umount -R /sys/fs/cgroup && exec "$@" >/dev/null 2>&1 </dev/null'
    subprocess.run(["unshare", "-m", "sh", "-c", script, "sh", pyoci.executable, *create], check=True, timeout=120)
    wait_for(lambda: json.loads(pyoci("state", id).out)["status"] == "running")
    done = pyoci("update", "--pids-limit", "8", id, check=False)
    assert done.code == 1
    assert "has no cgroup" in done.err


def test_updates_at_once_lose_nothing(running: Container, held: Held) -> None:
    pyoci = running.pyoci
    commands = [
        ("--memory-reservation", str(12 * MIB)),
        ("--pids-limit", "15"),
        ("--cpu-share", "345"),
        ("--cpu-quota", "34000"),
    ]
    children = [pyoci.spawn("update", *options, running.id, stdin=subprocess.DEVNULL) for options in commands]
    assert [child.wait(timeout=120) for child in children] == [0] * len(children)
    assert held.recorded == {
        "cpu": {"shares": 345, "quota": 34000, "period": 100000},
        "memory": {"limit": LIMIT, "swap": SWAP, "reservation": 12 * MIB},
        "pids": {"limit": 15},
    }


def _block_device() -> dict[str, int]:
    for path in sorted(Path("/sys/block").iterdir()):
        if (path / "queue").is_dir():
            major, minor = (path / "dev").read_text().split(":")
            return {"major": int(major), "minor": int(minor)}
    pytest.skip("no block device on this machine")
