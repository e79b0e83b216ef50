"""The runtime is killed, at many moments spread over what it does: `state` answers at each of them, and after
`delete --force` nothing is left. A signal that asks it to end makes it undo what it has done."""

from __future__ import annotations

import ctypes
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from containers import Bundle, Container, Pyoci, wait_for

PR_SET_CHILD_SUBREAPER = 36
STATES = {"creating", "created", "running", "stopped"}


def _children() -> dict[int, str]:
    """Children of this process, orphans that it adopted among them; those that have ended are reaped."""
    found: dict[int, str] = {}
    for pid in map(int, Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()):
        try:
            if not os.waitpid(pid, os.WNOHANG)[0]:
                found[pid] = Path(f"/proc/{pid}/comm").read_text()
        except (ChildProcessError, FileNotFoundError):
            continue
    return found


@pytest.fixture(autouse=True)
def adopter() -> Iterator[None]:
    """Whatever a killed runtime leaves behind becomes a child of ours: nothing escapes notice."""
    libc = ctypes.CDLL(None)
    assert libc.prctl(PR_SET_CHILD_SUBREAPER, 1) == 0
    yield
    assert libc.prctl(PR_SET_CHILD_SUBREAPER, 0) == 0


@pytest.fixture
def rich(bundle: Bundle, pyoci: Pyoci) -> Bundle:
    """A bundle that makes the runtime do a bit of everything."""
    bundle.namespace("cgroup")
    bundle.linux["resources"] = {
        "pids": {"limit": 100},
        "memory": {"limit": 64 << 20},
        "devices": [{"allow": False, "access": "rwm"}],
    }
    bundle.linux["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["kexec_load"], "action": "SCMP_ACT_ERRNO"}],
    }
    script = {"path": "/bin/sh", "args": ["sh", "-c", "cat > /dev/null"]}
    bundle.config["hooks"] = {"createRuntime": [script], "startContainer": [script], "poststop": [script]}
    bundle.mount("/mnt", "tmpfs", "tmpfs")
    return bundle.shell("sleep 100 & sleep 100")


def _moments(count: int, duration: float) -> list[float]:
    """Spread over the duration and a little longer, with chance."""
    chance = random.Random(1)
    return [duration * 1.2 * (i + chance.random()) / count for i in range(count)]


def _duration(do: Callable[[], object]) -> float:
    """How long it takes when nothing happens to it; `do` may return an exit code."""
    began = time.monotonic()
    assert not isinstance(code := do(), int) or code == 0
    return time.monotonic() - began


def _interrupt(process: subprocess.Popen[bytes], moment: float, number: int = signal.SIGKILL) -> int:
    time.sleep(moment)
    process.send_signal(number)
    return process.wait(120)


def _left(pyoci: Pyoci, id: str) -> list[str]:
    """What there is of a container that should be gone."""
    names = os.listdir(pyoci.root) if pyoci.root.exists() else []
    left = [f"{pyoci.root}/{name}" for name in names if name != "~seccomp"]
    own = {line.split(":", 2)[2] for line in Path("/proc/self/cgroup").read_text().splitlines()} | {"/"}
    top = Path("/sys/fs/cgroup")
    for hierarchy in (top, *top.iterdir()):
        left += [f"{hierarchy}{path}/{id}" for path in own if os.path.exists(f"{hierarchy}{path}/{id}")]
    return left


def _check_state(container: Container, known: bool) -> None:
    done = container.pyoci("state", container.id, check=False)
    assert "internal" not in done.err
    assert "Traceback" not in done.err
    if done.code:
        assert not known
        assert "container does not exist" in done.err
    else:
        assert container.status in STATES


def _check_gone(container: Container) -> None:
    delete = container.pyoci.spawn("delete", "--force", container.id)
    wait_for(lambda: (_children(), delete.poll())[1] is not None, what="delete, for whom we reap what we adopted")
    assert delete.returncode == 0
    assert _left(container.pyoci, container.id) == []
    wait_for(lambda: not _children(), 60, f"no children, but {_children()}")


def _new(pyoci: Pyoci, bundle: Bundle) -> Container:
    return Container(pyoci, pyoci.new_id(), bundle, Path("/dev/null"))


def _begin(container: Container, *argv: str) -> subprocess.Popen[bytes]:
    silent = subprocess.DEVNULL
    return container.pyoci.spawn(*argv, stdin=silent, stdout=silent, stderr=silent)


@pytest.mark.parametrize("verb", [["create"], ["run", "--detach"], ["run"]])
def test_killed_while_it_creates(verb: list[str], rich: Bundle, pyoci: Pyoci) -> None:
    rich.save()
    argv = [*verb, "--bundle", str(rich.path)]
    first = _new(pyoci, rich)
    duration = 0.06
    if verb != ["run"]:
        duration = _duration(lambda: _begin(first, *argv, first.id).wait(60))
        _check_gone(first)
    for moment in _moments(45 if verb == ["create"] else 20, duration):
        container = _new(pyoci, rich)
        _interrupt(_begin(container, *argv, container.id), moment)
        _check_state(container, known=False)
        _check_gone(container)


def test_killed_while_it_starts(rich: Bundle, pyoci: Pyoci) -> None:
    duration = _duration(pyoci.create(rich).start)
    for moment in _moments(20, duration):
        container = pyoci.create(rich)
        _interrupt(_begin(container, "start", container.id), moment)
        _check_state(container, known=True)
        if container.status == "created":
            container.start()
        container.delete(force=True)


def test_killed_while_it_executes(rich: Bundle, pyoci: Pyoci) -> None:
    container = pyoci.run_detached(rich.shell("echo ready; while :; do sleep 0.1; done")).expect("ready")
    duration = _duration(lambda: container.exec("true"))
    for moment in _moments(20, duration):
        _interrupt(_begin(container, "exec", container.id, "sleep", "100"), moment)
        _check_state(container, known=True)
        assert container.status == "running"
    programs = [Path(f"/proc/{pid}/comm").read_text().strip() for pid in _children()]
    assert set(programs) <= {"sleep", "sh", "busybox"}  # none is in the middle of becoming one
    _check_gone(container)


def test_killed_while_it_deletes(rich: Bundle, pyoci: Pyoci) -> None:
    first = pyoci.run_detached(rich)
    duration = _duration(lambda: first.delete(force=True))
    for moment in _moments(20, min(duration, 0.1)):
        container = pyoci.run_detached(rich)
        _interrupt(_begin(container, "delete", "--force", container.id), moment)
        _check_state(container, known=False)
        _check_gone(container)


def test_create_again_after_a_crash(rich: Bundle, pyoci: Pyoci) -> None:
    """What a killed create left does not stand in the way of others, and is removed with the id."""
    rich.save()
    for moment in _moments(8, 0.03):
        container = _new(pyoci, rich)
        argv = ["create", "--bundle", str(rich.path), container.id]
        _interrupt(_begin(container, *argv), moment)
        if pyoci("state", container.id, check=False).code:
            pyoci.create(rich, id=container.id)
            assert container.status == "created"
        _check_gone(container)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_asked_to_end_while_a_hook_runs(number: signal.Signals, rich: Bundle, pyoci: Pyoci) -> None:
    flag = rich.path / "hook-runs"
    rich.config["hooks"]["createRuntime"] = [{"path": "/bin/sh", "args": ["sh", "-c", f"touch {flag}; exec sleep 100"]}]
    rich.save()
    container = _new(pyoci, rich)
    error = rich.path / "error"
    with error.open("wb") as file:
        process = pyoci.spawn("create", "--bundle", str(rich.path), container.id, stderr=file)
    wait_for(flag.exists)
    process.send_signal(number)
    assert process.wait(60) == 128 + number
    assert len(error.read_text().splitlines()) == 1
    assert f"interrupted by {number.name}" in error.read_text()
    assert _left(pyoci, container.id) == []
    wait_for(lambda: not _children(), 2)


def test_asked_to_end_while_init_is_slow(rich: Bundle, pyoci: Pyoci) -> None:
    flag = rich.path / "hook-runs"
    rich.config["hooks"]["createContainer"] = [
        {"path": "/bin/sh", "args": ["sh", "-c", f"touch {flag}; exec sleep 100"]}
    ]
    rich.save()
    container = _new(pyoci, rich)
    process = _begin(container, "create", "--bundle", str(rich.path), container.id)
    wait_for(flag.exists)
    process.terminate()
    assert process.wait(60) == 143
    assert _left(pyoci, container.id) == []
    wait_for(lambda: not _children(), 2)


def test_asked_to_end_at_any_moment(rich: Bundle, pyoci: Pyoci) -> None:
    """Either nothing is left or the container is whole."""
    rich.save()
    argv = ["create", "--bundle", str(rich.path)]
    first = _new(pyoci, rich)
    duration = _duration(lambda: _begin(first, *argv, first.id).wait(60))
    _check_gone(first)
    codes = set()
    for moment in _moments(40, duration):
        container = _new(pyoci, rich)
        code = _interrupt(_begin(container, *argv, container.id), moment, signal.SIGTERM)
        codes.add(code)
        if code == 0:
            assert container.status == "created"
            container.delete(force=True)
        assert _left(pyoci, container.id) == [], (code, moment)
        wait_for(lambda: not _children(), 2)
    assert codes <= {0, 143, -signal.SIGTERM}
    assert 143 in codes
