"""Limits that a load really meets, inside of a container: killed, throttled, refused, denied."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from containers import CGROUP_ROOT, Bundle, Container, Pyoci, Result, compile_static, wait_for

MIB = 1 << 20
V2 = (CGROUP_ROOT / "cgroup.controllers").exists()
BURN = "while :; do :; done"
EAT = "dd if=/dev/zero of=/dev/null bs=128M count=1"


@pytest.fixture
def looking(bundle: Bundle) -> Bundle:
    """It sees its cgroups."""
    return bundle.namespace("cgroup").mount("/sys/fs/cgroup", "cgroup", "cgroup", ["nosuid", "noexec", "nodev", "ro"])


def inside(v1: str, v2: str) -> str:
    """The path of a control file in the container."""
    return f"/sys/fs/cgroup/{v2}" if V2 else f"/sys/fs/cgroup/{v1}"


def look(pid: int, v1: str, v2: str) -> str:
    """A control file as a process in the container sees it."""
    return Path(f"/proc/{pid}/root{inside(v1, v2)}").read_text()


def cpu_time(pid: int) -> int:
    """ns, of the process's cgroup"""
    text = look(pid, "cpuacct/cpuacct.usage", "cpu.stat")
    return int(text.split()[1]) * 1000 if V2 else int(text)


def counted(name: str, pid: int) -> int:
    """A counter of cpu.stat."""
    return int(look(pid, "cpu/cpu.stat", "cpu.stat").partition(name + " ")[2].split()[0])


def members(container: Container) -> list[int]:
    pids: list[int] = json.loads(container.pyoci("ps", "--format", "json", container.id).out)
    return pids


# --- memory


def test_who_exceeds_memory_is_killed_and_the_others_live(looking: Bundle, pyoci: Pyoci) -> None:
    looking.linux["resources"] = {"memory": {"limit": 32 * MIB, "swap": 32 * MIB}}
    counter = inside("memory/memory.oom_control", "memory.events")
    if not V2 and not os.path.ismount(CGROUP_ROOT / "memory"):
        counter = "/dev/null"  # a hybrid host has it in the v2 tree, which containers do not see
    out = pyoci.run(looking.shell(f"{EAT} || echo $?; cat {counter}; echo alive")).out
    assert "137\n" in out
    assert "oom_kill 1\n" in out or counter == "/dev/null"
    assert out.endswith("alive\n")


def test_without_the_oom_killer_it_waits_until_there_is_memory(looking: Bundle, pyoci: Pyoci) -> None:
    if not os.path.ismount(CGROUP_ROOT / "memory"):
        pytest.skip("cgroup v2 always kills, and the property is refused: test_limits_seen.py")
    looking.linux["resources"] = {"memory": {"limit": 32 * MIB, "swap": 32 * MIB, "disableOOMKiller": True}}
    # Only a fault in user mode waits: read(2) into memory that is not to be had is cut short.
    eat = "awk 'BEGIN { s = \"x\"; while (length(s) < 64 * 1024 * 1024) s = s s }'"
    container = pyoci.run_detached(looking.shell(f"{eat} && echo done; sleep 100"))
    control = "/sys/fs/cgroup/memory/memory.oom_control"
    there = Path(f"/proc/{container.pid}/root{control}")
    wait_for(lambda: "under_oom 1" in there.read_text())
    time.sleep(0.3)
    assert "done" not in container.output
    assert "oom_kill 0" in there.read_text()
    pyoci("update", "--memory", "256m", "--memory-swap", "256m", container.id)
    container.expect("done")


def test_memory_that_is_reserved_is_kept(looking: Bundle, pyoci: Pyoci) -> None:
    """It limits nothing: a container may use more."""
    looking.linux["resources"] = {"memory": {"limit": 200 * MIB, "reservation": 16 * MIB}}
    assert pyoci.run(looking.shell(EAT)).code == 0


# --- cpu


def rivals(looking: Bundle, pyoci: Pyoci, one: dict[str, int], two: dict[str, int]) -> tuple[int, int]:
    """How long each of two busy containers ran, that want the same CPU."""
    containers, pids = [], []
    for cpu in (one, two):
        looking.linux["resources"] = {"cpu": {**cpu, "cpus": "0"}}
        containers.append(pyoci.run_detached(looking.shell(BURN)))
        pids.append(containers[-1].pid)
    before = [cpu_time(pid) for pid in pids]

    def passed() -> list[int]:
        return [cpu_time(pid) - start for pid, start in zip(pids, before, strict=True)]

    wait_for(lambda: max(passed()) > 800_000_000, seconds=60)
    first, second = passed()
    for container in reversed(containers):  # what is starved by the other dies slowly
        container.kill()
    return first, second


def test_shares_divide_a_cpu(looking: Bundle, pyoci: Pyoci) -> None:
    more, less = rivals(looking, pyoci, {"shares": 4096}, {"shares": 256})
    assert more > 3 * less > 0


def test_the_idle_run_when_nobody_else_wants_to(looking: Bundle, pyoci: Pyoci) -> None:
    idle, busy = rivals(looking, pyoci, {"idle": 1}, {"idle": 0})
    assert busy > 5 * idle


def test_a_quota_throttles(looking: Bundle, pyoci: Pyoci) -> None:
    looking.linux["resources"] = {"cpu": {"quota": 10000, "period": 50000}}
    container = pyoci.run_detached(looking.shell(BURN))
    pid = container.pid
    start, used = time.monotonic(), cpu_time(pid)
    wait_for(lambda: counted("nr_throttled", pid) >= 20, seconds=30)
    passed, used = time.monotonic() - start, cpu_time(pid) - used
    assert used < 1e9 * passed * 0.3


#: Works for 15 ms, rests for 85 ms, again and again.
BURSTS = """
#include <time.h>
#include <unistd.h>
int main(void) {
    for (;;) {
        struct timespec start, now;
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &start);
        do clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
        while ((now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000 < 15);
        usleep(85000);
    }
}
"""


def test_what_was_not_used_can_be_used_later(looking: Bundle, pyoci: Pyoci) -> None:
    """A quota of 10 ms in each 20, of which a burst of as much more is kept."""
    compile_static(BURSTS, looking.rootfs / "bin/bursts")
    looking.linux["resources"] = {"cpu": {"quota": 10000, "period": 20000, "burst": 10000}}
    container = pyoci.run_detached(looking.args("bursts"))
    wait_for(lambda: counted("nr_bursts", container.pid) >= 3, seconds=30)


def test_cpus_and_nodes(looking: Bundle, pyoci: Pyoci) -> None:
    looking.linux["resources"] = {"cpu": {"cpus": "1", "mems": "0"}}
    out = pyoci.run(looking.shell("grep _allowed_list /proc/self/status; nproc")).out
    assert out.split() == ["Cpus_allowed_list:", "1", "Mems_allowed_list:", "0", "1"]


def test_realtime(looking: Bundle, pyoci: Pyoci) -> None:
    """Where groups have realtime limits a process of realtime has to have been given some."""
    if not (CGROUP_ROOT / "cpu/cpu.rt_runtime_us").exists():
        pytest.skip("this kernel has no realtime limits; the property is refused: test_limits_seen.py")
    looking.process["scheduler"] = {"policy": "SCHED_FIFO", "priority": 1}
    looking.capabilities("CAP_SYS_NICE")
    looking.shell("cut -d ' ' -f 41 /proc/self/stat")
    assert pyoci.run(looking, check=False).code != 0
    looking.linux["resources"] = {"cpu": {"realtimeRuntime": 10000, "realtimePeriod": 500000}}
    assert pyoci.run(looking).out == "1\n"  # SCHED_FIFO


# --- pids


@pytest.mark.parametrize(("limit", "started"), [(4, 3), (1, 0), (0, 0)])
def test_forks_are_refused(looking: Bundle, pyoci: Pyoci, limit: int, started: int) -> None:
    looking.linux["resources"] = {"pids": {"limit": limit}}
    looking.shell('for i in 1 2 3 4 5 6; do sleep 100 & echo "started $i"; done')
    done = pyoci.run(looking, check=False)
    assert "can't fork" in done.err
    assert done.out.count("started") == started


def test_no_limit_of_forks(looking: Bundle, pyoci: Pyoci) -> None:
    looking.linux["resources"] = {"pids": {"limit": -1}}
    out = pyoci.run(looking.shell("for i in $(seq 100); do sleep 100 & done; ls -d /proc/[0-9]* | wc -l")).out
    assert int(out) >= 100


# --- block I/O


READ = "time -p dd if=/dev/disk of=/dev/null iflag=direct"
WRITE = "time -p dd if=/dev/zero of=/dev/disk oflag=direct"
THROTTLES = {
    "throttleReadBpsDevice": (2 * MIB, f"{READ} bs=1M count=3"),
    "throttleWriteBpsDevice": (2 * MIB, f"{WRITE} bs=1M count=3"),
    "throttleReadIOPSDevice": (20, f"{READ} bs=4k count=30"),
    "throttleWriteIOPSDevice": (20, f"{WRITE} bs=4k count=30"),
}


def seconds(timed: Result) -> float:
    """What time(1) says."""
    return float(timed.err.partition("real ")[2].split()[0])


@pytest.mark.parametrize("name", THROTTLES)
def test_io_is_throttled(name: str, looking: Bundle, pyoci: Pyoci, disk: Path) -> None:
    """The load, without a limit a matter of milliseconds, takes the 1.5 s that the rate allows."""
    major, minor = map(int, Path(f"/sys/block/{disk.name}/dev").read_text().split(":"))
    rate, load = THROTTLES[name]
    node = {"path": "/dev/disk", "type": "b", "major": major, "minor": minor, "fileMode": 0o600}
    looking.linux["devices"] = [node]
    allowed = {"allow": True, "type": "b", "major": major, "minor": minor, "access": "rw"}
    looking.linux["resources"] = {
        "devices": [allowed],
        "blockIO": {name: [{"major": major, "minor": minor, "rate": rate}]},
    }
    container = pyoci.run_detached(looking.args("sleep", "100"))
    assert 1.1 < seconds(container.exec("sh", "-c", load)) < 8
    lifted = {"blockIO": {name: [{"major": major, "minor": minor, "rate": 0}]}}
    pyoci("update", "--resources", "-", container.id, input=json.dumps(lifted))
    assert seconds(container.exec("sh", "-c", load)) < 1


# --- devices


KMSG = {"path": "/dev/kmsg", "type": "c", "major": 1, "minor": 11, "fileMode": 0o666}


def test_a_device_is_denied(looking: Bundle, pyoci: Pyoci) -> None:
    looking.linux["devices"] = [KMSG]
    looking.linux["resources"] = {"devices": [{"allow": False, "access": "rwm"}]}
    looking.capabilities("CAP_SYSLOG", "CAP_MKNOD", "CAP_DAC_OVERRIDE")
    looking.mount("/mnt", "tmpfs", "tmpfs")  # the bundle may lie on a file system without devices
    looking.shell("head -c 0 /dev/kmsg || echo denied; mknod /mnt/kmsg c 1 11; : < /mnt/kmsg")
    done = pyoci.run(looking, check=False)
    assert "denied" in done.out
    assert done.err.count("Operation not permitted") == 2
    assert done.code != 0


OVERLAPS: dict[str, tuple[list[tuple[object, ...]], str]] = {
    "one of many allowed": ([(False, "c", 1, None, "rw"), (True, "c", 1, 11, "r")], "r"),
    "all but one allowed": ([(True, "c", 1, None, "rwm"), (False, "c", 1, 11, "w")], "r"),
    "the last one counts": ([(True, "c", 1, 11, "rw"), (False, "c", 1, 11, "rw"), (True, "c", 1, 11, "w")], "w"),
    "everything": ([(True, "a", None, None, "rwm")], "rw"),
    "everything but one": ([(True, "a", None, None, "rwm"), (False, "c", 1, 11, "rw")], ""),
}


@pytest.mark.parametrize("which", OVERLAPS)
def test_rules_that_overlap(which: str, looking: Bundle, pyoci: Pyoci) -> None:
    rules, allowed = OVERLAPS[which]
    names = ("allow", "type", "major", "minor", "access")
    entries = [{name: value for name, value in zip(names, rule, strict=True) if value is not None} for rule in rules]
    looking.linux["devices"] = [KMSG]
    looking.linux["resources"] = {"devices": [{"allow": False, "access": "rwm"}, *entries]}
    looking.capabilities("CAP_SYSLOG", "CAP_DAC_OVERRIDE")
    test = "(: < /dev/kmsg) 2>&- && echo r; (: > /dev/kmsg) 2>&- && echo w; true"
    done = pyoci.run(looking.shell(test), check=False)
    if not V2 and which == "all but one allowed":
        assert "cgroup v1 cannot express" in done.err
        return
    assert "".join(done.out.split()) == allowed


# --- unified


@pytest.mark.skipif(not V2, reason="the host has cgroup v1, where the property is refused: test_limits_seen.py")
def test_any_file_of_v2(looking: Bundle, pyoci: Pyoci) -> None:
    files = {"memory.max": str(32 * MIB), "memory.oom.group": "1", "pids.max": "9", "cgroup.max.descendants": "0"}
    looking.linux["resources"] = {"unified": files}
    # the one that eats takes the shell with it
    container = pyoci.run_detached(looking.shell(f"cat /sys/fs/cgroup/pids.max; {EAT}; echo alive")).wait()
    assert container.output == "9\n"


# --- all of them, at once or never


BOMB = """
#include <unistd.h>
int main(void) {
    for (;;)
        if (fork() < 0) usleep(20000);
}
"""


def test_nothing_escapes_kill(looking: Bundle, pyoci: Pyoci) -> None:
    """A bomb that forks as fast as it can, in the pid namespace of the host, where no death of an init ends it."""
    looking.without_namespace("pid")
    looking.linux["resources"] = {"pids": {"limit": 100}}
    compile_static(BOMB, looking.rootfs / "bin/bomb")
    container = pyoci.run_detached(looking.args("bomb"))
    wait_for(lambda: len(members(container)) > 50)
    pyoci("kill", "--all", container.id, "KILL")
    wait_for(lambda: members(container) == [])
    assert container.status == "stopped"
    container.delete()


def test_paused_means_that_nothing_runs(looking: Bundle, pyoci: Pyoci) -> None:
    container = pyoci.run_detached(looking.shell(BURN))
    pid = container.pid
    wait_for(lambda: cpu_time(pid) > 0)
    pyoci("pause", container.id)
    assert container.status == "paused"
    before = cpu_time(pid)
    time.sleep(0.3)
    assert cpu_time(pid) == before
    refused = container.exec("true", check=False)
    assert refused.code != 0
    assert "paused" in refused.err
    pyoci("resume", container.id)
    wait_for(lambda: cpu_time(pid) > before)
    assert pyoci("resume", container.id, check=False).code == 1


def test_ps(looking: Bundle, pyoci: Pyoci) -> None:
    container = pyoci.run_detached(looking.shell("sleep 100 & sleep 100"))
    wait_for(lambda: len(members(container)) == 2)
    pids = json.loads(pyoci("ps", "-f", "json", container.id).out)
    assert container.pid in pids
    title, *lines = pyoci("ps", container.id).out.splitlines()
    assert {int(line.split()[title.split().index("PID")]) for line in lines} == set(pids)


def test_what_the_container_made_goes_with_it(looking: Bundle, pyoci: Pyoci) -> None:
    """Cgroups below its own, with processes in them that nobody waits for."""
    looking.mounts[-1]["options"].remove("ro")
    looking.capabilities("CAP_DAC_OVERRIDE", "CAP_SYS_ADMIN")
    top = "/sys/fs/cgroup" if V2 else "/sys/fs/cgroup/pids"
    looking.shell(f"mkdir -p {top}/a/b {top}/c; sleep 100 & echo $! > {top}/a/b/cgroup.procs; echo done; sleep 100")
    container = pyoci.run_detached(looking).expect("done")
    assert len(members(container)) == 2
    container.delete(force=True)
