"""What each engine does with a container, once for all of them: the rows of docs/engines.md, in its order."""

from __future__ import annotations

import concurrent.futures
import json
import os
import time
from pathlib import Path

import pytest
from busybox import busybox

from . import environment, processes
from .engine import Bind, Engine, Options

CAP_CHOWN, CAP_NET_ADMIN = 1 << 0, 1 << 12
# Answers TERM and USR1, says so, and never ends by itself.
SCRIPT = "trap 'exit 3' TERM; trap 'echo usr1' USR1; echo ready; while :; do sleep 0.05; done"
STUBBORN = "trap '' TERM; echo ready; while :; do sleep 0.05; done"


def _logs_say(engine: Engine, name: str, text: str) -> None:
    processes.wait_for(lambda: text in engine.logs(name), what=f"{name} says {text!r}")


def _ended(pid: int) -> bool:
    return not Path(f"/proc/{pid}/exe").exists()


def _cgroup_file(engine: Engine, v1: str, v2: str, options: Options) -> str:
    """A file of the container's cgroup as it sees it itself, of whichever version there is.

    Without a cgroup namespace, /sys/fs/cgroup is the whole tree of version 2, and the container is somewhere in it.
    """
    own = "own=$(sed -n s/^0:://p /proc/self/cgroup)"
    script = f"cd /sys/fs/cgroup; if [ -e {v1} ]; then cat {v1}; else {own}; cat ./$own/{v2}; fi"
    return engine.sh(script, options=options)


# --- running ---------------------------------------------------------------------------------------------------------


@pytest.mark.feature("run")
def test_run(engine: Engine) -> None:
    """In the foreground: standard input, output and error each on its own, the exit code, nothing left."""
    done = engine.run(("sh", "-c", "read x; echo got $x; echo err >&2; sleep 0.2; exit 7"), stdin="in\n", check=False)
    assert (done.returncode, done.stdout, done.stderr) == (7, "got in\n", "err\n")
    assert engine.states() == []


@pytest.mark.feature("detached")
def test_detached(engine: Engine) -> None:
    """In the background: running, known by its process, and its exit code kept."""
    engine.detached("first", ("sh", "-c", "trap 'exit 5' TERM; while :; do sleep 0.05; done"))
    assert engine.status("first") == "running"
    assert Path(f"/proc/{engine.pid('first')}/cmdline").read_bytes().startswith(b"sh\x00-c\x00")
    assert len(engine.states()) == 1
    engine.detached("second", ("sh", "-c", "exit 5"))
    assert engine.exit_code("second") == 5


@pytest.mark.feature("terminal")
def test_terminal(engine: Engine) -> None:
    """All three streams are a terminal, which has the size of the client's window; the exit code."""
    script = "tty; test -t 0 && test -t 1 && test -t 2 && echo three; ls -l /dev/console | cut -c1"
    script += '; until [ "$(stty size 2>/dev/null)" = "33 101" ]; do sleep 0.05; done; echo sized; exit 5'
    terminal = engine.run_terminal("first", script, rows=33, columns=101)
    assert terminal.wait() == 5, terminal.output
    assert terminal.output.split() == ["/dev/pts/0", "three", "c", "sized"]


@pytest.mark.feature("exec")
def test_exec(engine: Engine) -> None:
    """Another process in a running container: its streams, its exit code, the container's namespaces and cgroup."""
    engine.detached("first")
    done = engine.exec("first", ("sh", "-c", "cat; echo err >&2; sleep 0.2; exit 42"), stdin="given\n", check=False)
    assert (done.returncode, done.stdout) == (42, "given\n")
    assert done.stderr.startswith("err\n")
    pid = engine.pid("first")
    kinds = ("mnt", "pid", "net", "ipc", "uts")
    links = engine.exec(
        "first", ("sh", "-c", f"for kind in {' '.join(kinds)}; do readlink /proc/self/ns/$kind; done")
    ).stdout.split()
    assert links == [os.readlink(f"/proc/{pid}/ns/{kind}") for kind in kinds]
    script = "cat /proc/self/cgroup; echo /; cat /proc/1/cgroup"
    own, first = engine.exec("first", ("sh", "-c", script)).stdout.split("\n/\n")
    assert own == first.rstrip("\n")


@pytest.mark.feature("exec terminal")
def test_exec_terminal(engine: Engine) -> None:
    """Another process on a terminal of its own, which has the size of the client's window."""
    engine.detached("first")
    script = 'tty; until [ "$(stty size 2>/dev/null)" = "31 99" ]; do sleep 0.05; done; echo sized; exit 11'
    terminal = engine.exec_terminal("first", script, rows=31, columns=99)
    assert terminal.wait() == 11, terminal.output
    assert terminal.output.split() == ["/dev/pts/0", "sized"]


@pytest.mark.feature("environment, user, directory")
def test_environment_user_directory(engine: Engine) -> None:
    """A variable, user and group, and a working directory, at run; the latter two at exec."""
    options = Options(env=("A=b c",), user="1000:50", workdir="/tmp")
    assert engine.sh('echo "$A"; id -u; id -g; pwd', options=options) == "b c\n1000\n50\n/tmp"
    engine.detached("first")
    done = engine.exec("first", ("sh", "-c", "id -u; id -g; pwd"), Options(user="1000:1000", workdir="/tmp"))
    assert done.stdout == "1000\n1000\n/tmp\n"


# --- limits ----------------------------------------------------------------------------------------------------------


@pytest.mark.feature("memory limit")
@pytest.mark.usefixtures("memory_limits")
def test_memory_limit(engine: Engine) -> None:
    """Seen from inside; and a process that wants more is killed."""
    options = Options(memory=48 << 20)
    found = _cgroup_file(engine, "memory/memory.limit_in_bytes", "memory.max", options)
    assert int(found) == 48 << 20
    swap = () if engine.name == "containerd" else (f"--memory-swap={48 << 20}",)
    eat = "dd if=/dev/zero of=/dev/null bs=200M count=1 2>/dev/null; echo $?"
    assert engine.sh(eat, options=Options(memory=48 << 20, words=swap)) == "137"


@pytest.mark.feature("cpu limit")
def test_cpu_limit(engine: Engine) -> None:
    """Half a processor, seen from inside."""
    v1 = "cpu/cpu.cfs_quota_us"
    assert _cgroup_file(engine, v1, "cpu.max", Options(cpus=0.5)).split()[0] == "50000"


@pytest.mark.feature("process limit")
def test_process_limit(engine: Engine) -> None:
    """Seen from inside; and one more cannot be made."""
    options = Options(pids=20)
    assert _cgroup_file(engine, "pids/pids.max", "pids.max", options) == "20"
    fork = "i=0; while [ $i -lt 40 ]; do sleep 2 & i=$((i + 1)); done; wait"
    assert "can't fork" in engine.run(("sh", "-c", fork), options, check=False).stderr


# --- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.feature("bind mount")
def test_bind_mount(engine: Engine, workdir: Path) -> None:
    """A directory of the host, writable and read-only."""
    (workdir / "f").write_text("host")
    assert engine.sh("cat /m/f; echo inside >/m/g", options=Options(binds=(Bind(workdir),))) == "host"
    assert (workdir / "g").read_text() == "inside\n"
    done = engine.run(("sh", "-c", "touch /m/h"), Options(binds=(Bind(workdir, read_only=True),)), check=False)
    assert "Read-only file system" in done.stderr
    assert not (workdir / "h").exists()


@pytest.mark.feature("tmpfs")
def test_tmpfs(engine: Engine) -> None:
    """With its size, mode and flags."""
    script = "grep ' /t ' /proc/self/mountinfo; stat -c %a /t; df -k /t | tail -1"
    mount, mode, df = engine.sh(script, options=Options(tmpfs=("/t", "size=64k,mode=1770,noexec"))).split("\n")
    assert "noexec" in mount
    assert mode == "1770"
    assert df.split()[1] == "64"


@pytest.mark.feature("read-only root")
def test_read_only_root(engine: Engine) -> None:
    """Nothing can be written to the root filesystem, and what is mounted in it can."""
    script = "touch /x; echo >/dev/shm/x && echo shm"
    done = engine.run(("sh", "-c", script), Options(read_only=True), check=False)
    assert done.stdout == "shm\n"
    assert "/x: Read-only file system" in done.stderr


# --- privileges ------------------------------------------------------------------------------------------------------


@pytest.mark.feature("capabilities")
def test_capabilities(engine: Engine) -> None:
    """The engine's set, one added and one dropped."""
    default = int(engine.proc_status()["CapEff"], 16)
    assert default & CAP_CHOWN
    assert not default & CAP_NET_ADMIN
    changed = engine.proc_status(options=Options(cap_add=("NET_ADMIN",), cap_drop=("CHOWN",)))
    for key in ("CapEff", "CapPrm", "CapBnd"):
        assert int(changed[key], 16) == default & ~CAP_CHOWN | CAP_NET_ADMIN, key


@pytest.mark.feature("seccomp profile")
def test_seccomp_profile(engine: Engine, workdir: Path) -> None:
    """A profile of one's own: the error that it wants for a system call."""
    profile = workdir / "profile.json"
    rule = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}
    profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}))
    done = engine.run(("sh", "-c", "grep ^Seccomp: /proc/self/status; mkdir /x"), Options(seccomp=profile), check=False)
    assert done.stdout == "Seccomp:\t2\n"
    assert "Function not implemented" in done.stderr


@pytest.mark.feature("user namespace")
def test_user_namespace(engine: Engine) -> None:
    """Root inside is nobody outside; the image's files are root's; exec joins it."""
    with engine.with_user_namespace(100000, 5000) as (mapped, options):
        mapped.detached("first", options=options)
        assert Path(f"/proc/{mapped.pid('first')}").stat().st_uid == 100000
        done = mapped.exec(
            "first", ("sh", "-c", "cat /proc/self/uid_map /proc/self/gid_map; id -u; stat -c %u /bin/busybox")
        )
        assert done.stdout.split() == ["0", "100000", "5000", "0", "100000", "5000", "0", "0"]
        mapped.remove("first")


@pytest.mark.feature("published port")
def test_published_port(engine: Engine) -> None:
    """A server in the container is reached on a port of the host."""
    with engine.with_network() as prefix:
        options = Options(publish=(8080, 80), words=("--network", "podman" if engine.name == "podman" else "bridge"))
        engine.detached("first", ("sh", "-c", "while :; do echo answer | nc -lp 80; done"), options)
        client = [*prefix, str(busybox()), "nc", "-w", "5", "127.0.0.1", "8080"]
        processes.wait_for(lambda: processes.run(client, engine.env, engine.cwd, check=False).stdout == "answer\n")
        engine.remove("first")


# --- signals and states ----------------------------------------------------------------------------------------------


@pytest.mark.feature("signals")
def test_signals(engine: Engine) -> None:
    """USR1 and TERM arrive and are handled; KILL ends the container with 137."""
    engine.detached("first", ("sh", "-c", SCRIPT))
    _logs_say(engine, "first", "ready")
    engine.kill("first", "USR1")
    _logs_say(engine, "first", "usr1")
    engine.kill("first", "TERM")
    assert engine.exit_code("first") == 3
    engine.detached("second")
    engine.kill("second", "KILL")
    assert engine.exit_code("second") == 137


@pytest.mark.feature("stop timeout")
def test_stop_timeout(engine: Engine) -> None:
    """TERM first, which a container may obey; KILL when its time is up."""
    engine.detached("first", ("sh", "-c", SCRIPT))
    _logs_say(engine, "first", "ready")
    engine.stop("first", 60)
    assert engine.exit_code("first") == 3
    engine.detached("second", ("sh", "-c", STUBBORN))
    _logs_say(engine, "second", "ready")
    start = time.monotonic()
    engine.stop("second", 1)
    assert time.monotonic() - start > 0.9
    assert engine.exit_code("second") == 137


@pytest.mark.feature("restart")
def test_restart(engine: Engine) -> None:
    """The same container with a new process, and the files it had written."""
    engine.detached("first", ("sh", "-c", "echo x >>/runs; exec sleep 1000"))
    before = engine.pid("first")
    processes.wait_for(lambda: engine.exec("first", ("cat", "/runs"), check=False).stdout == "x\n")
    engine.restart("first")
    assert engine.status("first") == "running"
    assert engine.pid("first") != before
    assert _ended(before)
    processes.wait_for(lambda: engine.exec("first", ("cat", "/runs"), check=False).stdout == "x\nx\n")


@pytest.mark.feature("pause, unpause")
def test_pause_and_unpause(engine: Engine, workdir: Path) -> None:
    """Paused, it does nothing; unpaused, it goes on."""
    count = workdir / "count"
    script = "while :; do echo >>/m/count; sleep 0.02; done"
    engine.detached("first", ("sh", "-c", script), Options(binds=(Bind(workdir),)))
    processes.wait_for(lambda: count.exists() and count.stat().st_size > 2)
    engine.pause("first")
    assert engine.status("first") == "paused"
    frozen = count.stat().st_size
    time.sleep(0.3)
    assert count.stat().st_size == frozen
    engine.unpause("first")
    assert engine.status("first") == "running"
    processes.wait_for(lambda: count.stat().st_size > frozen)


# --- looking at it ---------------------------------------------------------------------------------------------------


@pytest.mark.feature("stats")
def test_stats(engine: Engine) -> None:
    """The number of processes and, where it can be limited, the memory limit."""
    engine.detached("first", options=Options(memory=64 << 20))
    stats = engine.stats("first")
    assert stats.processes == 1
    if not environment.missing_memory_limits():
        assert stats.memory_limit == pytest.approx(64 << 20, rel=0.01)


@pytest.mark.feature("top")
def test_top(engine: Engine) -> None:
    """The container's processes, as the host numbers them, also one that exec has started."""
    engine.detached("first")
    engine.exec("first", ("sh", "-c", "sleep 1000 >/dev/null 2>&1 </dev/null &"))
    found = engine.top("first")
    assert len(found) == 2
    assert engine.pid("first") in found


@pytest.mark.feature("logs")
def test_logs(engine: Engine) -> None:
    """What a container in the background has written, also after its end."""
    engine.detached("first", ("sh", "-c", "echo one; echo two"))
    engine.exit_code("first")
    _logs_say(engine, "first", "one\ntwo\n")


@pytest.mark.feature("remove by force")
def test_remove_by_force(engine: Engine) -> None:
    """A running container that does not heed TERM, and a paused one; no process and no record is left."""
    engine.detached("first", ("sh", "-c", STUBBORN))
    engine.detached("second")
    engine.pause("second")
    pids = [engine.pid("first"), engine.pid("second")]
    engine.remove("first")
    engine.remove("second")
    assert all(_ended(pid) for pid in pids)
    assert engine.states() == []


@pytest.mark.feature("20 at once")
def test_twenty_at_once(engine: Engine, workdir: Path) -> None:
    """Twenty containers, each of which waits until it sees the other nineteen."""
    script = "touch /m/$0; until [ $(ls /m | wc -l) = 20 ]; do sleep 0.1; done; echo $0"
    options = Options(binds=(Bind(workdir),))

    def run(number: int) -> str:
        return engine.run(("sh", "-c", script, str(number)), options, name=f"c{number}").stdout

    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        found = list(pool.map(run, range(20)))
    assert found == [f"{number}\n" for number in range(20)]
    assert engine.states() == []
