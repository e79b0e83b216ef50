"""rlimits, oomScoreAdj, scheduler, ioPriority, personality, memoryPolicy, CPU affinity, session keyring."""

from __future__ import annotations

import json
import os
import re
import resource
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from containers import Bundle, Pyoci, compile_static

PROBE = r"""
#define _GNU_SOURCE
#include <linux/mempolicy.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/personality.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void)
{
    struct { uint32_t size, policy; uint64_t flags; int32_t nice; uint32_t priority; uint64_t runtime, deadline, period;
    } attr = {0};
    unsigned long nodes[16] = {0};
    int mode = -1;
    cpu_set_t cpus;
    syscall(SYS_sched_getattr, 0, &attr, sizeof attr, 0);
    printf("policy %u flags %lu nice %d priority %u\n", attr.policy, attr.flags, attr.nice, attr.priority);
    printf("deadline %lu %lu %lu\n", attr.runtime, attr.deadline, attr.period);
    printf("ioprio %ld\n", syscall(SYS_ioprio_get, 1, 0));
    printf("personality %d\n", personality(0xffffffff));
    long refused = syscall(SYS_get_mempolicy, &mode, nodes, sizeof nodes * 8, 0, 0);
    printf("mempolicy %d %ld %lx\n", mode, refused, nodes[0]);
    sched_getaffinity(0, sizeof cpus, &cpus);
    printf("cpus");
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &cpus))
            printf(" %d", cpu);
    printf("\n");
    return 0;
}
"""


@cache
def probe() -> bytes:
    with TemporaryDirectory() as directory:
        return compile_static(PROBE, Path(directory, "probe")).read_bytes()


@pytest.fixture
def probing(bundle: Bundle) -> Bundle:
    """A bundle that runs the probe."""
    program = bundle.rootfs / "probe"
    program.write_bytes(probe())
    program.chmod(0o755)
    return bundle.args("/probe")


def probed(output: str) -> dict[str, str]:
    return dict(line.split(" ", 1) for line in output.splitlines())


# --- limits


def limits(output: str) -> dict[str, tuple[str, str]]:
    """/proc/PID/limits: name to (soft, hard)."""
    return {line[:26].strip(): (line[26:47].strip(), line[47:68].strip()) for line in output.splitlines()[1:]}


RLIMITS = {
    "RLIMIT_CORE": "Max core file size",
    "RLIMIT_CPU": "Max cpu time",
    "RLIMIT_DATA": "Max data size",
    "RLIMIT_FSIZE": "Max file size",
    "RLIMIT_LOCKS": "Max file locks",
    "RLIMIT_MEMLOCK": "Max locked memory",
    "RLIMIT_MSGQUEUE": "Max msgqueue size",
    "RLIMIT_NICE": "Max nice priority",
    "RLIMIT_NOFILE": "Max open files",
    "RLIMIT_NPROC": "Max processes",
    "RLIMIT_RSS": "Max resident set",
    "RLIMIT_RTPRIO": "Max realtime priority",
    "RLIMIT_RTTIME": "Max realtime timeout",
    "RLIMIT_SIGPENDING": "Max pending signals",
    "RLIMIT_STACK": "Max stack size",
    "RLIMIT_AS": "Max address space",
}


def test_every_rlimit(bundle: Bundle, pyoci: Pyoci) -> None:
    """Lowered, as raising needs CAP_SYS_RESOURCE. Those with a hard limit of 0 have nowhere to go."""
    ours = limits(Path("/proc/self/limits").read_text())
    big = 2**40
    wanted = {}
    for name, title in RLIMITS.items():
        hard = ours[title][1]
        high = big if hard == "unlimited" else int(hard)
        wanted[name] = (high // 2, high)
    bundle.process["rlimits"] = [{"type": name, "soft": soft, "hard": hard} for name, (soft, hard) in wanted.items()]
    found = limits(pyoci.run(bundle.args("cat", "/proc/self/limits")).out)
    assert {name: found[title] for name, title in RLIMITS.items()} == {
        name: (str(soft), str(hard)) for name, (soft, hard) in wanted.items()
    }


def test_unlimited(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.process["rlimits"] = [{"type": "RLIMIT_FSIZE", "soft": 2**64 - 1, "hard": 2**64 - 1}]
    if resource.getrlimit(resource.RLIMIT_FSIZE)[1] != resource.RLIM_INFINITY:
        pytest.skip("the limit of this machine cannot be raised")
    found = limits(pyoci.run(bundle.args("cat", "/proc/self/limits")).out)
    assert found["Max file size"] == ("unlimited", "unlimited")


def test_limits_not_configured_are_inherited(bundle: Bundle, pyoci: Pyoci) -> None:
    ours = limits(Path("/proc/self/limits").read_text())
    assert limits(pyoci.run(bundle.args("cat", "/proc/self/limits")).out) == ours


def test_a_limit_that_cannot_be_raised_names_its_place(bundle: Bundle, pyoci: Pyoci) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    bundle.process["rlimits"] = [
        {"type": "RLIMIT_CORE", "soft": 0, "hard": 0},
        {"type": "RLIMIT_NOFILE", "soft": soft, "hard": hard + 1},
    ]
    done = pyoci.run(bundle, check=False)
    if done.code == 0:
        pytest.skip("this machine lets its root raise limits")
    assert "/process/rlimits/1" in done.err
    assert "RLIMIT_NOFILE" in done.err


@pytest.mark.parametrize(("soft", "hard"), [(0, 0), (1, 2), (3, 3), (3, 200), (5, 5)])
@pytest.mark.parametrize("seccomp", [False, True])
def test_hardly_any_open_files(bundle: Bundle, pyoci: Pyoci, soft: int, hard: int, seccomp: bool) -> None:
    """Init needs more of them than the process may have."""
    bundle.process["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": soft, "hard": hard}]
    bundle.config["hooks"] = {"startContainer": [{"path": "/bin/true"}]}
    if seccomp:
        setting = {"index": 2, "value": 0, "op": "SCMP_CMP_NE"}
        bundle.linux["seccomp"] = {
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["prlimit64"], "action": "SCMP_ACT_ERRNO", "args": [setting]}],
        }
    script = "ulimit -Sn; ulimit -Hn"
    assert pyoci.run(bundle.shell(script)).out == f"{soft}\n{hard}\n"
    container = pyoci.create(bundle.args("sleep", "100")).start()
    assert limits(Path(f"/proc/{container.pid}/limits").read_text())["Max open files"] == (str(soft), str(hard))
    assert container.exec("sh", "-c", script).out == f"{soft}\n{hard}\n"


def test_limits_hold_for_exec(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.process["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}]
    container = pyoci.run_detached(bundle.args("/bin/sleep", "60"))
    found = limits(container.exec("cat", "/proc/self/limits").out)
    assert found["Max open files"] == ("100", "200")


@pytest.mark.parametrize("user_namespace", [False, True])
def test_oom_score_adj(bundle: Bundle, pyoci: Pyoci, user_namespace: bool) -> None:
    if user_namespace:
        bundle.user_namespace()
    bundle.process["oomScoreAdj"] = 500
    container = pyoci.run_detached(bundle.args("/bin/sleep", "60"))
    assert Path(f"/proc/{container.pid}/oom_score_adj").read_text() == "500\n"
    assert container.exec("cat", "/proc/self/oom_score_adj").out == "500\n"


def test_oom_score_adj_is_inherited(bundle: Bundle, pyoci: Pyoci) -> None:
    ours = Path("/proc/self/oom_score_adj").read_text()
    assert pyoci.run(bundle.args("cat", "/proc/self/oom_score_adj")).out == ours


# --- scheduling


def test_defaults(probing: Bundle, pyoci: Pyoci) -> None:
    found = probed(pyoci.run(probing).out)
    assert found["policy"].split()[0] == "0"
    assert found["ioprio"] in ("0", "16388")
    assert found["personality"] == "0"
    assert found["mempolicy"].split()[0] in ("0", "-1")
    assert [int(cpu) for cpu in found["cpus"].split()] == sorted(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("scheduler", "expected"),
    [
        ({"policy": "SCHED_BATCH", "nice": 7}, "3 flags 0 nice 7 priority 0"),
        ({"policy": "SCHED_OTHER", "nice": 19, "flags": ["SCHED_FLAG_RESET_ON_FORK"]}, "0 flags 1 nice 19 priority 0"),
        ({"policy": "SCHED_IDLE"}, "5 flags 0 nice 0 priority 0"),
        ({"policy": "SCHED_OTHER", "nice": -5}, "0 flags 0 nice -5 priority 0"),
    ],
)
def test_scheduler(probing: Bundle, pyoci: Pyoci, scheduler: object, expected: str) -> None:
    probing.process["scheduler"] = scheduler
    assert probed(pyoci.run(probing).out)["policy"] == expected


@pytest.mark.parametrize("policy", ["SCHED_FIFO", "SCHED_RR"])
def test_real_time_scheduler(probing: Bundle, pyoci: Pyoci, policy: str) -> None:
    """In the root cgroup's CPU controller the kernel may refuse it (no real-time budget): then the place is named."""
    probing.process["scheduler"] = {"policy": policy, "priority": 10}
    done = pyoci.run(probing, check=False)
    if done.code:
        assert "/process/scheduler" in done.err
    else:
        assert probed(done.out)["policy"].startswith({"SCHED_FIFO": "1", "SCHED_RR": "2"}[policy])
        assert probed(done.out)["policy"].endswith("priority 10")


def test_deadline_scheduler(probing: Bundle, pyoci: Pyoci) -> None:
    """It forbids fork(2) without reset-on-fork; needs CAP_SYS_NICE and the whole of the root domain's CPUs."""
    probing.process["scheduler"] = {
        "policy": "SCHED_DEADLINE",
        "runtime": 1_000_000,
        "deadline": 10_000_000,
        "period": 20_000_000,
    }
    done = pyoci.run(probing, check=False)
    if done.code:
        assert "/process/scheduler" in done.err
    else:
        assert probed(done.out)["policy"].startswith("6 ")
        assert probed(done.out)["deadline"] == "1000000 10000000 20000000"


def test_a_scheduler_that_the_kernel_refuses(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.process["scheduler"] = {"policy": "SCHED_DEADLINE", "runtime": 20, "deadline": 10, "period": 5}
    done = pyoci.run(bundle, check=False)
    assert done.code != 0
    assert "/process/scheduler" in done.err


@pytest.mark.parametrize(
    ("io", "expected"),
    [
        ({"class": "IOPRIO_CLASS_BE", "priority": 6}, 2 << 13 | 6),
        ({"class": "IOPRIO_CLASS_IDLE"}, 3 << 13),
        ({"class": "IOPRIO_CLASS_RT", "priority": 1}, 1 << 13 | 1),
    ],
)
def test_io_priority(probing: Bundle, pyoci: Pyoci, io: object, expected: int) -> None:
    probing.process["ioPriority"] = io
    assert int(probed(pyoci.run(probing).out)["ioprio"]) == expected


def test_scheduling_of_exec(probing: Bundle, pyoci: Pyoci) -> None:
    """That of config.json's process, which exec takes over."""
    probing.process["scheduler"] = {"policy": "SCHED_BATCH", "nice": 3}
    probing.process["ioPriority"] = {"class": "IOPRIO_CLASS_BE", "priority": 5}
    container = pyoci.run_detached(probing.args("/bin/sleep", "60"))
    found = probed(container.exec("/probe").out)
    assert found["policy"] == "3 flags 0 nice 3 priority 0"
    assert int(found["ioprio"]) == 2 << 13 | 5


@pytest.mark.parametrize(("domain", "machine"), [("LINUX", "x86_64"), ("LINUX32", "i686")])
def test_personality(bundle: Bundle, pyoci: Pyoci, domain: str, machine: str) -> None:
    if os.uname().machine != "x86_64":
        pytest.skip("what uname(2) says of a 32-bit personality is known for x86 here")
    bundle.linux["personality"] = {"domain": domain}
    assert pyoci.run(bundle.args("uname", "-m")).out.strip() == machine


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ({"mode": "MPOL_BIND", "nodes": "0"}, "2 0 1"),
        ({"mode": "MPOL_PREFERRED", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]}, f"{1 | 1 << 15} 0 1"),
        ({"mode": "MPOL_INTERLEAVE", "nodes": "0"}, "3 0 1"),
        ({"mode": "MPOL_LOCAL"}, "4 0 0"),
        ({"mode": "MPOL_DEFAULT"}, "0 0 0"),
    ],
)
def test_memory_policy(probing: Bundle, pyoci: Pyoci, policy: object, expected: str) -> None:
    probing.linux["memoryPolicy"] = policy
    done = pyoci.run(probing, check=False)
    if done.code and "not implemented" in done.err:
        pytest.skip("this kernel is built without NUMA")
    assert probed(done.out)["mempolicy"] == expected, done


def test_a_memory_policy_that_the_kernel_refuses(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.linux["memoryPolicy"] = {"mode": "MPOL_BIND", "nodes": "1000"}
    done = pyoci.run(bundle, check=False)
    assert done.code != 0
    assert "/linux/memoryPolicy" in done.err


def test_the_affinity_of_the_runtime_is_not_inherited(probing: Bundle, pyoci: Pyoci) -> None:
    """A daemon may be confined to some CPUs; its containers have those of their cpuset, as with runc."""
    cpus = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cpus)})
    try:
        container = pyoci.run_detached(probing.args("/bin/sleep", "60"))
        execed = container.exec("/probe")
    finally:
        os.sched_setaffinity(0, cpus)
    assert os.sched_getaffinity(container.pid) == cpus
    assert {int(cpu) for cpu in probed(execed.out)["cpus"].split()} == cpus


def test_cpu_affinity_of_exec(probing: Bundle, pyoci: Pyoci, directory: Path) -> None:
    cpus = sorted(os.sched_getaffinity(0))
    container = pyoci.run_detached(probing.args("/bin/sleep", "60"))
    process = {
        **probing.process,
        "args": ["/probe"],
        "execCPUAffinity": {"initial": str(cpus[0]), "final": str(cpus[-1])},
    }
    file = directory / "process.json"
    file.write_text(json.dumps(process))
    done = container.exec(options=["--process", str(file)])
    assert probed(done.out)["cpus"] == str(cpus[-1])


def test_cpus_that_are_not_there(probing: Bundle, pyoci: Pyoci, directory: Path) -> None:
    container = pyoci.run_detached(probing.args("/bin/sleep", "60"))
    file = directory / "process.json"
    file.write_text(json.dumps({**probing.process, "execCPUAffinity": {"final": "4000"}}))
    done = container.exec(options=["--process", str(file)], check=False)
    assert done.code != 0
    assert "/process/execCPUAffinity/final" in done.err


# --- session keyring

KEYRING = r"""
#include <linux/keyctl.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void)
{
    char text[256] = "";
    long keyring = syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, -3, 0);
    if (syscall(SYS_keyctl, KEYCTL_DESCRIBE, -3, text, sizeof text - 1) < 0)
        perror("describe");
    printf("%ld %s\n", keyring, text);
    return 0;
}
"""


@pytest.fixture
def keyring(bundle: Bundle) -> Bundle:
    compile_static(KEYRING, bundle.rootfs / "keyring")
    return bundle.args("/keyring")


def test_a_session_keyring_of_its_own(keyring: Bundle, pyoci: Pyoci) -> None:
    id = pyoci.new_id()
    keyring.process["user"] = {"uid": 1000, "gid": 1000}
    done = pyoci.run(keyring, id=id)
    _, description = done.out.split(" ", 1)
    assert description.startswith("keyring;")
    # nobody but who is in it may see, read, write or link it; to join it takes its name, which cannot be guessed
    assert re.fullmatch(rf"keyring;0;0;3f080000;_ses\.{id}-[0-9a-f]{{32}}", description.strip())


def test_the_callers_session_keyring(keyring: Bundle, pyoci: Pyoci) -> None:
    assert "_ses.test" not in pyoci.run(keyring, "--no-new-keyring").out


def test_exec_joins_the_containers_keyring(keyring: Bundle, pyoci: Pyoci) -> None:
    container = pyoci.run_detached(keyring.shell("/keyring; sleep 60"))
    container.expect("_ses.")
    assert container.exec("/keyring").out.split(";")[-1] == container.output.split(";")[-1]


NEIGHBOUR = r"""
#include <errno.h>
#include <linux/keyctl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    char text[256] = "";
    long victim = atol(argv[1]);
    syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, argv[2]);
    printf("describe %d\n", syscall(SYS_keyctl, KEYCTL_DESCRIBE, victim, text, sizeof text) < 0);
    printf("read %d\n", syscall(SYS_keyctl, KEYCTL_READ, victim, text, sizeof text) < 0);
    printf("link %d\n", syscall(SYS_keyctl, KEYCTL_LINK, victim, -3) < 0);
    printf("add %d\n", syscall(SYS_add_key, "user", "planted", "x", 1, victim) < 0);
    printf("joined %d\n", syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, -3, 0) == victim);
    return argc != 3;
}
"""


def test_a_neighbour_puts_no_keys_in(keyring: Bundle, pyoci: Pyoci, directory: Path) -> None:
    """Root of another container, of the same user namespace, knows the id and has guessed the serial number. Fails with
    a name that is the id's alone, and with POSSESSOR_ALL_USER_SEARCH (process.c) what it is with runc."""
    container = pyoci.run_detached(keyring.shell("/keyring; sleep 60"), id="victim").expect("_ses.")
    serial = container.output.split()[0]
    other = Bundle(directory / "other")
    compile_static(NEIGHBOUR, other.rootfs / "neighbour")
    seen = pyoci.run(other.args("/neighbour", serial, "_ses.victim")).out.split("\n")
    assert seen[:5] == ["describe 1", "read 1", "link 1", "add 1", "joined 0"]


def test_exec_stays_in_the_callers_keyring_as_its_container(keyring: Bundle, pyoci: Pyoci) -> None:
    container = pyoci.run_detached(keyring.args("sleep", "60"), "--no-new-keyring")
    assert "_ses.test" not in container.exec("/keyring").out
