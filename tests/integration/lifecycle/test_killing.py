"""kill: signals that end a created container, and what is left of one whose init is gone (runc's kill.bats)."""

from __future__ import annotations

import ctypes
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from containers import Bundle, Container, Pyoci, wait_for

PR_SET_CHILD_SUBREAPER = 36


@pytest.fixture
def subreaper() -> Iterator[None]:
    """Containers become our children when their `create` has ended."""
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    yield
    libc.prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


# --- created containers


@pytest.mark.parametrize("name", ["TERM", "INT", "HUP", "QUIT"])
@pytest.mark.parametrize("namespace", ["new", "none"])
def test_signals_that_end_a_created_container(
    bundle: Bundle, pyoci: Pyoci, subreaper: None, name: str, namespace: str
) -> None:
    """podman stop took ten seconds: to init of a pid namespace a signal without a handler is none. The status is that
    of runc. Fails without catch_what_ends() (report.c)."""
    if namespace == "none":
        bundle.without_namespace("pid")
    container = pyoci.create(bundle.args("sleep", "100"))
    pid = container.pid
    container.kill(name)
    container.wait()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status == (2 if namespace == "new" else -getattr(signal, f"SIG{name}"))
    assert "cannot start a container that has stopped" in pyoci("start", container.id, check=False).err
    container.delete()


@pytest.mark.parametrize("name", ["USR1", "WINCH", "37", "CONT"])
def test_signals_that_do_not(bundle: Bundle, pyoci: Pyoci, name: str) -> None:
    container = pyoci.create(bundle.shell("echo started; sleep 100"))
    container.kill(name)
    assert container.status == "created"
    container.start().expect("started")


def test_the_process_has_its_signals_at_default(bundle: Bundle, pyoci: Pyoci) -> None:
    container = pyoci.create(bundle.args("sleep", "100"))
    caught = "SigCgt:\t0000000000004007"
    assert caught in Path(f"/proc/{container.pid}/status").read_text()
    container.start()
    assert "SigCgt:\t0000000000000000" in Path(f"/proc/{container.pid}/status").read_text()


@pytest.mark.parametrize("verb", ["run", "start"])
def test_a_signal_ends_a_container_at_its_hooks(bundle: Bundle, pyoci: Pyoci, verb: str) -> None:
    """It is not told to run then."""
    hook = {"path": "/bin/sh", "args": ["sh", "-c", "echo > /tmp/hook; sleep 100"]}
    bundle.config["hooks"] = {"startContainer": [hook]}
    bundle.args("sleep", "100").save()
    if verb == "run":
        child = pyoci.spawn("run", "--bundle", str(bundle.path), "box")
    else:
        pyoci.create(bundle, id="box")
        child = pyoci.spawn("start", "box")
    wait_for((bundle.rootfs / "tmp/hook").exists)
    pyoci("kill", "box", "KILL")
    assert child.wait(60) == 1
    assert "does not exist" in pyoci("state", "box", check=False).err


# --- more than init


def some_processes(container: Container) -> list[int]:
    """Of further processes of the container, on the host."""
    for _ in range(3):
        container.exec("sleep", "1000", options=["--detach"])
    pids = [int(pid) for pid in json.loads(container.pyoci("ps", "--format", "json", container.id).out)]
    assert len(pids) == 4
    return [pid for pid in pids if pid != container.pid]


@pytest.mark.parametrize("gone", [False, True])
def test_kill_ends_all_of_a_container_in_the_hosts_pid_namespace(bundle: Bundle, pyoci: Pyoci, gone: bool) -> None:
    """Its init may be gone; then no other signal finds it running. Fails with kill() asking for the status first."""
    container = pyoci.run_detached(bundle.without_namespace("pid").args("sleep", "1000"))
    pids = some_processes(container)
    if gone:
        os.kill(container.pid, signal.SIGKILL)
        container.wait()
        assert "container not running" in pyoci("kill", container.id, "TERM", check=False).err
        assert all(map(alive, pids))
    container.kill()
    wait_for(lambda: not any(map(alive, pids)))
    container.wait()
    assert "container not running" in pyoci("kill", container.id, "KILL", check=False).err
    container.delete()


@pytest.fixture
def pod(bundle: Bundle, new_bundle: object, pyoci: Pyoci, directory: Path) -> tuple[Container, Container]:
    """A container, and another one in its pid namespace."""
    first = pyoci.run_detached(bundle.args("sleep", "1000"))
    joined = Bundle(directory / "joined").args("sleep", "1000")
    joined.namespace("pid", f"/proc/{first.pid}/ns/pid")
    return first, pyoci.run_detached(joined)


@pytest.mark.parametrize("gone", [False, True])
def test_kill_ends_all_of_a_container_in_a_joined_pid_namespace(pod: tuple[Container, Container], gone: bool) -> None:
    """Nor is init that of the namespace; the other's processes stay. Fails with a pid namespace of any kind taken for
    the container's own."""
    first, joined = pod
    pids, others = some_processes(joined), some_processes(first)
    if gone:
        os.kill(joined.pid, signal.SIGKILL)
        joined.wait()
    joined.kill()
    wait_for(lambda: not any(map(alive, pids)))
    joined.wait().delete()
    assert all(map(alive, others))
    assert first.status == "running"


def test_kill_all_without_cgroups_spares_the_neighbours(pod: tuple[Container, Container], pyoci: Pyoci) -> None:
    """They are of the pid namespace, but not of the container."""
    first, joined = pod
    others = some_processes(first)
    path = pyoci.root / joined.id / "state.json"
    good = path.read_text()
    path.write_text(json.dumps({**json.loads(good), "cgroups": None}))
    try:
        pyoci("kill", "--all", joined.id, "TERM")
        joined.wait()
    finally:
        path.write_text(good)
    assert all(map(alive, others))
