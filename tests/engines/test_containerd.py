"""containerd's shim (io.containerd.runc.v2) drives the runtime, through ctr."""

from __future__ import annotations

import concurrent.futures
import os
import subprocess
import time
from pathlib import Path

import pytest

from . import support
from .containerd import IMAGE, Containerd

V1 = pytest.mark.skipif(not Path("/sys/fs/cgroup/memory").is_dir(), reason="cgroup v1 files; this machine has v2 only")
CAP_CHOWN, CAP_NET_ADMIN, CAP_SYS_ADMIN = 1 << 0, 1 << 12, 1 << 21


def _status(ctr: Containerd, name: str, key: str, *options: str) -> str:
    done = ctr("run", "--rm", *options, IMAGE, name, "grep", f"^{key}:", "/proc/self/status")
    return done.stdout.split("\t", 1)[1].rstrip("\n")


# --- running ---------------------------------------------------------------------------------------------------------


def test_foreground_output_and_exit_code(containerd: Containerd) -> None:
    done = containerd("run", "--rm", IMAGE, "a", "sh", "-c", "echo out; echo err >&2; exit 7", check=False)
    assert (done.returncode, done.stdout, done.stderr) == (7, "out\n", "err\n")
    assert support.state_directories(containerd.state_root) == []


def test_standard_input_is_handed_on(containerd: Containerd) -> None:
    words = ("run", "--rm", IMAGE, "a", "sh", "-c", "read x; echo got $x")
    assert containerd(*words, stdin="hello\n").stdout == "got hello\n"


def test_runtime_named_with_its_options(containerd: Containerd) -> None:
    options = ("--runtime", "io.containerd.runc.v2", "--env", "A=b c", "--cwd", "/tmp")
    assert containerd.sh("a", 'echo "$A"; pwd', *options) == "b c\n/tmp"


def test_detached_life(containerd: Containerd) -> None:
    containerd.detached("d")
    pid, status = containerd.tasks()["d"]
    assert status == "RUNNING"
    assert Path(f"/proc/{pid}/cmdline").read_bytes() == b"sleep\x001000\x00"
    assert len(support.state_directories(containerd.state_root)) == 1
    containerd("tasks", "kill", "-s", "SIGKILL", "d")
    support.wait_for(lambda: containerd.tasks()["d"][1] == "STOPPED")
    done = containerd("tasks", "rm", "d", check=False)
    assert "exit code 137" in done.stderr
    assert support.state_directories(containerd.state_root) == []


def test_create_then_start_with_the_runtime_found_as_runc(containerd: Containerd, workdir: Path) -> None:
    support.write_script(workdir / "script", ["echo ran >/m/out"])
    containerd("containers", "create", "--mount", _bind(workdir), IMAGE, "c", "/m/script")
    containerd("tasks", "start", "c")
    assert (workdir / "out").read_text() == "ran\n"
    containerd("tasks", "rm", "-f", "c", check=False)
    assert support.state_directories(containerd.default_root) == []


def _bind(path: Path, options: str = "rbind:rw") -> str:
    return f"type=bind,src={path},dst=/m,options={options}"


def test_ten_at_once(containerd: Containerd) -> None:
    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        found = list(pool.map(lambda n: containerd.sh(f"c{n}", f"sleep 0.2; echo {n}"), range(10)))
    assert found == [str(n) for n in range(10)]


# --- terminals -------------------------------------------------------------------------------------------------------


def test_run_on_a_terminal(containerd: Containerd) -> None:
    script = "tty; test -t 0 && test -t 1 && test -t 2 && echo three; read x; stty size; exit 5"
    terminal = containerd.terminal("run", "--rm", "-t", IMAGE, "t", "sh", "-c", script, rows=33, columns=101)
    terminal.expect("three")
    time.sleep(0.3)  # ctr sets the size after it has started the task
    terminal.write("\n")
    assert terminal.wait() == 5, terminal.output
    assert terminal.output.startswith("/dev/pts/0\nthree\n")
    assert "33 101" in terminal.output


def test_exec_on_a_terminal(containerd: Containerd) -> None:
    containerd.detached("e")
    terminal = containerd.terminal(
        "tasks", "exec", "--exec-id", "x", "-t", "e", "sh", "-c", "tty; read x; stty size; exit 11", rows=31, columns=99
    )
    terminal.expect("/dev/pts/0")
    time.sleep(0.3)
    terminal.write("\n")
    assert terminal.wait() == 11, terminal.output
    assert "31 99" in terminal.output


# --- exec ------------------------------------------------------------------------------------------------------------


def test_exec(containerd: Containerd) -> None:
    containerd.detached("e")
    script = "cat; echo err >&2; pwd; exit 42"
    words = ("tasks", "exec", "--exec-id", "x", "--cwd", "/tmp", "e", "sh", "-c", script)
    done = containerd(*words, stdin="given\n", check=False)
    assert (done.returncode, done.stdout) == (42, "given\n/tmp\n")
    assert done.stderr.startswith("err\n")


def test_exec_as_another_user(containerd: Containerd) -> None:
    containerd.detached("e")
    words = ("tasks", "exec", "--exec-id", "x", "--user", "1000:1000", "e", "id", "-u")
    assert containerd(*words).stdout == "1000\n"


def test_exec_is_listed_and_killed_alone(containerd: Containerd) -> None:
    containerd.detached("e")
    containerd("tasks", "exec", "--exec-id", "x", "-d", "e", "sleep", "1234")
    lines = containerd("tasks", "ps", "e").stdout.splitlines()[1:]
    pids = {int(line.split()[0]) for line in lines}
    first = containerd.tasks()["e"][0]
    assert len(pids) == 2
    assert first in pids
    containerd("tasks", "kill", "--exec-id", "x", "-s", "SIGKILL", "e")
    support.wait_for(lambda: len(containerd("tasks", "ps", "e").stdout.splitlines()) == 2)
    assert containerd.tasks()["e"] == (first, "RUNNING")


def test_exec_of_what_is_not_there(containerd: Containerd) -> None:
    containerd.detached("e")
    done = containerd("tasks", "exec", "--exec-id", "x", "e", "no-such-command", check=False)
    assert done.returncode != 0
    assert "OCI runtime exec failed" in done.stderr
    assert "executable file not found in $PATH" in done.stderr
    assert containerd.tasks()["e"][1] == "RUNNING"


# --- signals and states ----------------------------------------------------------------------------------------------


def test_kill_with_a_signal(containerd: Containerd, workdir: Path) -> None:
    script = "trap 'echo >/m/usr1' USR1; trap 'exit 3' TERM; echo >/m/ready; while :; do sleep 0.05; done"
    containerd.detached("k", "--mount", _bind(workdir), command=("sh", "-c", script))
    support.wait_for((workdir / "ready").exists)
    containerd("tasks", "kill", "-s", "SIGUSR1", "k")
    support.wait_for((workdir / "usr1").exists)
    containerd("tasks", "kill", "k")
    support.wait_for(lambda: containerd.tasks()["k"][1] == "STOPPED")
    assert "exit code 3" in containerd("tasks", "rm", "k", check=False).stderr


def test_kill_all(containerd: Containerd, workdir: Path) -> None:
    script = "sleep 4321 & sleep 4321 & echo >/m/ready; wait"
    containerd.detached("k", "--mount", _bind(workdir), command=("sh", "-c", script))
    support.wait_for((workdir / "ready").exists)
    pids = [int(line.split()[0]) for line in containerd("tasks", "ps", "k").stdout.splitlines()[1:]]
    assert len(pids) == 3
    containerd("tasks", "kill", "--all", "-s", "SIGKILL", "k")
    support.wait_for(lambda: not [pid for pid in pids if Path(f"/proc/{pid}/exe").exists()])


def test_kill_of_a_stopped_one_says_so(containerd: Containerd) -> None:
    containerd.detached("k", command=("true",))
    support.wait_for(lambda: containerd.tasks()["k"][1] == "STOPPED")
    done = containerd("tasks", "kill", "k", check=False)
    assert done.returncode != 0
    assert "process already finished" in done.stderr


def test_pause_and_resume(containerd: Containerd, workdir: Path) -> None:
    count = workdir / "count"
    script = "while :; do echo >>/m/count; sleep 0.02; done"
    containerd.detached("p", "--mount", _bind(workdir), command=("sh", "-c", script))
    support.wait_for(lambda: count.exists() and count.stat().st_size > 2)
    containerd("tasks", "pause", "p")
    assert containerd.tasks()["p"][1] == "PAUSED"
    frozen = count.stat().st_size
    time.sleep(0.3)
    assert count.stat().st_size == frozen
    containerd("tasks", "resume", "p")
    assert containerd.tasks()["p"][1] == "RUNNING"
    support.wait_for(lambda: count.stat().st_size > frozen)


def test_remove_by_force(containerd: Containerd) -> None:
    containerd.detached("r", command=("sh", "-c", "trap '' TERM; while :; do sleep 0.05; done"))
    pid = containerd.tasks()["r"][0]
    containerd("tasks", "rm", "-f", "r", check=False)
    assert containerd.tasks() == {}
    assert not Path(f"/proc/{pid}/exe").exists()
    assert support.state_directories(containerd.state_root) == []


@V1
def test_metrics_and_limits(containerd: Containerd) -> None:
    containerd.detached("m", "--memory-limit", str(64 << 20), "--cpus", "0.5")
    rows = (line.split() for line in containerd("tasks", "metrics", "m").stdout.splitlines())
    metrics = {row[0]: row[1] for row in rows if len(row) > 1}
    assert int(metrics["memory.limit_in_bytes"]) == 64 << 20
    assert int(metrics["pids.current"]) == 1
    group = Path("/sys/fs/cgroup/cpu") / containerd.namespace / "m"
    assert int((group / "cpu.cfs_quota_us").read_text()) == 50000


@V1
def test_death_for_want_of_memory(containerd: Containerd) -> None:
    events = containerd.directory / "events"
    with open(events, "w") as out:
        follower = subprocess.Popen(["ctr", "events"], env=containerd.env, stdout=out)
        try:
            eat = "dd if=/dev/zero of=/dev/null bs=200M count=1; echo $?; sleep 0.3"
            done = containerd.sh("o", eat, "--memory-limit", str(20 << 20))
            assert done == "137"
            support.wait_for(lambda: "/tasks/oom" in events.read_text())
        finally:
            follower.terminate()
            follower.wait()


# --- options ---------------------------------------------------------------------------------------------------------


def test_seccomp_and_capabilities(containerd: Containerd) -> None:
    assert _status(containerd, "a", "Seccomp") == "0"
    assert _status(containerd, "b", "Seccomp", "--seccomp") == "2"
    assert _status(containerd, "c", "NoNewPrivs") == "1"
    default = int(_status(containerd, "d", "CapEff"), 16)
    assert default & CAP_CHOWN
    assert not default & CAP_NET_ADMIN
    options = ("--cap-add", "CAP_NET_ADMIN", "--cap-drop", "CAP_CHOWN")
    changed = int(_status(containerd, "e", "CapEff", *options), 16)
    assert changed & CAP_NET_ADMIN
    assert not changed & CAP_CHOWN


def test_privileged(containerd: Containerd) -> None:
    assert int(_status(containerd, "a", "CapEff", "--privileged"), 16) & CAP_SYS_ADMIN
    assert containerd.sh("b", "mount -t tmpfs none /mnt && echo mounted", "--privileged") == "mounted"


def test_mounts_and_read_only_root(containerd: Containerd, workdir: Path) -> None:
    (workdir / "f").write_text("host")
    assert containerd.sh("a", "cat /m/f; echo in >/m/g", "--mount", _bind(workdir)) == "host"
    assert (workdir / "g").read_text() == "in\n"
    done = containerd("run", "--rm", "--mount", _bind(workdir, "rbind:ro"), IMAGE, "b", "touch", "/m/h", check=False)
    assert "Read-only file system" in done.stderr
    done = containerd("run", "--rm", "--read-only", IMAGE, "c", "touch", "/h", check=False)
    assert "Read-only file system" in done.stderr
    tmpfs = "type=tmpfs,src=tmpfs,dst=/mnt,options=size=64k:mode=1770"
    assert containerd.sh("d", "stat -c %a /mnt; df -k /mnt | tail -1", "--mount", tmpfs).split()[-5] == "64"


def test_namespaces(containerd: Containerd) -> None:
    assert containerd.sh("a", "readlink /proc/self/ns/net", "--net-host") == os.readlink("/proc/self/ns/net")
    assert containerd.sh("b", "readlink /proc/self/ns/net") != os.readlink("/proc/self/ns/net")
    containerd.detached("first")
    pid = containerd.tasks()["first"][0]
    options = [word for kind in ("pid", "ipc", "uts") for word in ("--with-ns", f"{kind}:/proc/{pid}/ns/{kind}")]
    script = "for kind in pid ipc uts; do readlink /proc/self/ns/$kind; done"
    found = containerd.sh("second", script, *options).split()
    assert found == [os.readlink(f"/proc/{pid}/ns/{kind}") for kind in ("pid", "ipc", "uts")]


def test_user_namespace(containerd: Containerd) -> None:
    options = ("--uidmap", "0:100000:5000", "--gidmap", "0:100000:5000")
    done = containerd(
        "run", "--rm", *options, IMAGE, "u", "sh", "-c", "cat /proc/self/uid_map; stat -c %u /bin/busybox"
    )
    assert done.stdout.split() == ["0", "100000", "5000", "0"]


def test_device(containerd: Containerd) -> None:
    assert containerd.sh("a", "ls -l /dev/fuse; : </dev/fuse && echo opened", "--device", "/dev/fuse").endswith(
        "opened"
    )


# --- failures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "text"),
    [
        pytest.param("no-such-command", 'exec: "no-such-command": executable file not found in $PATH', id="name"),
        pytest.param("/no/such/file", "no such file or directory", id="path"),
        pytest.param("/etc/no-x-bit", "permission denied", id="no x bit"),
    ],
)
def test_what_cannot_be_executed(containerd: Containerd, command: str, text: str) -> None:
    done = containerd("run", "--rm", IMAGE, "f", command, check=False)
    assert done.returncode == 1
    assert "OCI runtime create failed" in done.stderr
    assert text.lower() in done.stderr.lower()
    assert support.state_directories(containerd.state_root) == []


def test_a_mount_whose_source_is_not_there(containerd: Containerd) -> None:
    done = containerd("run", "--rm", "--mount", _bind(Path("/no/such/source")), IMAGE, "f", "true", check=False)
    assert done.returncode == 1
    assert "/no/such/source" in done.stderr
    assert "no such file or directory" in done.stderr.lower()
    assert containerd.tasks() == {}
    assert support.state_directories(containerd.state_root) == []
