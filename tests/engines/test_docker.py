"""dockerd drives the runtime, through containerd's shim and with its own defaults and hooks."""

from __future__ import annotations

import concurrent.futures
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from . import support
from .docker import IMAGE, Docker

CAP_CHOWN, CAP_NET_ADMIN = 1 << 0, 1 << 12
V1 = pytest.mark.skipif(not Path("/sys/fs/cgroup/memory").is_dir(), reason="cgroup v1 files; this machine has v2 only")


def _logs_say(docker: Docker, container: str, text: str) -> Callable[[], bool]:
    return lambda: text in docker("logs", container, check=False).stdout


def _status(docker: Docker, key: str, *options: str) -> str:
    line = docker("run", "--rm", *options, IMAGE, "grep", f"^{key}:", "/proc/self/status").stdout
    return line.split("\t", 1)[1].rstrip("\n")


def test_the_runtime_is_known(docker: Docker) -> None:
    info = docker("info", "--format", "{{.DefaultRuntime}} {{json .Runtimes}}").stdout
    assert info.startswith("tested ")
    assert '"tested"' in info


def test_foreground_output_input_and_exit_code(docker: Docker) -> None:
    done = docker("run", "--rm", "-i", IMAGE, "sh", "-c", "cat; echo err >&2; exit 7", stdin="in\n", check=False)
    assert (done.returncode, done.stdout, done.stderr) == (7, "in\n", "err\n")


def test_detached_logs_wait_inspect(docker: Docker) -> None:
    docker.detached("--name", "d1", command=("sh", "-c", "echo one; echo two >&2; exit 5"))
    assert docker("wait", "d1").stdout == "5\n"
    logs = docker("logs", "d1")
    assert (logs.stdout, logs.stderr) == ("one\n", "two\n")
    state = docker.inspect("d1")["State"]
    assert (state["Status"], state["ExitCode"], state["OOMKilled"]) == ("exited", 5, False)


def test_terminal(docker: Docker) -> None:
    terminal = docker.terminal(
        "run", "--rm", "-it", IMAGE, "sh", "-c", "tty; read x; stty size; exit 5", rows=33, columns=101
    )
    terminal.expect("/dev/pts/0")
    time.sleep(0.3)
    terminal.write("\n")
    assert terminal.wait() == 5, terminal.output
    assert "33 101" in terminal.output


def test_exec(docker: Docker) -> None:
    docker.detached("--name", "e1")
    words = ("--user", "alice", "-w", "/tmp", "-e", "B=b", "e1", "sh", "-c", "cat; id -u; pwd; echo $B; exit 42")
    done = docker("exec", "-i", *words, stdin="given\n", check=False)
    assert (done.returncode, done.stdout) == (42, "given\n1000\n/tmp\nb\n")
    terminal = docker.terminal("exec", "-it", "e1", "sh", "-c", "tty; exit 11")
    assert terminal.wait() == 11
    assert "/dev/pts/0" in terminal.output
    assert docker("exec", "e1", "no-such-command", check=False).returncode in (126, 127)


@pytest.mark.parametrize(
    ("command", "code", "text"),
    [
        ("no-such-command", 127, "executable file not found in $PATH"),
        ("/no/such/file", 127, "no such file or directory"),
        ("/etc/no-x-bit", 126, "permission denied"),
    ],
)
def test_what_cannot_be_executed(docker: Docker, command: str, code: int, text: str) -> None:
    done = docker("run", "--rm", IMAGE, command, check=False)
    assert done.returncode == code
    assert text.lower() in done.stderr.lower()


def test_a_directory_over_a_file(docker: Docker, workdir: Path) -> None:
    done = docker("run", "--rm", "-v", f"{workdir}:/etc/no-x-bit", IMAGE, "true", check=False)
    assert done.returncode in (125, 127)
    assert "Are you trying to mount a directory onto a file" in done.stderr


def test_stop_kill_and_remove(docker: Docker) -> None:
    script = "trap 'exit 3' TERM; trap 'echo usr1' USR1; echo ready; while :; do sleep 0.05; done"
    docker.detached("--name", "s1", command=("sh", "-c", script))
    support.wait_for(_logs_say(docker, "s1", "ready"))
    docker("kill", "-s", "USR1", "s1")
    support.wait_for(_logs_say(docker, "s1", "usr1"))
    docker("stop", "-t", "10", "s1")
    assert docker.inspect("s1")["State"]["ExitCode"] == 3
    docker("start", "s1")
    pid = docker.inspect("s1")["State"]["Pid"]
    docker("rm", "-f", "s1")
    assert not Path(f"/proc/{pid}/exe").exists()


def test_pause_top_stats(docker: Docker) -> None:
    docker.detached("--name", "p1", "--memory", "64m")
    docker("pause", "p1")
    assert docker.inspect("p1")["State"]["Status"] == "paused"
    docker("unpause", "p1")
    assert "sleep 1000" in docker("top", "p1").stdout
    assert "64MiB" in docker("stats", "--no-stream", "p1").stdout


@V1
def test_limits_update_and_death_for_want_of_memory(docker: Docker) -> None:
    name = docker.detached("--name", "l1", "--memory", "64m", "--cpus", "0.5", "--pids-limit", "33")
    memory = support.CGROUP_ROOT / "memory" / docker.cgroup / name
    assert int((memory / "memory.limit_in_bytes").read_text()) == 64 << 20
    assert (support.CGROUP_ROOT / "cpu" / docker.cgroup / name / "cpu.cfs_quota_us").read_text() == "50000\n"
    assert (support.CGROUP_ROOT / "pids" / docker.cgroup / name / "pids.max").read_text() == "33\n"
    docker("update", "--memory", "48m", "--memory-swap", "96m", "l1")
    assert int((memory / "memory.limit_in_bytes").read_text()) == 48 << 20
    eat = "dd if=/dev/zero of=/dev/null bs=200M count=1; echo $?; sleep 0.3"
    docker.detached("--name", "l2", "--memory", "20m", "--memory-swap", "20m", command=("sh", "-c", eat))
    docker("wait", "l2")
    assert docker("logs", "l2").stdout == "137\n"
    assert docker.inspect("l2")["State"]["OOMKilled"] is True


def test_privileges(docker: Docker) -> None:
    default = int(_status(docker, "CapEff"), 16)
    assert default & CAP_CHOWN
    assert not default & CAP_NET_ADMIN
    changed = int(_status(docker, "CapEff", "--cap-add", "NET_ADMIN", "--cap-drop", "CHOWN"), 16)
    assert changed & CAP_NET_ADMIN
    assert not changed & CAP_CHOWN
    assert _status(docker, "Seccomp") == "2"
    assert _status(docker, "Seccomp", "--security-opt", "seccomp=unconfined") == "0"
    assert _status(docker, "NoNewPrivs", "--security-opt", "no-new-privileges") == "1"


def test_mounts(docker: Docker, workdir: Path) -> None:
    (workdir / "f").write_text("host")
    assert docker.sh("cat /m/f; echo in >/m/g", "-v", f"{workdir}:/m") == "host"
    assert (workdir / "g").read_text() == "in\n"
    done = docker("run", "--rm", "-v", f"{workdir}:/m:ro", IMAGE, "touch", "/m/h", check=False)
    assert "Read-only file system" in done.stderr
    assert docker.sh("df -k /t | tail -1", "--tmpfs", "/t:size=64k").split()[1] == "64"
    assert docker.sh("df -k /dev/shm | tail -1", "--shm-size", "3m").split()[1] == "3072"
    done = docker("run", "--rm", "--read-only", IMAGE, "touch", "/x", check=False)
    assert "Read-only file system" in done.stderr


def test_namespaces_hostname_and_sysctl(docker: Docker) -> None:
    assert (
        docker.sh("hostname; cat /proc/sys/kernel/msgmax", "-h", "name", "--sysctl", "kernel.msgmax=4444")
        == "name\n4444"
    )
    assert docker.sh("readlink /proc/self/ns/net", "--network=host") == os.readlink("/proc/self/ns/net")
    docker.detached("--name", "n1", "--ipc", "shareable")
    pid = docker.inspect("n1")["State"]["Pid"]
    options = ("--network=container:n1", "--pid=container:n1", "--ipc=container:n1")
    found = docker.sh("for kind in net pid ipc; do readlink /proc/self/ns/$kind; done", *options).split()
    assert found == [os.readlink(f"/proc/{pid}/ns/{kind}") for kind in ("net", "pid", "ipc")]


def test_init(docker: Docker) -> None:
    assert "docker-init" in docker.sh("cat /proc/1/cmdline", "--init")


def test_ten_at_once(docker: Docker) -> None:
    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        found = list(pool.map(lambda n: docker.sh(f"sleep 0.2; echo {n}"), range(10)))
    assert found == [str(n) for n in range(10)]
