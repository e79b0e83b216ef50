"""A command that has to wait for another says for whom, after a second; one that finds the container gone says so."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from containers import Bundle, Container, Pyoci, wait_for

VERBS = (["delete"], ["start"], ["pause"], ["resume"], ["update", "--pids-limit", "3"])


@pytest.fixture
def stopped_create(bundle: Bundle, pyoci: Pyoci) -> Iterator[subprocess.Popen[bytes]]:
    """A `create` that has the lock and does not go on."""
    flag = bundle.path / "hook-runs"
    script = f"touch {flag}; exec sleep 100"
    bundle.config["hooks"] = {"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", script]}]}
    bundle.args("sleep", "100").save()
    creating = pyoci.spawn("create", "--bundle", str(bundle.path), pyoci.new_id(), stderr=subprocess.DEVNULL)
    wait_for(flag.exists)
    creating.send_signal(signal.SIGSTOP)
    yield creating
    creating.send_signal(signal.SIGCONT)
    creating.terminate()
    creating.wait(60)


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
@pytest.mark.parametrize("log", [False, True])
def test_who_has_the_lock(
    stopped_create: subprocess.Popen[bytes], pyoci: Pyoci, directory: Path, verb: list[str], log: bool
) -> None:
    (id,) = pyoci("list", "--quiet").out.split()
    options = ["--log", str(directory / "log")] if log else []
    error = directory / "error"
    with error.open("wb") as file:
        waiting = pyoci.spawn(*options, *verb, id, stderr=file)
        wait_for(lambda: b"\n" in error.read_bytes() or waiting.poll() is not None)
        assert waiting.poll() is None
    said = error.read_text()
    assert said.count("\n") == 1
    assert f"waiting for process {stopped_create.pid} (" in said
    assert f"create --bundle {directory}/bundle {id})" in said
    waiting.kill()
    waiting.wait()


def test_who_keeps_delete_force_from_it(stopped_create: subprocess.Popen[bytes], pyoci: Pyoci) -> None:
    """It ends init, but not the other command."""
    (id,) = pyoci("list", "--quiet").out.split()
    done = pyoci("delete", "--force", id, check=False)
    assert done.code == 1
    waiting, failed = done.err.splitlines()
    assert f"waiting for process {stopped_create.pid} (" in waiting
    assert f"process {stopped_create.pid} (" in failed
    assert "is still working on it" in failed
    stopped_create.send_signal(signal.SIGCONT)
    assert stopped_create.wait(60) == 1
    assert os.listdir(pyoci.root) == []


def test_a_name_of_the_holder_commands_no_terminal(bundle: Bundle, pyoci: Pyoci, directory: Path) -> None:
    container = pyoci.create(bundle.args("true"))
    script = f"exec 9< {pyoci.root}/{container.id}; flock 9; echo locked; sleep 100"
    argv = ["sh", "-c", script, "\x1b]0;title\x07\u2028\n"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, start_new_session=True) as holder:
        try:
            assert holder.stdout
            assert holder.stdout.readline() == b"locked\n"
            error = directory / "error"
            with error.open("wb") as file:
                waiting = pyoci.spawn("delete", container.id, stderr=file)
                wait_for(lambda: b"\n" in error.read_bytes())
            assert error.read_text().removesuffix("\n").isprintable()
            waiting.kill()
            waiting.wait()
        finally:
            os.killpg(holder.pid, signal.SIGKILL)


@pytest.mark.parametrize("force", [True, False])
def test_many_deletes_at_once(bundle: Bundle, pyoci: Pyoci, directory: Path, force: bool) -> None:
    """One does it, and the others find it done."""
    for _ in range(10):
        container = pyoci.create(bundle.args("true")) if force else pyoci.run_detached(bundle.args("true")).wait()
        argv = ["delete", *(["--force"] if force else []), container.id]
        with (directory / "error").open("w+") as file:
            codes = sorted(command.wait(60) for command in [pyoci.spawn(*argv, stderr=file) for _ in range(3)])
            file.seek(0)
            said = file.read().splitlines()
        assert codes == ([0, 0, 0] if force else [0, 1, 1]), said
        assert all("container does not exist" in line for line in said), said
        assert not (pyoci.root / container.id).exists()


def test_a_start_that_waits_for_a_delete(bundle: Bundle, pyoci: Pyoci, directory: Path) -> None:
    """The lock is that of a container that is gone by then."""
    container = pyoci.create(bundle.args("true"))
    lock = os.open(pyoci.root / container.id, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with (directory / "error").open("w+") as file:
            commands = {name: pyoci.spawn(name, container.id, stderr=file) for name in ("start", "pause", "delete")}
            waiting = [
                lambda command=command: (
                    Path(f"/proc/{command.pid}/fd").exists()
                    and str(pyoci.root / container.id) in _open_files(command.pid)
                )
                for command in commands.values()
            ]
            for condition in waiting:
                wait_for(condition)
            os.rename(pyoci.root / container.id, directory / "aside")
            for name in ("state.json", "config.json", "start.sock"):
                (directory / "aside" / name).unlink()
            os.close(lock)
            lock = -1
            assert [command.wait(60) for command in commands.values()] == [1, 1, 1]
            file.seek(0)
            said = file.read().splitlines()
        assert len(said) == 3
        assert all("container does not exist" in line for line in said), said
    finally:
        if lock >= 0:
            os.close(lock)
        _end(container)


def _open_files(pid: int) -> list[str]:
    found = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            found.append(os.readlink(f"/proc/{pid}/fd/{name}"))
        except OSError:
            continue
    return found


def _end(container: Container) -> None:
    """One that has lost its record."""
    found = [Path(base, container.id) for base, names, _ in os.walk("/sys/fs/cgroup") if container.id in names]
    for path in found:
        for pid in (path / "cgroup.procs").read_text().split():
            os.kill(int(pid), signal.SIGKILL)
    for path in found:
        wait_for(lambda path=path: _removed(path))  # type: ignore[misc]


def _removed(path: Path) -> bool:
    try:
        path.rmdir()
    except OSError:
        return not path.exists()
    return True
