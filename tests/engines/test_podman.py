"""podman drives the runtime: running, input and output, exec, states, failures."""

from __future__ import annotations

import concurrent.futures
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from . import processes
from .engine import EAT_MEMORY
from .image import rootfs_tar
from .podman import Podman

SLEEPY = ("sh", "-c", "trap 'exit 3' TERM; trap 'echo usr1' USR1; echo ready; while :; do sleep 0.05; done")


def _logs_say(podman: Podman, container: str, text: str) -> Callable[[], bool]:
    return lambda: text in podman("logs", container, check=False).stdout


# --- running ---------------------------------------------------------------------------------------------------------


def test_death_by_signal_is_128_plus_its_number(podman: Podman) -> None:
    done = podman("run", "--rm", podman.image, "sh", "-c", "sh -c 'kill -9 $$'; echo inner $?; exit 137", check=False)
    assert (done.returncode, done.stdout) == (137, "inner 137\n")


def test_state_of_a_running_container(podman: Podman) -> None:
    podman.start("--name", "d")
    found = podman.inspect("d")
    assert found["State"]["Status"] == "running"
    pid = found["State"]["Pid"]
    assert Path(f"/proc/{pid}/cmdline").read_bytes() == b"sleep\x001000\x00"
    assert podman("ps", "--format", "{{.Names}} {{.Status}}").stdout.startswith("d Up")
    states = podman.states()
    assert [found["Id"]] == [Path(path).parent.name for path in states]


def test_create_init_start_attach(podman: Podman) -> None:
    podman("create", "--name", "c", podman.image, "sh", "-c", "echo started")
    podman("init", "c")
    assert podman.inspect("c")["State"]["Status"] == "initialized"
    assert podman("start", "--attach", "c").stdout == "started\n"


def test_a_container_runs_again(podman: Podman) -> None:
    podman("create", "--name", "c", podman.image, "sh", "-c", "echo x >>/runs; wc -l </runs")
    assert [podman("start", "--attach", "c").stdout for _ in range(3)] == ["1\n", "2\n", "3\n"]


def test_rootfs_of_a_directory(podman: Podman, workdir: Path) -> None:
    subprocess.run(["tar", "-xf", "-", "-C", workdir], input=rootfs_tar(), check=True)
    done = podman("run", "--rm", "--rootfs", str(workdir), "sh", "-c", "echo hi >/made-inside; pwd")
    assert done.stdout == "/\n"
    assert (workdir / "made-inside").read_text() == "hi\n"


# --- terminals -------------------------------------------------------------------------------------------------------


def test_the_window_has_the_size_of_the_client_s_and_follows_it(podman: Podman) -> None:
    report = "trap 'echo changed $(stty size)' WINCH; echo armed; while :; do sleep 0.05; done"
    script = f"echo ready; read x; echo first $(stty size); {report}"
    terminal = podman.terminal("run", "--rm", "-it", podman.image, "sh", "-c", script, rows=33, columns=101)
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
    terminal = podman.terminal("run", "--rm", "-it", podman.image, "sh", "-c", script)
    terminal.expect("ready")
    terminal.write("\x03")
    terminal.expect("interrupted")
    assert terminal.wait() == 9


def test_a_terminal_without_a_client(podman: Podman) -> None:
    podman.start("-t", "--name", "t", command=("sh", "-c", "tty; sleep 1000"))
    processes.wait_for(_logs_say(podman, "t", "/dev/pts/0"))
    terminal = podman.terminal("attach", "t")
    terminal.wait_raw()
    for key in "\x10\x11":  # the keys that detach, which podman only sees one by one
        terminal.write(key)
        time.sleep(0.2)
    assert terminal.wait() == 0
    assert podman.inspect("t")["State"]["Running"]


# --- exec ------------------------------------------------------------------------------------------------------------


def test_exec_is_in_the_container(podman: Podman) -> None:
    podman.start("--name", "e", "--hostname", "inside", "--read-only", "--cap-drop", "all")
    script = "hostname; ls /proc | grep -cx 1; touch /x"
    done = podman("exec", "e", "sh", "-c", script, check=False)
    assert done.stdout == "inside\n1\n"
    assert "Read-only file system" in done.stderr
    status = podman("exec", "e", "grep", "-E", "^(CapEff|Seccomp):", "/proc/self/status").stdout
    assert status == "CapEff:\t0000000000000000\nSeccomp:\t2\n"
    podman("exec", "--detach", "e", "sleep", "77")
    processes.wait_for(lambda: len(podman.top("e")) == 2)
    one, other = podman.top("e")
    assert Path(f"/proc/{one}/cgroup").read_text() == Path(f"/proc/{other}/cgroup").read_text()


def test_exec_user_workdir_environment(podman: Podman) -> None:
    podman.start("--name", "e", "-e", "A=container")
    script = "id -u; id -g; id -G; pwd; echo $A $B $HOME"
    done = podman("exec", "--user", "alice", "--workdir", "/tmp", "-e", "B=exec", "e", "sh", "-c", script)
    assert done.stdout.split("\n") == ["1000", "1000", "1000 50", "/tmp", "container exec /home/alice", ""]


def test_exec_detached_and_privileged(podman: Podman) -> None:
    podman.start("--name", "e")
    podman("exec", "-d", "e", "sh", "-c", "echo yes >/tmp/done")
    processes.wait_for(lambda: podman("exec", "e", "cat", "/tmp/done", check=False).stdout == "yes\n")
    plain = podman("exec", "e", "grep", "CapEff", "/proc/self/status").stdout.split()[1]
    privileged = podman("exec", "--privileged", "e", "grep", "CapEff", "/proc/self/status").stdout.split()[1]
    assert int(privileged, 16) & 1 << 21
    assert not int(plain, 16) & 1 << 21


def test_exec_of_what_is_not_there(podman: Podman) -> None:
    podman.start("--name", "e")
    assert podman("exec", "e", "no-such-command", check=False).returncode == 127
    assert podman("exec", "e", "/no/such/file", check=False).returncode == 127
    assert podman("exec", "e", "", check=False).returncode == 127
    assert podman("exec", "e", "/etc/no-x-bit", check=False).returncode == 126
    assert podman("exec", "e", "/etc", check=False).returncode == 126


def test_many_execs_at_once(podman: Podman) -> None:
    podman.start("--name", "e")
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda n: podman("exec", "e", "echo", str(n)).stdout, range(6)))
    assert found == [f"{n}\n" for n in range(6)]


# --- signals and states ----------------------------------------------------------------------------------------------


def test_stop_signal(podman: Podman) -> None:
    script = "trap 'exit 4' HUP; echo ready; while :; do sleep 0.05; done"
    podman.start("--name", "s", "--stop-signal", "HUP", command=("sh", "-c", script))
    processes.wait_for(_logs_say(podman, "s", "ready"))
    podman("stop", "-t", "10", "s")
    assert podman.inspect("s")["State"]["ExitCode"] == 4


def test_signals_are_proxied_from_the_client(podman: Podman) -> None:
    argv = podman.argv("run", "--name", "s", podman.image, *SLEEPY)
    client = subprocess.Popen(argv, env=podman.env, cwd=podman.cwd, stdout=subprocess.DEVNULL)

    def usr1_arrives() -> bool:
        client.send_signal(signal.SIGUSR1)  # podman drops what comes while it attaches
        return _logs_say(podman, "s", "usr1")()

    try:
        processes.wait_for(_logs_say(podman, "s", "ready"))
        processes.wait_for(usr1_arrives)
        client.send_signal(signal.SIGTERM)
        assert client.wait(processes.PATIENCE) == 3
    finally:
        client.kill()
        client.wait()


def test_a_child_that_left_the_session_dies_with_the_container(podman: Podman, workdir: Path) -> None:
    podman.start("--name", "r", "-v", f"{workdir}:/m", command=("sh", "-c", "setsid sleep 4321 & echo >/m/up; wait"))
    processes.wait_for((workdir / "up").exists)
    pid = podman.pid("r")
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    assert children
    podman("kill", "r")
    podman("wait", "r")
    assert not [child for child in children if Path(f"/proc/{child}").exists()]


def test_a_paused_one_executes_nothing_and_is_removed(podman: Podman) -> None:
    podman.start("--name", "p")
    podman("pause", "p")
    assert podman("exec", "p", "true", check=False).returncode != 0
    podman("rm", "-f", "-t", "0", "p")
    assert podman("ps", "-aq").stdout == ""


# --- failures --------------------------------------------------------------------------------------------------------


def test_a_directory_cannot_be_executed(podman: Podman) -> None:
    done = podman("run", "--name", "f", podman.image, "/etc", check=False)
    assert done.returncode == 126, done.stderr
    assert re.search("permission denied|is a directory", done.stderr, re.IGNORECASE)  # runc 1.1 | runc 1.2
    assert podman.inspect("f")["State"]["Status"] in ("created", "exited")
    podman("rm", "f")
    assert podman.states() == []


def test_a_file_of_unknown_format(podman: Podman) -> None:
    done = podman("run", "--rm", podman.image, "/etc/garbage", check=False)
    assert done.returncode != 0
    assert "exec format error" in done.stderr.lower()


def test_a_working_directory_that_is_not_there(podman: Podman) -> None:
    done = podman("run", "--rm", "-w", "/no/such/directory", podman.image, "true", check=False)
    assert done.returncode in (126, 127)
    assert "/no/such/directory" in done.stderr


def test_a_mount_whose_source_is_not_there(podman: Podman) -> None:
    done = podman("run", "--rm", "--mount", "type=bind,src=/no/such/source,dst=/x", podman.image, "true", check=False)
    assert done.returncode != 0
    assert "/no/such/source" in done.stderr


def test_a_directory_over_a_file(podman: Podman, workdir: Path) -> None:
    done = podman("run", "--rm", "-v", f"{workdir}:/etc/no-x-bit", podman.image, "true", check=False)
    assert done.returncode in (126, 127), done.stderr
    assert "no-x-bit" in done.stderr
    assert "not a directory" in done.stderr.lower()
    assert podman.states() == []


@pytest.mark.usefixtures("memory_limits")
def test_death_for_want_of_memory_is_told(podman: Podman) -> None:
    # conmon stops listening to the cgroup's events at the first that is not a death (2.1.12), but looks once more when
    # the container has ended: somebody must keep the cgroup, which systemd would remove.
    stays = "sleep 3 >/dev/null 2>&1 &"
    command = ("sh", "-c", f"{EAT_MEMORY}; {stays}")
    podman.start("--name", "o", "--memory", "20m", "--memory-swap", "20m", "--pid", "host", command=command)
    podman("exec", "o", "touch", "/go")
    podman("wait", "o")
    assert podman("logs", "o").stdout == "137\n"
    # conmon writes this file when the memory cgroup tells of the event; podman 4.3 looks elsewhere.
    told = podman.cwd / "oom"
    assert told.exists() or podman.inspect("o")["State"]["OOMKilled"] is True
    told.unlink(missing_ok=True)
