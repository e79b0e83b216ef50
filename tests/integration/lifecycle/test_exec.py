"""`exec`: a further process, in the namespaces and cgroups of the container."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest
from containers import CGROUP_ROOT, Bundle, Container, Pyoci, cgroups_of, removed, wait_for

SLEEP = "echo ready; trap 'exit 0' TERM; while :; do sleep 0.1; done"


@pytest.fixture
def container(bundle: Bundle, pyoci: Pyoci) -> Container:
    """One that runs."""
    bundle.namespace("cgroup")
    return pyoci.run_detached(bundle.shell(SLEEP)).expect("ready")


def test_output_and_exit_code(container: Container) -> None:
    done = container.exec("sh", "-c", "echo out; echo err >&2; exit 5", check=False)
    assert (done.out, done.err, done.code) == ("out\n", "err\n", 5)


def test_death_by_signal(container: Container) -> None:
    assert container.exec("sh", "-c", "kill -KILL $$", check=False).code == 137


def test_standard_input(container: Container) -> None:
    assert container.pyoci("exec", container.id, "cat", input="given").out == "given"


def test_options_of_the_command_are_its_own(container: Container) -> None:
    assert container.exec("echo", "--tty", "-d", "--", "-x").out == "--tty -d -- -x\n"


def test_two_dashes_before_the_command(container: Container) -> None:
    """As runc's manual page has it: container-id [--] command."""
    assert container.exec("--", "echo", "--", "-x").out == "-- -x\n"
    assert container.pyoci("exec", "--env", "A=b", "--", container.id, "--", "sh", "-c", "echo $A").out == "b\n"
    done = container.exec("--", check=False)
    assert (done.code, "exec args cannot be empty" in done.err) == (255, True)


@pytest.mark.parametrize(
    "option", ["cwd", "user", "apparmor", "process-label", "pid-file", "console-socket", "process"]
)
def test_an_empty_option_is_none(container: Container, option: str) -> None:
    done = container.exec("sh", "-c", "id -u; pwd", options=(f"--{option}", ""))
    assert done.out == "0\n/\n"


@pytest.mark.parametrize(("name", "near"), [("CAP_NET_ADMN", "CAP_NET_ADMIN"), ("sys_time", "CAP_SYS_TIME"), ("x", "")])
def test_a_capability_that_is_none(container: Container, name: str, near: str) -> None:
    done = container.exec("true", options=("--cap", name), check=False)
    assert done.code == 255
    assert f"--cap '{name}': no such capability; {f'did you mean {near}? Else ' if near else ''}see" in done.err


@pytest.mark.parametrize("options", [("--user", "70000"), ("--user", "0:70000"), ("--additional-gids", "70000")])
def test_a_user_that_the_user_namespace_does_not_have(bundle: Bundle, pyoci: Pyoci, options: tuple[str, str]) -> None:
    bundle.user_namespace()
    container = pyoci.run_detached(bundle.args("sleep", "1000"))
    done = container.exec("true", options=options, check=False)
    assert done.code == 255
    assert "(the user namespace has no such user, or group, or one of the additionalGids: uid_map, gid_map)" in done.err


def test_a_working_directory_that_is_hidden(bundle: Bundle, pyoci: Pyoci) -> None:
    """Found by create, not only by start; and by exec."""
    (bundle.rootfs / "secret/within").mkdir(parents=True)
    bundle.linux["maskedPaths"] = ["/proc/acpi", "/secret"]
    bundle.process["cwd"] = "/secret/within"
    with pytest.raises(
        AssertionError, match=r"hidden by /linux/maskedPaths/1, /secret\) \(/process/cwd\): No such file"
    ):
        pyoci.create(bundle.args("/bin/true"))
    assert pyoci("list", "--quiet").out == ""
    bundle.process["cwd"] = "/secret"
    container = pyoci.run_detached(bundle.args("sleep", "1000"))
    assert container.exec("pwd").out == "/secret\n"
    done = container.exec("pwd", options=("--cwd", "/secret/within"), check=False)
    assert done.code == 255
    assert "chdir to cwd ('/secret/within') set in config.json failed (/process/cwd): No such file" in done.err


@pytest.mark.parametrize(
    ("command", "text"),
    [
        ("no-such-program", 'exec: "no-such-program": executable file not found in $PATH'),
        ("/no/such/program", 'exec: "/no/such/program": stat /no/such/program: no such file or directory'),
        ("/etc", 'exec: "/etc": is a directory: permission denied'),
        ("/etc/passwd", 'exec: "/etc/passwd": permission denied'),
        ("/bin/wrong", 'exec: "/bin/wrong": exec format error'),
    ],
)
def test_what_cannot_be_executed(command: str, text: str, container: Container) -> None:
    wrong = container.bundle.rootfs / "bin/wrong"
    wrong.write_text("neither ELF nor script")
    wrong.chmod(0o755)
    done = container.exec(command, check=False)
    assert done.code == 255
    assert text in done.err.replace('\\"', '"')
    assert len(done.err.splitlines()) == 1


def test_working_directory(container: Container) -> None:
    assert container.exec("pwd", options=["--cwd", "/tmp"]).out == "/tmp\n"
    done = container.exec("pwd", options=["--cwd", "/nowhere"], check=False)
    assert done.code in (0, 255)


def test_environment(container: Container) -> None:
    done = container.exec("env", options=["--env", "A=b c", "-e", "TERM=dumb"])
    assert "A=b c" in done.out.splitlines()
    assert "TERM=dumb" in done.out.splitlines()
    assert "TERM=xterm" not in done.out
    assert "PATH=" in done.out


def test_user(container: Container) -> None:
    options = ["--user", "1000:50", "--additional-gids", "7", "--additional-gids", "8"]
    assert container.exec("sh", "-c", "id -u; id -g; id -G", options=options).out == "1000\n50\n50 7 8\n"


def test_user_without_group(container: Container) -> None:
    assert container.exec("sh", "-c", "id -u; id -g", options=["--user", "1000"]).out == "1000\n0\n"


def _status(container: Container, *options: str) -> dict[str, str]:
    lines = container.exec("cat", "/proc/self/status", options=options).out.splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def test_capabilities(container: Container) -> None:
    before, after = _status(container), _status(container, "--cap", "CAP_CHOWN")
    for kind in ("CapBnd", "CapEff", "CapPrm"):
        assert int(after[kind], 16) == int(before[kind], 16) | 1
    for kind in ("CapInh", "CapAmb"):
        assert int(after[kind], 16) == 0


def test_unknown_capability(container: Container) -> None:
    done = container.exec("true", options=["--cap", "CAP_FLY"], check=False)
    assert done.code == 255
    assert "CAP_FLY" in done.err


@pytest.mark.parametrize("value", [True, False])
def test_no_new_privileges(value: bool, container: Container) -> None:
    assert _status(container, f"--no-new-privs={str(value).lower()}")["NoNewPrivs"] == str(int(value))


def test_process_json(container: Container, directory: Path) -> None:
    process = {
        "args": ["sh", "-c", "id -u; pwd; echo $X; exit 9"],
        "cwd": "/tmp",
        "env": ["PATH=/bin", "X=y"],
        "user": {"uid": 12, "gid": 13},
    }
    file = directory / "process.json"
    file.write_text(json.dumps(process))
    done = container.pyoci("exec", "--process", str(file), container.id, check=False)
    assert (done.out, done.code) == ("12\n/tmp\ny\n", 9)


@pytest.mark.parametrize(("sets", "expected"), [(None, "as the container"), ({}, "none")])
def test_process_json_and_capabilities(
    sets: dict[str, list[str]] | None, expected: str, container: Container, directory: Path
) -> None:
    """Where it says nothing of them it has the container's, as with runc and crun."""
    process: dict[str, object] = {"args": ["grep", "Cap", "/proc/self/status"], "cwd": "/", "env": ["PATH=/bin"]}
    if sets is not None:
        process["capabilities"] = sets
    file = directory / "process.json"
    file.write_text(json.dumps(process))
    found = container.pyoci("exec", "--process", str(file), container.id).out
    own = container.exec("grep", "Cap", "/proc/self/status").out
    assert found == own if expected == "as the container" else set(found.split()[1::2]) == {"0" * 16}


def _open_for_writing(fifo: Path, found: list[int]) -> bool:
    """Whether it has a reader, or one who waits in open(2): he will wait in read(2) from now on."""
    try:
        found.append(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK))
    except OSError:
        return False
    return True


def test_process_json_from_a_pipe(container: Container, directory: Path) -> None:
    """Whoever writes it may take his time, as with runc; a signal ends the waiting for him."""
    fifo = directory / "fifo"
    os.mkfifo(fifo)
    for command in (["exec", "--process", str(fifo), container.id], ["update", "--resources", str(fifo), container.id]):
        waiting = container.pyoci.spawn(*command)
        writers: list[int] = []
        wait_for(lambda found=writers: _open_for_writing(fifo, found))  # type: ignore[misc]
        waiting.send_signal(signal.SIGTERM)
        assert waiting.wait(60) == -signal.SIGTERM
        os.close(writers[0])
    process = container.pyoci.spawn("exec", "--process", str(fifo), container.id, stdout=subprocess.PIPE)
    fifo.write_text(json.dumps({"args": ["echo", "read"], "cwd": "/", "env": ["PATH=/bin"]}))
    assert process.communicate(timeout=120)[0] == b"read\n"


def test_bad_process_json(container: Container, directory: Path) -> None:
    file = directory / "process.json"
    file.write_text('{"args": ["true"],\n "cwd": 3}')
    done = container.pyoci("exec", "--process", str(file), container.id, check=False)
    assert done.code == 255
    assert f"{file}:2:" in done.err
    assert "/cwd" in done.err


def test_detached_with_pid_file(container: Container, directory: Path) -> None:
    file = directory / "pid"
    container.exec("sleep", "100", options=["--detach", "--pid-file", str(file)])
    pid = int(file.read_text())
    assert Path(f"/proc/{pid}/cmdline").read_bytes() == b"sleep\x00100\x00"
    assert pid in json.loads(container.pyoci("ps", "-f", "json", container.id).out)


def _namespaces(pid: int) -> dict[str, str]:
    kinds = ("cgroup", "ipc", "mnt", "net", "pid", "pid_for_children", "time", "user", "uts")
    return {kind: os.readlink(f"/proc/{pid}/ns/{kind}") for kind in kinds}


def _detached(container: Container, *options: str) -> int:
    file = container.bundle.path / "exec.pid"
    container.exec("sleep", "100", options=["--detach", "--pid-file", str(file), *options])
    return int(file.read_text())


@pytest.mark.parametrize("kinds", [[], ["cgroup", "time"], ["cgroup", "user"]])
def test_joins_namespaces_and_cgroups(kinds: list[str], bundle: Bundle, pyoci: Pyoci) -> None:
    for kind in kinds:
        if kind == "user":
            bundle.user_namespace()
        else:
            bundle.namespace(kind)
    container = pyoci.run_detached(bundle.shell(SLEEP)).expect("ready")
    pid = _detached(container)
    assert _namespaces(pid) == _namespaces(container.pid)
    assert Path(f"/proc/{pid}/cgroup").read_text() == Path(f"/proc/{container.pid}/cgroup").read_text()
    assert os.readlink(f"/proc/{pid}/root") == "/"
    for what in ("uid_map", "setgroups"):
        assert Path(f"/proc/{pid}/{what}").read_text() == Path(f"/proc/{container.pid}/{what}").read_text()


def test_without_mount_namespace(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.without_namespace("mount")
    bundle.config["mounts"] = []
    for key in ("maskedPaths", "readonlyPaths"):
        bundle.linux.pop(key)
    container = pyoci.run_detached(bundle.shell(SLEEP)).expect("ready")
    done = container.exec("sh", "-c", "pwd; ls /bin/busybox; ls /")
    assert done.out.splitlines()[:2] == ["/", "/bin/busybox"]
    assert "home" in done.out


def test_subcgroup(container: Container) -> None:
    lines = [line.split(":", 2) for line in Path(f"/proc/{container.pid}/cgroup").read_text().splitlines()]
    v1 = {controllers: path for _, controllers, path in lines}
    controller = "devices" if "devices" in v1 else ""
    path, prefix = v1[controller], "devices:" if controller else ""
    sub = Path(f"/sys/fs/cgroup/{controller}{path}") / "sub"
    sub.mkdir()
    pid = _detached(container, "--cgroup", f"{prefix}sub")
    assert f":{controller}:{path}/sub\n" in Path(f"/proc/{pid}/cgroup").read_text()
    os.kill(pid, signal.SIGKILL)
    done = container.exec("true", options=["--cgroup", f"{prefix}none"], check=False)
    assert done.code == 255
    assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize("controller", ["devices", "pids", "every"])
def test_a_cgroup_that_somebody_removed(controller: str, bundle: Bundle, pyoci: Pyoci) -> None:
    """systemd does that to cgroups that it has not made, in its part of the tree; init's new one is joined."""
    container = pyoci.run_detached(bundle.args("sleep", "1000"))
    before = cgroups_of(container.pid)
    chosen = set(before) if controller == "every" or not before.keys() - {""} else {controller}
    new = [CGROUP_ROOT / _mount(name) / f"{before[name].lstrip('/')}-moved" for name in chosen]
    try:
        for directory in new:
            directory.mkdir()
            for file in ("cpuset.cpus", "cpuset.mems"):
                if (directory / "cpuset.cpu_exclusive").exists():
                    (directory / file).write_text((directory.parent / file).read_text())
            (directory / "cgroup.procs").write_text(str(container.pid))
            directory.with_name(directory.name.removesuffix("-moved")).rmdir()
        pid = _detached(container)
        found = cgroups_of(pid)
        assert found == cgroups_of(container.pid)
        assert found == {name: path + "-moved" * (name in chosen) for name, path in before.items()}
    finally:
        container.delete(force=True)
        for directory in new:
            wait_for(lambda directory=directory: removed(directory))  # type: ignore[misc]


def _mount(controllers: str) -> str:
    """The directory of a hierarchy below /sys/fs/cgroup."""
    if controllers:
        return controllers.removeprefix("name=")
    return "unified" if (CGROUP_ROOT / "unified").exists() else ""


def test_preserved_descriptors(container: Container) -> None:
    read, write = os.pipe()
    script = "echo through >&3; ls /proc/self/fd"
    argv = container.pyoci.command("exec", "--preserve-fds", "1", container.id, "sh", "-c", script)
    done = subprocess.run(
        ["bash", "-c", f'exec "$@" 3>&{write} 4>&{write}', "sh", *argv],
        pass_fds=[write],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=120,
    )
    os.close(write)
    assert os.read(read, 100) == b"through\n", done
    assert done.stdout.split() == [b"0", b"1", b"2", b"3", b"4"]
    os.close(read)


def test_in_a_created_container(bundle: Bundle, pyoci: Pyoci) -> None:
    assert pyoci.create(bundle).exec("hostname").out == "minimal\n"


def test_in_a_paused_container_at_request(container: Container) -> None:
    container.pyoci("pause", container.id)
    process = container.pyoci.spawn("exec", "--ignore-paused", container.id, "true")
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.3)
    container.pyoci("resume", container.id)
    assert process.wait(60) == 0


def test_signals_are_passed_on(container: Container) -> None:
    output = container.pyoci.directory / "exec-output"
    with output.open("wb") as file:
        script = "trap 'exit 6' TERM; echo ready; while :; do sleep 0.01; done"
        process = container.pyoci.spawn("exec", container.id, "sh", "-c", script, stdout=file)
    while "ready" not in output.read_text():
        pass
    process.terminate()
    assert process.wait(60) == 6


def test_pidfd_socket(container: Container) -> None:
    path = str(container.pyoci.directory / "pidfd.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        pid = _detached(container, "--pidfd-socket", path)
        with listener.accept()[0] as connection:
            _, (pidfd,), _, _ = socket.recv_fds(connection, 100, 1)
    assert f"Pid:\t{pid}\n" in Path(f"/proc/self/fdinfo/{pidfd}").read_text()
    os.close(pidfd)


def test_killed_while_it_joins(container: Container) -> None:
    """A container that is deleted takes with it the process that has just joined it; exec must not wait for that."""
    inject = ["-e", "trace=setns", "-e", "inject=setns:signal=SIGKILL:when=1"]
    argv = ["strace", "-f", "-o", "/dev/null", *inject, *container.pyoci.command("exec", container.id, "true")]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
    assert done.returncode == 255
    assert "cannot join namespaces" in done.stderr
    assert container.exec("echo", "fine").out == "fine\n"


def test_container_ends_meanwhile(container: Container) -> None:
    output = container.pyoci.directory / "exec-output"
    with output.open("wb") as file:
        process = container.pyoci.spawn("exec", container.id, "sh", "-c", "echo here; exec sleep 100", stdout=file)
    wait_for(lambda: "here" in output.read_text())
    container.kill()
    assert process.wait(60) == 137


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--tty", "--detach", "ID", "true"], "cannot allocate tty if pyoci will detach"),
        (["--console-socket", "/x", "ID", "true"], "cannot use console socket if pyoci will not detach"),
        (["ID"], "exec args cannot be empty"),
        (["--user", "root", "ID", "true"], "--user root"),
        (["--env", "X", "ID", "true"], "must be NAME=VALUE"),
        (["--cwd", "tmp", "ID", "true"], "cwd"),
        (["--process", "/no/such/file", "ID"], "/no/such/file"),
    ],
)
def test_wrong_calls(arguments: list[str], message: str, container: Container) -> None:
    argv = [container.id if each == "ID" else each for each in arguments]
    done: Any = container.pyoci("exec", *argv, check=False)
    assert done.code in (1, 255)
    assert message in done.err
    assert "internal" not in done.err
