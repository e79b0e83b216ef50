"""SCMP_ACT_NOTIFY: the filter's listener, and when its agent gets it."""

from __future__ import annotations

import array
import fcntl
import json
import os
import select
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from containers import Bundle, Pyoci
from process_support import fields

ALLOW, ERRNO, NOTIFY = "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_NOTIFY"


@pytest.fixture(params=[True, False], ids=["nnp", "privileged"])
def nnp(request: pytest.FixtureRequest, bundle: Bundle) -> bool:
    """With and without noNewPrivileges: the filter is loaded at a different moment, as different users."""
    wanted = bool(request.param)
    bundle.process["noNewPrivileges"] = wanted
    return wanted


RECV, SEND = 0xC0502100, 0xC0182101
NOTIFICATION, RESPONSE = struct.Struct("=QIIiIQ6Q"), struct.Struct("=QqiI")


class Agent:
    """Listens at `path`; what comes is kept in `states`, and every notification is answered by `answer`."""

    def __init__(self, path: Path, answer: Callable[[int], tuple[int, int]]) -> None:
        self.path = path
        self.states: list[dict[str, Any]] = []
        self.calls: list[int] = []
        self._answer = answer
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._server.bind(str(path))
        self._server.listen()
        self._stop, self._stopped = os.pipe()
        self._listeners: list[int] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while True:
            ready, _, _ = select.select([self._server.fileno(), self._stop, *self._listeners], [], [])
            if self._stop in ready:
                return
            for each in ready:
                if each == self._server.fileno():
                    self._accept()
                else:
                    self._respond(each)

    def _accept(self) -> None:
        connection, _ = self._server.accept()
        with connection:
            text, ancillary, _, _ = connection.recvmsg(1 << 16, socket.CMSG_SPACE(16))
            descriptors = array.array("i")
            for _, _, data in ancillary:
                descriptors.frombytes(data[: len(data) - len(data) % 4])
            while more := connection.recv(1 << 16):
                text += more
        self.states.append(json.loads(text))
        self._listeners += descriptors

    def _respond(self, listener: int) -> None:
        buffer = bytearray(NOTIFICATION.size)
        try:
            fcntl.ioctl(listener, RECV, buffer)
        except OSError:  # nobody is left who could call
            self._listeners.remove(listener)
            os.close(listener)
            return
        id, _, _, number, *_ = NOTIFICATION.unpack(buffer)
        self.calls.append(number)
        error, flags = self._answer(number)
        try:
            fcntl.ioctl(listener, SEND, RESPONSE.pack(id, 0, error, flags))
        except FileNotFoundError:  # the caller has been killed meanwhile
            return

    def close(self) -> None:
        os.close(self._stopped)
        self._thread.join(10)
        self._server.close()
        for listener in self._listeners:
            os.close(listener)
        os.close(self._stop)


GO_ON = (0, 1)  # SECCOMP_USER_NOTIF_FLAG_CONTINUE
MKDIR = {"x86_64": 83}.get(os.uname().machine, 34)


@pytest.fixture
def agent(directory: Path) -> Iterator[Agent]:
    """Refuses mkdir(2) with EDOM, lets all else go on."""
    agent = Agent(directory / "agent", lambda number: (-33, 0) if number == MKDIR else GO_ON)
    yield agent
    agent.close()


def notify(agent: Agent, *names: str) -> dict[str, Any]:
    return {
        "defaultAction": ALLOW,
        "listenerPath": str(agent.path),
        "listenerMetadata": "about it",
        "syscalls": [{"names": list(names), "action": NOTIFY}],
    }


@pytest.mark.parametrize("verb", ["run", "start"])
def test_the_agent_decides(bundle: Bundle, pyoci: Pyoci, agent: Agent, nnp: bool, verb: str) -> None:
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    bundle.linux["seccomp"] = notify(agent, "mkdir", "mkdirat", "chdir", "capset", "setresuid", "execve")
    bundle.config["annotations"] = {"of": "the container"}
    bundle.shell("echo here; mkdir /tmp/d || true; sleep 60")
    container = pyoci.run_detached(bundle) if verb == "run" else pyoci.create(bundle).start()
    container.expect("Numerical argument out of domain")
    (state,) = agent.states
    assert state["ociVersion"] == state["state"]["ociVersion"]
    assert state["fds"] == ["seccompFd"]
    assert state["pid"] == state["state"]["pid"] == container.pid
    assert state["metadata"] == "about it"
    assert state["state"]["id"] == container.id
    assert state["state"]["status"] == "creating"
    assert state["state"]["bundle"] == str(bundle.path)
    assert state["state"]["annotations"] == {"of": "the container"}
    assert MKDIR in agent.calls


def test_the_agent_decides_for_exec(bundle: Bundle, pyoci: Pyoci, agent: Agent, nnp: bool) -> None:
    bundle.linux["seccomp"] = notify(agent, "mkdir", "mkdirat")
    container = pyoci.run_detached(bundle.args("/bin/sleep", "60"))
    done = container.exec("mkdir", "/tmp/d", check=False)
    assert "Numerical argument out of domain" in done.err
    _, state = agent.states
    assert state["state"]["pid"] == container.pid != state["pid"]
    assert state["state"]["status"] == "running"


def test_the_agent_decides_in_a_user_namespace(bundle: Bundle, pyoci: Pyoci, agent: Agent, nnp: bool) -> None:
    bundle.user_namespace()
    bundle.linux["seccomp"] = notify(agent, "mkdir", "mkdirat", "setresuid", "capset")
    done = pyoci.run(bundle.args("mkdir", "/tmp/d"), check=False)
    assert "Numerical argument out of domain" in done.err
    assert len(agent.states) == 1


def test_nobody_listens(bundle: Bundle, pyoci: Pyoci, directory: Path) -> None:
    bundle.linux["seccomp"] = {
        "defaultAction": ALLOW,
        "listenerPath": str(directory / "none"),
        "syscalls": [{"names": ["mkdir"], "action": NOTIFY}],
    }
    done = pyoci.run(bundle, check=False)
    assert done.code != 0
    assert "/linux/seccomp/listenerPath" in done.err


def test_a_listener_needs_a_path(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.linux["seccomp"] = {"defaultAction": ALLOW, "syscalls": [{"names": ["mkdir"], "action": NOTIFY}]}
    done = pyoci.run(bundle, check=False)
    assert done.code != 0
    assert "/linux/seccomp/listenerPath" in done.err


# --- the moment: as with runc and crun the agent has the listener when `create` ends


def test_create_hands_it_over(bundle: Bundle, pyoci: Pyoci, agent: Agent, nnp: bool) -> None:
    """An agent may be what lets `start` be called. The container is "creating" until it has it."""
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    bundle.linux["seccomp"] = notify(agent, "mkdir", "mkdirat", "chdir", "capset", "setresuid", "execve")
    container = pyoci.create(bundle.shell("mkdir /tmp/d || true; cat /proc/self/status; sleep 60"))
    (state,) = agent.states
    assert state["state"]["status"] == "creating"
    assert state["pid"] == container.pid
    assert container.status == "created"
    assert fields(Path(f"/proc/{container.pid}/status").read_text())["Seccomp_filters"] == "1"
    container.start().expect("Seccomp_filters")
    assert "Numerical argument out of domain" in container.output
    assert container.status == "running"
    assert len(agent.states) == 1
    again = pyoci("start", container.id, check=False)
    assert "already running" in again.err


@pytest.mark.parametrize("verb", ["run", "start"])
def test_the_agent_lets_calls_go_on_that_init_makes(
    bundle: Bundle, pyoci: Pyoci, agent: Agent, nnp: bool, verb: str
) -> None:
    """runc's important system calls, and what init waits with."""
    calls = ("execve", "openat", "open", "read", "close", "fcntl", "prctl", "setresgid", "getcwd", "capset", "mmap")
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    bundle.process["env"] = ["PATH=/bin"]
    bundle.linux["seccomp"] = notify(agent, *calls)
    bundle.args("sleep", "0")
    if verb == "run":
        pyoci.run(bundle)
    else:
        pyoci.create(bundle).start().wait().delete()
    assert len(set(agent.calls)) >= 4


@pytest.mark.parametrize("uid", [0, 1000])
def test_a_narrow_profile_with_an_agent(bundle: Bundle, pyoci: Pyoci, agent: Agent, nnp: bool, uid: int) -> None:
    """init waits for `start` with read(2): no accept, recvmsg, socket or open is in the profile."""
    init = "prctl capset setgroups setresgid setresuid chdir getcwd execve mmap read write close"
    touch = "arch_prctl set_tid_address set_robust_list rseq prlimit64 readlinkat getrandom brk mprotect getuid getgid"
    names = f"{init} {touch} exit_group futex utimensat fstat newfstatat".split()
    bundle.linux["seccomp"] = {
        "defaultAction": ERRNO,
        "architectures": ["SCMP_ARCH_X86_64"],
        "listenerPath": str(agent.path),
        "syscalls": [{"names": names, "action": ALLOW}, {"names": ["mkdir"], "action": NOTIFY}],
    }
    bundle.process["user"] = {"uid": uid, "gid": uid}
    (bundle.rootfs / "tmp/file").touch()
    (bundle.rootfs / "tmp/file").chmod(0o666)
    os.utime(bundle.rootfs / "tmp/file", (0, 0))
    pyoci.create(bundle.args("touch", "/tmp/file")).start().wait()
    assert (bundle.rootfs / "tmp/file").stat().st_mtime > 0


def test_start_container_hooks_under_an_agent(bundle: Bundle, pyoci: Pyoci, agent: Agent, nnp: bool) -> None:
    """They are bound by the process's own filter, and do not inherit its listener: three descriptors and ls's own."""
    look = "ls /proc/self/fd; cat; mkdir /tmp/d; true"
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    bundle.config["annotations"] = {"key": "x" * 100000}
    bundle.config["hooks"] = {
        "startContainer": [
            {"path": "/bin/sh", "args": ["sh", "-c", f"exec > /tmp/$0 2>&1; {look}", name]} for name in "ab"
        ]
    }
    bundle.linux["seccomp"] = notify(agent, "mkdir", "mkdirat")
    container = pyoci.create(bundle.args("true"))
    pid = container.pid
    assert not (bundle.rootfs / "tmp/a").exists()
    container.start().wait()
    for name in "ab":
        text = (bundle.rootfs / f"tmp/{name}").read_text()
        fds, state, said = text[:8].split(), text[8:].partition("}}")[0] + "}}", text.partition("}}")[2]
        assert fds == ["0", "1", "2", "3"]
        assert json.loads(state)["annotations"] == bundle.config["annotations"]
        assert json.loads(state)["pid"] != pid
        assert "Numerical argument out of domain" in said
    assert len(agent.states) == 1


@pytest.mark.parametrize("kind", ["missing", "cwd", "user"])
def test_what_fails_after_the_listener(bundle: Bundle, pyoci: Pyoci, agent: Agent, nnp: bool, kind: str) -> None:
    """An error of start, or of create for what comes before it waits; one line, and nothing stays."""
    bundle.linux["seccomp"] = notify(agent, "mkdir")
    if kind == "missing":
        (bundle.rootfs / "bin/gone").write_text("#!/no/such/interpreter\n")
        (bundle.rootfs / "bin/gone").chmod(0o755)
        container = pyoci.create(bundle.args("/bin/gone"))
        failed = pyoci("start", container.id, check=False)
        assert "no such file" in failed.err.lower()
        container.wait().delete()
        return
    if kind == "cwd":
        (bundle.rootfs / "home/file").touch()
        bundle.process["cwd"] = "/home/file"
    else:
        bundle.user_namespace(size=1000)
        bundle.process["user"] = {"uid": 5000, "gid": 0}
    bundle.save()
    failed = pyoci("create", "--bundle", str(bundle.path), "box", check=False)
    assert failed.code == 1
    assert len(failed.err.splitlines()) == 1
    assert "does not exist" in pyoci("state", "box", check=False).err


def test_nobody_listens_at_create(bundle: Bundle, pyoci: Pyoci, directory: Path) -> None:
    bundle.linux["seccomp"] = {
        "defaultAction": ALLOW,
        "listenerPath": str(directory / "none"),
        "syscalls": [{"names": ["mkdir"], "action": NOTIFY}],
    }
    bundle.save()
    failed = pyoci("create", "--bundle", str(bundle.path), "box", check=False)
    assert failed.code == 1
    assert "/linux/seccomp/listenerPath" in failed.err
    assert "does not exist" in pyoci("state", "box", check=False).err


@pytest.mark.parametrize("signal", ["TERM", "KILL"])
def test_a_created_container_with_an_agent_ends(
    bundle: Bundle, pyoci: Pyoci, agent: Agent, nnp: bool, signal: str
) -> None:
    bundle.linux["seccomp"] = notify(agent, "mkdir")
    container = pyoci.create(bundle)
    container.kill(signal)
    container.wait().delete()


def test_start_and_create_may_be_far_apart_with_preserved_descriptors(
    bundle: Bundle, pyoci: Pyoci, agent: Agent, nnp: bool
) -> None:
    """What init keeps for `start` is none of the process's: it lies above those of --preserve-fds, and is closed."""
    bundle.linux["seccomp"] = notify(agent, "mkdir")
    bundle.args("ls", "/proc/self/fd").save()
    null = os.open("/dev/null", os.O_RDWR)
    output = bundle.path / "output"
    command = pyoci.command("create", "--bundle", str(bundle.path), "--preserve-fds", "2", "box")
    with output.open("wb") as file:
        actions = [(os.POSIX_SPAWN_DUP2, null, fd) for fd in (0, 3, 4)]
        os.posix_spawn(
            pyoci.executable, command, os.environ, file_actions=[*actions, (os.POSIX_SPAWN_DUP2, file.fileno(), 1)]
        )
        assert os.wait()[1] == 0
    os.close(null)
    pyoci("start", "box")
    pyoci("delete", "--force", "box")
    assert output.read_text().split() == ["0", "1", "2", "3", "4", "5"]
