"""Terminals: --console-socket, and `run` and `exec --tty` at a terminal of ours."""

from __future__ import annotations

import array
import fcntl
import os
import pty
import select
import shlex
import socket
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from containers import Bundle, Container, Pyoci, wait_for


class Console:
    """A listener at --console-socket."""

    def __init__(self, directory: Path) -> None:
        self.path = str(directory / "console.sock")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen()
        self._listener.settimeout(10)

    def receive(self) -> int:
        """The terminal's descriptor."""
        with self._listener.accept()[0] as connection:
            size = array.array("i").itemsize
            _, ancillary, _, _ = connection.recvmsg(4096, socket.CMSG_SPACE(size * 4))
        ((level, kind, data),) = ancillary
        assert (level, kind, len(data)) == (socket.SOL_SOCKET, socket.SCM_RIGHTS, size)
        return int(array.array("i", data)[0])

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def console(directory: Path) -> Iterator[Console]:
    """A console socket."""
    listener = Console(directory)
    yield listener
    listener.close()


def read_until(fd: int, text: str, seconds: float = 60) -> str:
    """What a terminal shows, up to `text`. AssertionError when that does not come."""
    shown = b""
    deadline = time.monotonic() + seconds
    while text.encode() not in shown:
        ready, _, _ = select.select([fd], [], [], max(deadline - time.monotonic(), 0))
        assert ready, f"{text!r} was not seen in {shown!r}"
        try:
            data = os.read(fd, 4096)
        except OSError:
            data = b""
        assert data, f"{text!r} was not seen in {shown!r}"
        shown += data
    return shown.decode(errors="replace")


def resize(fd: int, rows: int, columns: int) -> None:
    """Changes a terminal's size, of which its foreground processes get SIGWINCH."""
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))


def test_console_socket(bundle: Bundle, pyoci: Pyoci, console: Console) -> None:
    bundle.process["terminal"] = True
    bundle.process["consoleSize"] = {"height": 31, "width": 97}
    bundle.args("sh")
    container = pyoci.create(bundle, "--console-socket", console.path)
    master = console.receive()
    container.start()
    os.write(master, b"stty size; tty; echo [$((6*7))]\n")
    shown = read_until(master, "[42]")
    assert "31 97" in shown
    assert "/dev/pts/0" in shown or "/dev/console" in shown
    resize(master, 50, 120)
    os.write(master, b"stty size; ls -l /dev/console; echo [$((6*8))]\n")
    assert "50 120" in read_until(master, "[48]")
    os.write(master, b"sleep 100\n")
    read_until(master, "sleep 100")
    time.sleep(0.2)
    os.write(master, b"\x03")
    os.write(master, b"echo [$((6*9))]; exit 5\n")
    read_until(master, "[54]")
    container.wait()
    os.close(master)


def test_terminal_belongs_to_the_user(bundle: Bundle, pyoci: Pyoci, console: Console) -> None:
    bundle.process["terminal"] = True
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    bundle.shell("echo again > /dev/tty; stat -c owner-%u $(tty); sleep 100")
    container = pyoci.run_detached(bundle, "--console-socket", console.path)
    master = console.receive()
    read_until(master, "owner-1000")
    container.kill()
    os.close(master)


def test_exec_with_console_socket(bundle: Bundle, pyoci: Pyoci, console: Console) -> None:
    container = pyoci.run_detached(bundle.shell("echo ready; sleep 100")).expect("ready")
    container.exec("sh", options=["--tty", "--detach", "--console-socket", console.path])
    master = console.receive()
    os.write(master, b"tty; echo [$((6*7))]; exit\n")
    assert "/dev/pts/" in read_until(master, "[42]")
    os.close(master)


NO_SOCKET = "cannot allocate tty if pyoci will detach without setting console socket"
NO_USE = "cannot use console socket if pyoci will not detach or allocate tty"
NOT_THERE = "cannot connect to the console socket /no/such/socket"


@pytest.mark.parametrize(
    ("terminal", "options", "message"),
    [
        (True, ["create"], NO_SOCKET),
        (True, ["run", "--detach"], NO_SOCKET),
        (False, ["create", "--console-socket", "/x"], NO_USE),
        (True, ["run", "--console-socket", "/x"], NO_USE),
        (True, ["create", "--console-socket", "/no/such/socket"], NOT_THERE),
    ],
)
def test_console_socket_that_does_not_fit(
    terminal: bool, options: list[str], message: str, bundle: Bundle, pyoci: Pyoci
) -> None:
    bundle.process["terminal"] = terminal
    bundle.save()
    verb, *more = options
    done = pyoci(verb, *more, "--bundle", str(bundle.path), pyoci.new_id(), check=False)
    assert done.code == 1
    assert message in done.err
    assert not pyoci.root.exists() or os.listdir(pyoci.root) == []


class AtTerminal:
    """A command at a terminal: `master` is the end that a person would see and type at."""

    def __init__(self, pyoci: Pyoci, *argv: str, rows: int = 33, columns: int = 99) -> None:
        self.master, self._slave = pty.openpty()
        resize(self._slave, rows, columns)
        self.before = termios.tcgetattr(self._slave)
        self.process = pyoci.spawn(
            *argv,
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def expect(self, text: str) -> str:
        return read_until(self.master, text)

    def attributes(self) -> list[object]:
        return list(termios.tcgetattr(self._slave))

    def end(self) -> int:
        """The exit code; the terminal must be as it was."""
        code = self.process.wait(60)
        assert self.attributes() == list(self.before)
        os.close(self.master)
        os.close(self._slave)
        return code


def _run(bundle: Bundle, pyoci: Pyoci, *argv: str) -> AtTerminal:
    bundle.process["terminal"] = True
    bundle.args(*argv).save()
    return AtTerminal(pyoci, "run", "--bundle", str(bundle.path), pyoci.new_id())


def test_run_at_a_terminal(bundle: Bundle, pyoci: Pyoci) -> None:
    terminal = _run(bundle, pyoci, "sh")
    terminal.type("stty size; echo [$((6*7))]\n")
    assert "33 99" in terminal.expect("[42]")
    local = termios.tcgetattr(terminal.master)[3]
    assert not local & (termios.ECHO | termios.ICANON | termios.ISIG)
    terminal.type("exit 5\n")
    assert terminal.end() == 5


def test_size_changes(bundle: Bundle, pyoci: Pyoci) -> None:
    terminal = _run(bundle, pyoci, "sh", "-c", "trap 'stty size' WINCH; echo ready; while :; do sleep 0.01; done")
    terminal.expect("ready")
    resize(terminal.master, 44, 88)
    terminal.expect("44 88")
    (id,) = pyoci("list", "-q").out.split()
    pyoci("kill", id, "KILL")
    assert terminal.end() == 137


def test_ctrl_c_is_the_containers(bundle: Bundle, pyoci: Pyoci) -> None:
    script = "trap 'echo interrupted; exit 3' INT; echo ready; while :; do sleep 0.01; done"
    terminal = _run(bundle, pyoci, "sh", "-c", script)
    terminal.expect("ready")
    terminal.type("\x03")
    terminal.expect("interrupted")
    assert terminal.end() == 3


def test_end_of_file(bundle: Bundle, pyoci: Pyoci) -> None:
    terminal = _run(bundle, pyoci, "cat")
    terminal.type("line\n")
    terminal.expect("line\r\nline")
    terminal.type("\x04")
    assert terminal.end() == 0


def test_terminal_is_restored_when_the_process_is_killed(bundle: Bundle, pyoci: Pyoci) -> None:
    terminal = _run(bundle, pyoci, "sh", "-c", "echo ready; exec sleep 100")
    terminal.expect("ready")
    (id,) = pyoci("list", "-q").out.split()
    pyoci("kill", id, "KILL")
    assert terminal.end() == 137


def test_much_output_while_much_is_typed(bundle: Bundle, pyoci: Pyoci) -> None:
    """Neither direction waits for the other."""
    bundle.process["terminal"] = True
    bundle.shell("stty raw -echo; echo go; head -c 300000 /dev/zero | tr '\\0' x; head -c 100000 | wc -c").save()
    read, write = os.pipe()
    process = pyoci.spawn(
        *("run", "--bundle", str(bundle.path), pyoci.new_id()),
        stdin=read,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    os.close(read)
    assert process.stdout
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 1 << 20)
    assert process.stdout.readline().strip() == b"go"
    os.write(write, b"y" * 100000)
    shown = process.stdout.read()
    assert shown.count(b"x") == 300000
    assert shown.rstrip().endswith(b"100000")
    os.close(write)
    assert process.wait(60) == 0


LINES = "echo one; echo two; stty size"


@pytest.mark.parametrize("verb", ["run", "exec"])
def test_a_line_feed_is_one_on_a_terminal_and_in_a_file(bundle: Bundle, pyoci: Pyoci, verb: str) -> None:
    """It is our terminal that goes to the beginning of the line; the container's has our size from the start."""
    bundle.process["terminal"] = verb == "run"
    bundle.shell(LINES).save()
    argv = ["run", "--bundle", str(bundle.path), pyoci.new_id()]
    if verb == "exec":
        argv = ["exec", "--tty", pyoci.run_detached(bundle.args("sleep", "1000")).id, "sh", "-c", LINES]
    terminal = AtTerminal(pyoci, *argv)
    assert terminal.expect("99\r\n") == "one\r\ntwo\r\n33 99\r\n"
    assert terminal.end() == 0
    done = pyoci(*argv)
    assert done.out.startswith("one\ntwo\n")
    assert "\r" not in done.out


def test_console_socket_leaves_the_terminal_as_it_is(bundle: Bundle, pyoci: Pyoci, console: Console) -> None:
    """It is for the engine to decide."""
    bundle.process["terminal"] = True
    container = pyoci.run_detached(bundle.shell("echo one; sleep 1000"), "--console-socket", console.path)
    master = console.receive()
    assert read_until(master, "\n") == "one\r\n"
    container.kill()
    os.close(master)


def test_the_size_is_that_of_any_of_our_streams(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.process["terminal"] = True
    bundle.shell("stty size").save()
    master, slave = pty.openpty()
    resize(slave, 21, 43)
    before = termios.tcgetattr(slave)
    process = pyoci.spawn("run", "--bundle", str(bundle.path), pyoci.new_id(), stdin=subprocess.DEVNULL, stdout=slave)
    assert read_until(master, "\n") == "21 43\r\n"
    assert process.wait(60) == 0
    assert termios.tcgetattr(slave) == before
    os.close(master)
    os.close(slave)


def test_a_terminal_of_no_size_does_not_count(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.process["consoleSize"] = {"height": 10, "width": 110}
    bundle.process["terminal"] = True
    bundle.shell("stty size").save()
    terminal = AtTerminal(pyoci, "run", "--bundle", str(bundle.path), pyoci.new_id(), rows=0, columns=0)
    terminal.expect("10 110")
    assert terminal.end() == 0


def test_a_terminal_needs_a_devpts(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.process["terminal"] = True
    done = pyoci.run(bundle.unmount("/dev/pts"), check=False)
    assert done.code == 1
    assert "(it needs /dev/pts/ptmx, of a mount of type devpts on /dev/pts) (/process/terminal): No such" in done.err


@pytest.mark.parametrize("text", ["", "line\n", "in the middle of a line"])
def test_the_end_of_what_is_typed(bundle: Bundle, pyoci: Pyoci, text: str) -> None:
    bundle.process["terminal"] = True
    done = pyoci.run(bundle.shell("cat > /typed; echo end"), input=text)
    assert done.out.endswith("end\n")
    assert (bundle.rootfs / "typed").read_text() == text


def test_a_signal_ends_the_process_and_the_terminal_is_restored(bundle: Bundle, pyoci: Pyoci) -> None:
    terminal = _run(bundle, pyoci, "sh", "-c", "trap 'exit 4' TERM; echo ready; while :; do sleep 0.01; done")
    terminal.expect("ready")
    terminal.process.terminate()
    assert terminal.end() == 4


def test_signals_do_not_wait_for_who_reads(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.process["terminal"] = True
    bundle.args("sh", "-c", "trap 'echo > /ended; exit 3' TERM; yes & while :; do sleep 0.01; done").save()
    process = pyoci.spawn("run", "--bundle", str(bundle.path), pyoci.new_id(), stdout=subprocess.PIPE)
    assert process.stdout
    writing = os.open(f"/proc/{process.pid}/fd/1", os.O_WRONLY)
    wait_for(lambda: not select.select([], [writing], [], 0)[1], what="the pipe is full")
    os.close(writing)
    process.terminate()
    wait_for((bundle.rootfs / "ended").exists)
    process.stdout.read()
    assert process.wait(60) == 3


def test_a_terminal_that_goes_away(bundle: Bundle, pyoci: Pyoci, directory: Path) -> None:
    bundle.process["terminal"] = True
    bundle.args("sh", "-c", "trap 'exit 6' HUP; echo ready; while :; do sleep 0.01; done").save()
    master, slave = pty.openpty()
    with (directory / "errors").open("wb") as errors:
        process = pyoci.spawn(
            *("run", "--bundle", str(bundle.path), pyoci.new_id()),
            stdin=slave,
            stdout=slave,
            stderr=errors,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
    os.close(slave)
    read_until(master, "ready")
    os.close(master)
    assert process.wait(60) == 6
    assert (directory / "errors").read_text() == ""


def test_in_the_background(bundle: Bundle, pyoci: Pyoci) -> None:
    """The terminal is another job's: it stays as it is, and nothing typed there is the container's, nor its end."""
    bundle.process["terminal"] = True
    bundle.args("sh", "-c", "echo ready; read line; echo got-$line; exit 7").save()
    master, slave = pty.openpty()
    command = shlex.join(pyoci.command("run", "--bundle", str(bundle.path), pyoci.new_id()))
    script = f"set -m; {command} & read line; echo shell-$line; fg > /dev/null"
    before = termios.tcgetattr(slave)
    shell = subprocess.Popen(
        ["bash", "-c", script],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    read_until(master, "ready")
    assert termios.tcgetattr(slave) == before
    os.write(master, b"one\n")
    read_until(master, "shell-one")
    wait_for(lambda: not termios.tcgetattr(slave)[3] & termios.ICANON)
    os.write(master, b"two\n")
    read_until(master, "got-two")
    assert shell.wait(60) == 7
    os.close(master)
    os.close(slave)


def test_terminal_without_a_terminal_of_ours(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.process["terminal"] = True
    bundle.process["consoleSize"] = {"height": 20, "width": 70}
    done = pyoci.run(bundle.shell("tty; stty size; cat"), input="given\n")
    assert "/dev/" in done.out
    assert "20 70" in done.out
    assert done.out.count("given") >= 1


def test_exec_at_a_terminal(bundle: Bundle, pyoci: Pyoci) -> None:
    container: Container = pyoci.run_detached(bundle.shell("echo ready; sleep 100")).expect("ready")
    terminal = AtTerminal(pyoci, "exec", "--tty", container.id, "sh")
    terminal.type("stty size; tty; echo [$((6*7))]\n")
    shown = terminal.expect("[42]")
    assert "33 99" in shown
    assert "/dev/pts/" in shown
    terminal.type("exit 6\n")
    assert terminal.end() == 6


def test_ids_of_a_user_namespace(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.user_namespace()
    terminal = _run(bundle, pyoci, "sh", "-c", "echo hi > /dev/tty; stat -c owner-%u $(tty)")
    terminal.expect("owner-0")
    assert terminal.end() == 0
    wait_for(lambda: pyoci("list", "-q").out == "")
