"""podman drives the runtime: running, input and output, exec, states, failures."""

from __future__ import annotations

import concurrent.futures
import json
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from . import support
from .podman import IMAGE, Podman

SLEEPY = ("sh", "-c", "trap 'exit 3' TERM; trap 'echo usr1' USR1; echo ready; while :; do sleep 0.05; done")


def _logs_say(podman: Podman, container: str, text: str) -> Callable[[], bool]:
    return lambda: text in podman("logs", container, check=False).stdout


# --- running ---------------------------------------------------------------------------------------------------------


def test_foreground_output_and_exit_code(podman: Podman) -> None:
    done = podman("run", "--rm", IMAGE, "sh", "-c", "echo out; echo err >&2; exit 7", check=False)
    assert (done.returncode, done.stdout, done.stderr) == (7, "out\n", "err\n")


def test_standard_input_is_handed_on(podman: Podman) -> None:
    assert podman("run", "--rm", "-i", IMAGE, "tr", "a-z", "A-Z", stdin="hello\n").stdout == "HELLO\n"


def test_death_by_signal_is_128_plus_its_number(podman: Podman) -> None:
    done = podman("run", "--rm", IMAGE, "sh", "-c", "sh -c 'kill -9 $$'; echo inner $?; exit 137", check=False)
    assert (done.returncode, done.stdout) == (137, "inner 137\n")


def test_detached_logs_wait_and_inspect(podman: Podman) -> None:
    podman.detached("--name", "d", command=("sh", "-c", "echo one; echo two >&2; exit 5"))
    assert podman("wait", "d").stdout == "5\n"
    logs = podman("logs", "d")
    assert (logs.stdout, logs.stderr) == ("one\n", "two\n")
    state = podman.inspect("d")["State"]
    assert (state["Status"], state["ExitCode"], state["Running"], state["OOMKilled"]) == ("exited", 5, False, False)


def test_state_of_a_running_container(podman: Podman) -> None:
    podman.detached("--name", "d")
    found = podman.inspect("d")
    assert found["State"]["Status"] == "running"
    pid = found["State"]["Pid"]
    assert Path(f"/proc/{pid}/cmdline").read_bytes() == b"sleep\x001000\x00"
    assert podman("ps", "--format", "{{.Names}} {{.Status}}").stdout.startswith("d Up")
    states = support.state_directories(podman.state_root)
    assert [found["Id"]] == [Path(path).parent.name for path in states]


def test_create_init_start_attach(podman: Podman) -> None:
    podman("create", "--name", "c", IMAGE, "sh", "-c", "echo started")
    podman("init", "c")
    assert podman.inspect("c")["State"]["Status"] == "initialized"
    assert podman("start", "--attach", "c").stdout == "started\n"


def test_a_container_runs_again(podman: Podman) -> None:
    podman("create", "--name", "c", IMAGE, "sh", "-c", "echo x >>/runs; wc -l </runs")
    assert [podman("start", "--attach", "c").stdout for _ in range(3)] == ["1\n", "2\n", "3\n"]


def test_restart(podman: Podman) -> None:
    podman.detached("--name", "c")
    before = podman.inspect("c")["State"]["Pid"]
    podman("restart", "-t", "0", "c")
    after = podman.inspect("c")["State"]
    assert after["Status"] == "running"
    assert after["Pid"] != before


def test_rootfs_of_a_directory(podman: Podman, workdir: Path) -> None:
    subprocess.run(["tar", "-xf", "-", "-C", workdir], input=support.rootfs_tar(), check=True)
    done = podman("run", "--rm", "--rootfs", str(workdir), "sh", "-c", "echo hi >/made-inside; pwd")
    assert done.stdout == "/\n"
    assert (workdir / "made-inside").read_text() == "hi\n"


def test_ten_at_once(podman: Podman) -> None:
    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        found = list(pool.map(lambda n: podman.sh(f"sleep 0.2; echo {n}"), range(10)))
    assert found == [str(n) for n in range(10)]


# --- terminals -------------------------------------------------------------------------------------------------------


def test_run_on_a_terminal(podman: Podman) -> None:
    script = (
        "tty; test -t 0 && test -t 1 && test -t 2 && echo three; ls -l /dev/console | cut -c1; ps -o tty,comm | grep ps"
    )
    terminal = podman.terminal("run", "--rm", "-it", IMAGE, "sh", "-c", script)
    assert terminal.wait() == 0, terminal.output
    name, three, console, ps = terminal.output.split("\n")[:4]
    assert (name, three, console) == ("/dev/pts/0", "three", "c")
    assert ps.split() == ["136,0", "ps"]


def test_the_window_has_the_size_of_the_client_s_and_follows_it(podman: Podman) -> None:
    report = "trap 'echo changed $(stty size)' WINCH; echo armed; while :; do sleep 0.05; done"
    script = f"echo ready; read x; echo first $(stty size); {report}"
    terminal = podman.terminal("run", "--rm", "-it", IMAGE, "sh", "-c", script, rows=33, columns=101)
    terminal.expect("ready")
    terminal.write("\n")
    terminal.expect("first 33 101")
    terminal.expect("armed")
    terminal.resize(40, 120)
    terminal.expect("changed 40 120")
    terminal.write("\x03")
    assert terminal.wait() == 130


def test_control_c_reaches_the_foreground_process(podman: Podman) -> None:
    script = "trap 'echo interrupted; exit 9' INT; echo ready; while :; do sleep 0.05; done"
    terminal = podman.terminal("run", "--rm", "-it", IMAGE, "sh", "-c", script)
    terminal.expect("ready")
    terminal.write("\x03")
    terminal.expect("interrupted")
    assert terminal.wait() == 9


def test_a_terminal_without_a_client(podman: Podman) -> None:
    podman.detached("-t", "--name", "t", command=("sh", "-c", "tty; sleep 1000"))
    support.wait_for(_logs_say(podman, "t", "/dev/pts/0"))
    terminal = podman.terminal("attach", "t")
    terminal.wait_raw()
    for key in "\x10\x11":  # the keys that detach, which podman only sees one by one
        terminal.write(key)
        time.sleep(0.2)
    assert terminal.wait(10) == 0
    assert podman.inspect("t")["State"]["Running"]


# --- exec ------------------------------------------------------------------------------------------------------------


def test_exec_output_input_and_exit_code(podman: Podman) -> None:
    podman.detached("--name", "e")
    done = podman("exec", "-i", "e", "sh", "-c", "cat; echo err >&2; exit 42", stdin="given\n", check=False)
    assert (done.returncode, done.stdout, done.stderr) == (42, "given\n", "err\n")


def test_exec_is_in_the_container(podman: Podman) -> None:
    podman.detached("--name", "e", "--hostname", "inside", "--read-only", "--cap-drop", "all")
    script = "hostname; ls /proc | grep -cx 1; touch /x"
    done = podman("exec", "e", "sh", "-c", script, check=False)
    assert done.stdout == "inside\n1\n"
    assert "Read-only file system" in done.stderr
    status = podman("exec", "e", "grep", "-E", "^(CapEff|Seccomp):", "/proc/self/status").stdout
    assert status == "CapEff:\t0000000000000000\nSeccomp:\t2\n"
    pid = podman.inspect("e")["State"]["Pid"]
    assert podman("exec", "e", "cat", "/proc/self/cgroup").stdout == Path(f"/proc/{pid}/cgroup").read_text()


def test_exec_user_workdir_environment(podman: Podman) -> None:
    podman.detached("--name", "e", "-e", "A=container")
    script = "id -u; id -g; id -G; pwd; echo $A $B $HOME"
    done = podman("exec", "--user", "alice", "--workdir", "/tmp", "-e", "B=exec", "e", "sh", "-c", script)
    assert done.stdout.split("\n") == ["1000", "1000", "1000 50", "/tmp", "container exec /home/alice", ""]


def test_exec_on_a_terminal(podman: Podman) -> None:
    podman.detached("--name", "e")
    terminal = podman.terminal("exec", "-it", "e", "sh", "-c", "tty; read x; stty size; exit 11", rows=31, columns=99)
    terminal.expect("/dev/pts/0")
    terminal.write("\n")
    assert terminal.wait() == 11
    assert "31 99" in terminal.output


def test_exec_detached_and_privileged(podman: Podman) -> None:
    podman.detached("--name", "e")
    podman("exec", "-d", "e", "sh", "-c", "echo yes >/tmp/done")
    support.wait_for(lambda: podman("exec", "e", "cat", "/tmp/done", check=False).stdout == "yes\n")
    plain = podman("exec", "e", "grep", "CapEff", "/proc/self/status").stdout.split()[1]
    privileged = podman("exec", "--privileged", "e", "grep", "CapEff", "/proc/self/status").stdout.split()[1]
    assert int(privileged, 16) & 1 << 21
    assert not int(plain, 16) & 1 << 21


def test_exec_of_what_is_not_there(podman: Podman) -> None:
    podman.detached("--name", "e")
    assert podman("exec", "e", "no-such-command", check=False).returncode == 127
    assert podman("exec", "e", "/no/such/file", check=False).returncode == 127
    assert podman("exec", "e", "/etc/no-x-bit", check=False).returncode == 126


def test_many_execs_at_once(podman: Podman) -> None:
    podman.detached("--name", "e")
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda n: podman("exec", "e", "echo", str(n)).stdout, range(6)))
    assert found == [f"{n}\n" for n in range(6)]


# --- signals and states ----------------------------------------------------------------------------------------------


def test_stop_sends_term_and_the_exit_code_is_kept(podman: Podman) -> None:
    podman.detached("--name", "s", command=SLEEPY)
    support.wait_for(_logs_say(podman, "s", "ready"))
    podman("stop", "-t", "10", "s")
    assert podman.inspect("s")["State"]["ExitCode"] == 3


def test_stop_kills_after_its_timeout(podman: Podman) -> None:
    podman.detached("--name", "s", command=("sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done"))
    support.wait_for(_logs_say(podman, "s", "ready"))
    start = time.monotonic()
    podman("stop", "-t", "1", "s")
    assert 0.9 < time.monotonic() - start < 8
    assert podman.inspect("s")["State"]["ExitCode"] == 137


def test_stop_signal(podman: Podman) -> None:
    script = "trap 'exit 4' HUP; echo ready; while :; do sleep 0.05; done"
    podman.detached("--name", "s", "--stop-signal", "HUP", command=("sh", "-c", script))
    support.wait_for(_logs_say(podman, "s", "ready"))
    podman("stop", "-t", "10", "s")
    assert podman.inspect("s")["State"]["ExitCode"] == 4


def test_kill_with_a_signal(podman: Podman) -> None:
    podman.detached("--name", "k", command=SLEEPY)
    support.wait_for(_logs_say(podman, "k", "ready"))
    podman("kill", "-s", "USR1", "k")
    support.wait_for(_logs_say(podman, "k", "usr1"))
    podman("kill", "k")
    assert podman("wait", "k").stdout == "137\n"


def test_signals_are_proxied_from_the_client(podman: Podman) -> None:
    argv = podman.argv("run", "--name", "s", IMAGE, *SLEEPY)
    client = subprocess.Popen(argv, env=podman.env, cwd=podman.cwd, stdout=subprocess.DEVNULL)
    try:
        support.wait_for(_logs_say(podman, "s", "ready"))
        client.send_signal(signal.SIGUSR1)
        support.wait_for(_logs_say(podman, "s", "usr1"))
        client.send_signal(signal.SIGTERM)
        assert client.wait(10) == 3
    finally:
        client.kill()
        client.wait()


def test_remove_by_force(podman: Podman) -> None:
    podman.detached("--name", "r", command=SLEEPY)
    pid = podman.inspect("r")["State"]["Pid"]
    assert podman("rm", "r", check=False).returncode == 2
    podman("rm", "-f", "-t", "0", "r")
    assert not Path(f"/proc/{pid}").exists()
    assert support.state_directories(podman.state_root) == []


def test_a_child_that_left_the_session_dies_with_the_container(podman: Podman, workdir: Path) -> None:
    podman.detached("--name", "r", "-v", f"{workdir}:/m", command=("sh", "-c", "setsid sleep 4321 & echo >/m/up; wait"))
    support.wait_for((workdir / "up").exists)
    pid = podman.inspect("r")["State"]["Pid"]
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    assert children
    podman("kill", "r")
    podman("wait", "r")
    assert not [child for child in children if Path(f"/proc/{child}").exists()]


def test_pause_and_unpause(podman: Podman, workdir: Path) -> None:
    count = workdir / "count"
    podman.detached(
        "--name", "p", "-v", f"{workdir}:/m", command=("sh", "-c", "while :; do echo >>/m/count; sleep 0.02; done")
    )
    support.wait_for(lambda: count.exists() and count.stat().st_size > 2)
    podman("pause", "p")
    assert podman.inspect("p")["State"]["Status"] == "paused"
    frozen = count.stat().st_size
    time.sleep(0.3)
    assert count.stat().st_size == frozen
    assert podman("exec", "p", "true", check=False).returncode != 0
    podman("unpause", "p")
    assert podman.inspect("p")["State"]["Status"] == "running"
    support.wait_for(lambda: count.stat().st_size > frozen)


def test_remove_of_a_paused_one(podman: Podman) -> None:
    podman.detached("--name", "p")
    podman("pause", "p")
    podman("rm", "-f", "-t", "0", "p")
    assert podman("ps", "-aq").stdout == ""


def test_top_and_stats(podman: Podman) -> None:
    podman.detached("--name", "t", "--memory", "64m")
    lines = podman("top", "t", "pid", "hpid", "user", "comm").stdout.splitlines()
    pid = podman.inspect("t")["State"]["Pid"]
    assert lines[1].split() == ["1", str(pid), "root", "sleep"]
    stats = json.loads(podman("stats", "--no-stream", "--format", "json", "t").stdout)
    assert stats[0]["name"] == "t"
    assert stats[0]["pids"] == "1"
    assert stats[0]["mem_usage"].endswith("/ 67.11MB")


# --- failures --------------------------------------------------------------------------------------------------------


IS_A_DIRECTORY = "permission denied|is a directory"  # runc 1.1 | runc 1.2


@pytest.mark.parametrize(
    ("command", "code", "text"),
    [
        pytest.param(
            "no-such-command", 127, r'exec: "no-such-command": executable file not found in \$PATH', id="name"
        ),
        pytest.param("/no/such/file", 127, "no such file or directory", id="path"),
        pytest.param("/etc/no-x-bit", 126, "permission denied", id="no x bit"),
        pytest.param("/etc", 126, IS_A_DIRECTORY, id="directory"),
    ],
)
def test_what_cannot_be_executed(podman: Podman, command: str, code: int, text: str) -> None:
    done = podman("run", "--name", "f", IMAGE, command, check=False)
    assert done.returncode == code, done.stderr
    assert re.search(text, done.stderr, re.IGNORECASE)
    assert podman.inspect("f")["State"]["Status"] in ("created", "exited")
    podman("rm", "f")
    assert support.state_directories(podman.state_root) == []


def test_a_file_of_unknown_format(podman: Podman) -> None:
    done = podman("run", "--rm", IMAGE, "/etc/garbage", check=False)
    assert done.returncode != 0
    assert "exec format error" in done.stderr.lower()


def test_a_working_directory_that_is_not_there(podman: Podman) -> None:
    done = podman("run", "--rm", "-w", "/no/such/directory", IMAGE, "true", check=False)
    assert done.returncode in (126, 127)
    assert "/no/such/directory" in done.stderr


def test_a_mount_whose_source_is_not_there(podman: Podman) -> None:
    done = podman("run", "--rm", "--mount", "type=bind,src=/no/such/source,dst=/x", IMAGE, "true", check=False)
    assert done.returncode != 0
    assert "/no/such/source" in done.stderr


def test_a_directory_over_a_file(podman: Podman, workdir: Path) -> None:
    done = podman("run", "--rm", "-v", f"{workdir}:/etc/no-x-bit", IMAGE, "true", check=False)
    assert done.returncode in (126, 127), done.stderr
    assert "no-x-bit" in done.stderr
    assert "not a directory" in done.stderr.lower()
    assert support.state_directories(podman.state_root) == []


def test_death_for_want_of_memory_is_told(podman: Podman) -> None:
    eat = "dd if=/dev/zero of=/dev/null bs=200M count=1; echo $?; sleep 0.3"
    podman.detached("--name", "o", "--memory", "20m", "--memory-swap", "20m", command=("sh", "-c", eat))
    podman("wait", "o")
    assert podman("logs", "o").stdout == "137\n"
    # conmon writes this file when the memory cgroup tells of the event; podman 4.3 looks elsewhere.
    told = podman.cwd / "oom"
    assert told.exists() or podman.inspect("o")["State"]["OOMKilled"] is True
    told.unlink(missing_ok=True)
