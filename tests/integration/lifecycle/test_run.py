"""`run`: exit codes, signals, standard streams, descriptors and orphans of a process in the foreground."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import subprocess
import termios
import time
from pathlib import Path

import pytest
from containers import Bundle, Container, Pyoci, wait_for

CATCH = 'for s in {}; do trap "echo got $s" $s; done; echo ready; while :; do sleep 0.01; done'


def _foreground(bundle: Bundle, pyoci: Pyoci, *options: str) -> tuple[subprocess.Popen[bytes], Container]:
    """`run` that goes on; its output is that of the container."""
    bundle.save()
    id = pyoci.new_id()
    output = pyoci.directory / f"output-{id}"
    with output.open("wb") as file:
        process = pyoci.spawn(
            "run", "--bundle", str(bundle.path), *options, id, stdin=subprocess.DEVNULL, stdout=file, stderr=file
        )
    return process, Container(pyoci, id, bundle, output)


@pytest.mark.parametrize("code", [0, 1, 7, 127, 255])
def test_exit_code(code: int, bundle: Bundle, pyoci: Pyoci) -> None:
    assert pyoci.run(bundle.shell(f"exit {code}"), check=False).code == code
    assert os.listdir(pyoci.root) == []


@pytest.mark.parametrize("number", [9, 15, 6, 40])
def test_death_by_signal(number: int, bundle: Bundle, pyoci: Pyoci) -> None:
    """128 and the number of the signal, as a shell says it. The kernel spares a namespace's init its own signals."""
    bundle.without_namespace("pid").shell(f"kill -{number} $$")
    assert pyoci.run(bundle, check=False).code == 128 + number


@pytest.mark.parametrize("name", ["TERM", "INT", "HUP", "QUIT", "USR1", "USR2", "WINCH", "CONT", "RTMIN+5"])
def test_signals_are_passed_on(name: str, bundle: Bundle, pyoci: Pyoci) -> None:
    number = 39 if name == "RTMIN+5" else int(getattr(signal, f"SIG{name}"))
    process, container = _foreground(bundle.shell(CATCH.format(number)), pyoci)
    container.expect("ready")
    process.send_signal(number)
    container.expect(f"got {number}")
    container.kill()
    assert process.wait(60) == 137
    assert os.listdir(pyoci.root) == []


def test_a_signal_at_the_very_start_is_not_lost(bundle: Bundle, pyoci: Pyoci) -> None:
    """The container's first output may come before the runtime has taken note of it."""
    bundle.shell("trap 'exit 3' TERM; echo ready; while :; do sleep 0.01; done")
    process, container = _foreground(bundle, pyoci)
    while "ready" not in container.output:
        pass
    process.terminate()
    assert process.wait(60) == 3


def test_ctrl_c(bundle: Bundle, pyoci: Pyoci) -> None:
    process, container = _foreground(bundle.shell("trap 'exit 4' INT; echo ready; while :; do sleep 0.01; done"), pyoci)
    container.expect("ready")
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 4
    assert "Traceback" not in container.output


def test_standard_streams(bundle: Bundle, pyoci: Pyoci) -> None:
    done = pyoci.run(bundle.shell("cat; echo to stderr >&2"), input="given\n")
    assert (done.out, done.err) == ("given\n", "to stderr\n")


def test_standard_streams_by_pipes(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.args("cat").save()
    process = pyoci.spawn(
        "run", "--bundle", str(bundle.path), pyoci.new_id(), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin
    assert process.stdout
    process.stdin.write(b"one\n")
    process.stdin.flush()
    assert process.stdout.readline() == b"one\n"
    process.stdin.close()
    assert process.wait(60) == 0


def test_streams_can_be_opened_again_by_another_user(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    assert pyoci.run(bundle.shell("echo again > /dev/stdout")).out == "again\n"


def test_keep(bundle: Bundle, pyoci: Pyoci) -> None:
    id = pyoci.new_id()
    assert pyoci.run(bundle.shell("exit 3"), "--keep", id=id, check=False).code == 3
    container = Container(pyoci, id, bundle, Path("/dev/null"))
    assert container.status == "stopped"
    container.delete()


def test_detached(bundle: Bundle, pyoci: Pyoci) -> None:
    container = pyoci.run_detached(bundle.shell("echo ready; sleep 100")).expect("ready")
    assert container.status == "running"
    assert Path(f"/proc/{container.pid}/stat").read_text().rpartition(")")[2].split()[1] != str(os.getpid())


def test_pid_file(bundle: Bundle, pyoci: Pyoci) -> None:
    file = bundle.path / "pid"
    container = pyoci.create(bundle, "--pid-file", str(file))
    assert file.read_text() == str(container.pid)
    assert os.listdir(bundle.path).count(".pid") == 0


def test_pid_file_that_cannot_be_written(bundle: Bundle, pyoci: Pyoci) -> None:
    done = pyoci.run(bundle, "--pid-file", "/no/such/directory/pid", check=False)
    assert (done.code, len(done.err.splitlines())) == (1, 1)
    assert "cannot write the pid file /no/such/directory/pid: No such file or directory" in done.err


def test_pid_file_that_cannot_be_put_in_place(bundle: Bundle, pyoci: Pyoci, directory: Path) -> None:
    """Nothing of it is left beside."""
    (directory / "pid").mkdir()
    done = pyoci.run(bundle, "--pid-file", str(directory / "pid"), check=False)
    assert done.code == 1
    assert f"cannot write the pid file {directory}/pid: Is a directory" in done.err
    assert not (directory / ".pid").exists()


def test_pid_file_takes_the_place_of_a_stale_one(bundle: Bundle, pyoci: Pyoci, directory: Path) -> None:
    (directory / ".pid").write_text("of one who was killed while he wrote it")
    container = pyoci.create(bundle, "--pid-file", str(directory / "pid"))
    assert (directory / "pid").read_text() == str(container.pid)
    assert not (directory / ".pid").exists()


def test_configuration_that_comes_by_a_pipe(bundle: Bundle, pyoci: Pyoci) -> None:
    """It is read once, and kept as it was: the poststop hook is of what was kept."""
    note = bundle.path / "note"
    bundle.config["hooks"] = {"poststop": [{"path": "/bin/sh", "args": ["sh", "-c", f"echo ended > {note}"]}]}
    bundle.args("echo", "seen").save()
    text = (bundle.path / "config.json").read_text()
    (bundle.path / "config.json").unlink()
    (bundle.path / "config.json").symlink_to("/dev/stdin")
    done = pyoci("run", "--bundle", str(bundle.path), pyoci.new_id(), input=text)
    assert done.out == "seen\n"
    assert note.read_text() == "ended\n"
    assert os.listdir(pyoci.root) == []


def test_configuration_that_is_slow_to_come(bundle: Bundle, pyoci: Pyoci) -> None:
    text = json.dumps(bundle.args("echo", "seen").config).encode()
    (bundle.path / "config.json").symlink_to("/dev/stdin")
    argv = ["run", "--bundle", str(bundle.path), pyoci.new_id()]
    with pyoci.spawn(*argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        for half in (text[:100], text[100:]):
            time.sleep(0.2)
            process.stdin.write(half)
            process.stdin.flush()
        assert process.communicate(timeout=60)[0] == b"seen\n"


def test_orphans_are_reaped(bundle: Bundle, pyoci: Pyoci) -> None:
    """Without a pid namespace they become children of the runtime, which waits for them too."""
    bundle.without_namespace("pid").shell("(sleep 0.2 &) ; (sleep 100 &) ; echo ready; sleep 1")
    process, container = _foreground(bundle, pyoci)
    container.expect("ready")
    time.sleep(0.4)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    states = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] for pid in children]
    assert len(children) == 2  # the container's process and the sleep that goes on
    assert "Z" not in states
    assert process.wait(60) == 0  # and takes the other with it


def test_without_subreaper(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.without_namespace("pid").shell("(sleep 100 &) ; echo ready; sleep 1")
    process, container = _foreground(bundle, pyoci, "--no-subreaper")
    container.expect("ready")
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert children == [str(container.pid)]
    assert process.wait(60) == 0


def test_preserved_descriptors(bundle: Bundle, pyoci: Pyoci) -> None:
    """Those from 3 on that were asked for, and no others."""
    ends = [os.pipe() for _ in range(2)]
    shell = 'exec "$@"'
    bundle.shell("ls /proc/self/fd; echo through >&3").save()
    read, write = ends[0]
    argv = pyoci.command("run", "--bundle", str(bundle.path), "--preserve-fds", "1", pyoci.new_id())
    done = subprocess.run(
        ["bash", "-c", f"{shell} 3>&{write} 4>&{ends[1][1]}", "sh", *argv],
        pass_fds=(write, ends[1][1]),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=120,
    )
    for descriptor in (write, ends[1][1]):
        os.close(descriptor)
    assert done.stdout.split() == [b"0", b"1", b"2", b"3", b"4"]  # 4 is that of ls for the directory
    assert os.read(read, 100) == b"through\n"
    for descriptor in (read, ends[1][0]):
        os.close(descriptor)


@pytest.mark.parametrize("verb", ["run", "create", "exec"])
@pytest.mark.parametrize("joined", [False, True])
def test_preserved_descriptors_with_holes(bundle: Bundle, pyoci: Pyoci, verb: str, joined: bool) -> None:
    """podman --preserve-fd=5,13: what is open goes to the process, and nothing of ours is in between."""
    script = "for fd in /proc/self/fd/*; do echo ${fd##*/}; done; echo five >&5; echo thirteen >&13"
    other = pyoci.run_detached(bundle.args("sleep", "1000"))
    if joined:
        bundle.namespace("pid", f"/proc/{other.pid}/ns/pid")
    bundle.args("sh", "-c", script).save()
    read, end = os.pipe()
    write = fcntl.fcntl(end, fcntl.F_DUPFD, 50)
    os.close(end)
    identifier = other.id if verb == "exec" else pyoci.new_id()
    options = [identifier, "sh", "-c", script] if verb == "exec" else ["--bundle", str(bundle.path), identifier]
    argv = pyoci.command(verb, "--preserve-fds", "12", *options)
    done = subprocess.run(
        ["bash", "-c", f'exec 5>&{write} 13>&{write} {write}>&- 20</dev/null; exec "$@"', "sh", *argv],
        pass_fds=[write],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if verb != "create" else subprocess.DEVNULL,
        timeout=120,
    )
    os.close(write)
    if verb == "create":
        pyoci("start", identifier)
    else:
        # 3 is that of the shell for the directory
        assert done.stdout.split() == [b"0", b"1", b"13", b"2", b"3", b"5"]
    with open(read, "rb") as pipe:
        assert pipe.read() == b"five\nthirteen\n"


def test_sockets_of_systemd(bundle: Bundle, pyoci: Pyoci) -> None:
    """sd_listen_fds(3): they are descriptors 3 and 4, LISTEN_PID is the pid in the container."""
    bundle.shell("echo $LISTEN_FDS $LISTEN_PID; echo one >&3; echo two >&4; echo more >&5").save()
    argv = pyoci.command("run", "--bundle", str(bundle.path), "--preserve-fds", "1", pyoci.new_id())
    read, write = os.pipe()
    script = f'exec 3>&{write} 4>&{write} 5>&{write}; export LISTEN_FDS=2 LISTEN_PID=$$; exec "$@"'
    done = subprocess.run(
        ["bash", "-c", script, "sh", *argv],
        pass_fds=[write],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=120,
    )
    os.close(write)
    assert done.stdout == b"2 1\n", done.stderr
    assert os.read(read, 100) == b"one\ntwo\nmore\n"
    os.close(read)


def test_sockets_for_another_process(bundle: Bundle, pyoci: Pyoci) -> None:
    done = pyoci.run(bundle.shell("echo x$LISTEN_FDS"), env={"LISTEN_FDS": "2", "LISTEN_PID": "1"})
    assert done.out == "x\n"


def begun_with_notification(
    verb: str, bundle: Bundle, pyoci: Pyoci, path: str
) -> tuple[str, subprocess.Popen[bytes], Path]:
    """The id of a container, the command that waits until it is ready, and the socket on which it is told so."""
    env = {"NOTIFY_SOCKET": path}
    bundle.save()
    id = pyoci.new_id()
    if verb == "create and start":
        pyoci.create(bundle, id=id, env=env)
        process = pyoci.spawn("start", id, env={**os.environ, **env})
    else:
        argv = [*verb.split(), "--bundle", str(bundle.path), id]
        process = pyoci.spawn(*argv, env={**os.environ, **env}, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    ours = pyoci.root / id / "notify/notify.sock"
    wait_for(ours.exists)
    return id, process, ours


@pytest.mark.parametrize("verb", ["create and start", "run", "run --detach"])
def test_notification_of_systemd(verb: str, bundle: Bundle, pyoci: Pyoci) -> None:
    """sd_notify(3): that the container is ready is passed on, with the pid to watch, and then the barrier."""
    path = str(pyoci.directory / "systemd.sock")
    systemd = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    systemd.bind(path)
    systemd.settimeout(10)
    # busybox has no client of datagram sockets: the test is one, through the directory that is mounted
    bundle.shell('echo "$NOTIFY_SOCKET"; while [ ! -e /tmp/ready ]; do sleep 0.01; done; sleep 1')
    id, process, _ = begun_with_notification(verb, bundle, pyoci, path)
    container = Container(pyoci, id, bundle, Path("/dev/null"))
    container.wait("running")
    mounted = Path(f"/proc/{container.pid}/root/run/notify/notify.sock")
    wait_for(mounted.exists)
    assert process.poll() is None  # it waits
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        client.sendto(b"STATUS=starting", str(mounted))
        client.sendto(b"READY=1", str(mounted))
    assert systemd.recv(100) == b"READY=1\n"
    pid = process.pid if verb == "run" else container.pid
    assert systemd.recv(100) == f"MAINPID={pid}\n".encode()
    message, descriptors, _, _ = socket.recv_fds(systemd, 100, 1)
    assert message == b"BARRIER=1"
    time.sleep(0.1)
    assert process.poll() is None
    os.close(descriptors[0])
    (bundle.rootfs / "tmp/ready").touch()
    assert process.wait(60) == 0
    systemd.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("verb", ["run --detach", "create and start"])
def test_a_signal_ends_the_waiting_for_readiness(bundle: Bundle, pyoci: Pyoci, verb: str, number: int) -> None:
    """Not the container. A poststart hook has made signals wait before."""
    path = str(pyoci.directory / "systemd.sock")
    systemd = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    systemd.bind(path)
    bundle.args("sleep", "100").config["hooks"] = {"poststart": [{"path": "/bin/true"}]}
    id, process, ours = begun_with_notification(verb, bundle, pyoci, path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        client.sendto(b"STATUS=starting", str(ours))
        wait_for(lambda: fcntl.ioctl(client, termios.TIOCOUTQ, bytes(4)) == bytes(4), what="it reads, so it waits")
    process.send_signal(number)
    assert process.wait(60) in (-number, 128 + number)
    assert Container(pyoci, id, bundle, Path("/dev/null")).status == "running"
    systemd.close()


def test_pidfd_socket(bundle: Bundle, pyoci: Pyoci) -> None:
    path = str(pyoci.directory / "pidfd.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        container = pyoci.create(bundle, "--pidfd-socket", path)
        with listener.accept()[0] as connection:
            _, descriptors, _, _ = socket.recv_fds(connection, 100, 1)
    (pidfd,) = descriptors
    assert f"Pid:\t{container.pid}\n" in Path(f"/proc/self/fdinfo/{pidfd}").read_text()
    os.close(pidfd)


def test_stdout_that_nobody_reads(bundle: Bundle, pyoci: Pyoci) -> None:
    read, write = os.pipe()
    os.close(read)
    bundle.args("true").save()
    process = pyoci.spawn("run", "--bundle", str(bundle.path), pyoci.new_id(), stdout=write)
    os.close(write)
    assert process.wait(60) == 0
