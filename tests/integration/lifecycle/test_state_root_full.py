"""The file system of the state root is full, has no inodes left, or is read-only: a command that cannot do without says
so in one line and changes nothing, one whose work is done warns. A container is never lost sight of."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from containers import Bundle, Container, Pyoci, Result


class SmallRoot:
    """The state root of `pyoci` on a tmpfs of its own, which break_() makes useless in one way, and mend() good."""

    def __init__(self, root: Path, way: str) -> None:
        self.path = root
        self.way = way

    def break_(self) -> None:
        if self.way == "read-only":
            self._mount("remount,ro")
        elif self.way == "full":
            with open(self.path / "~fill", "wb", buffering=0) as file:
                try:
                    while file.write(b"x" * 4096):
                        pass
                except OSError:
                    return
        else:
            number = 0
            try:
                while True:
                    (self.path / f"~fill{number}").touch()
                    number += 1
            except OSError:
                return

    def mend(self) -> None:
        if self.way == "read-only":
            self._mount("remount,rw")
        for path in self.path.glob("~fill*"):
            path.unlink()

    def _mount(self, options: str) -> None:
        subprocess.run(["mount", "-o", options, str(self.path)], check=True)


WORDS = {"full": "No space left on device", "inodes": "No space left on device", "read-only": "Read-only file system"}


@pytest.fixture(params=WORDS)
def small(pyoci: Pyoci, request: pytest.FixtureRequest) -> Iterator[SmallRoot]:
    pyoci.root.mkdir()
    options = {"full": "size=64k", "inodes": "nr_inodes=16", "read-only": "size=1m"}[request.param]
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"mode=700,{options}", "none", str(pyoci.root)], check=True)
    root = SmallRoot(pyoci.root, request.param)
    yield root
    try:
        root.mend()
        for id in pyoci("list", "--quiet").out.split():
            pyoci("delete", "--force", id)
    finally:
        subprocess.run(["umount", str(pyoci.root)], check=True)


def says(done: Result, small: SmallRoot, code: int) -> bool:
    """One line, with what the kernel said."""
    assert done.code == code, done
    assert done.err.count("\n") == 1, done
    assert WORDS[small.way] in done.err
    assert "internal error" not in done.err
    assert ("level=warning" in done.err) == (code == 0)
    return True


@pytest.mark.parametrize("verb", [["create"], ["run"], ["run", "--detach"]], ids=" ".join)
def test_no_container_is_made(pyoci: Pyoci, bundle: Bundle, small: SmallRoot, verb: list[str]) -> None:
    bundle.args("true").save()
    small.break_()
    done = pyoci(*verb, "--bundle", str(bundle.path), id := pyoci.new_id(), check=False)
    assert says(done, small, 1)
    assert id not in pyoci("list", "--quiet").out
    small.mend()
    assert [path.name for path in small.path.iterdir()] == []


def break_under_way(small: SmallRoot, bundle: Bundle) -> None:
    """By a hook that runs when the record is there but has still to be changed."""
    way = {
        "read-only": f"mount -o remount,ro {small.path}",
        "full": f"cat /dev/zero > {small.path}/~fill; true",
        "inodes": f"i=0; while touch {small.path}/~fill$i; do i=$((i+1)); done; true",
    }[small.way]
    script = f"exec 2> /dev/null; cat > /dev/null; {way}"
    bundle.config["hooks"] = {"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", script]}]}


def test_create_undoes_what_cannot_be_recorded(pyoci: Pyoci, bundle: Bundle, small: SmallRoot) -> None:
    break_under_way(small, bundle.args("true"))
    bundle.save()
    done = pyoci("create", "--bundle", str(bundle.path), id := pyoci.new_id(), check=False)
    assert done.code == 1
    assert WORDS[small.way] in done.err
    assert "internal error" not in done.err
    assert "Errno" not in done.err
    small.mend()
    pyoci("delete", "--force", id)
    assert list(small.path.iterdir()) == []


def test_start_goes_on(pyoci: Pyoci, bundle: Bundle, small: SmallRoot) -> None:
    """The process runs when the record turns out not to be changeable."""
    flag = bundle.path / "go"
    bundle.shell("while [ ! -e /mnt/go ]; do sleep 0.01; done; exit 7").mount(
        "/mnt", "bind", str(bundle.path), ["bind"]
    )
    container = pyoci.create(bundle)
    small.break_()
    done = pyoci("start", container.id)
    # the inode of start.sock is free by then
    assert (small.way == "inodes" and not done.err) or says(done, small, 0)
    assert container.status == "running"
    done = pyoci("start", container.id, check=False)
    assert done.code == 1
    assert "already running" in done.err
    assert container.exec("echo", "hello").out == "hello\n"
    flag.touch()
    container.wait()


@pytest.mark.parametrize("small", ["full"], indirect=True)
@pytest.mark.parametrize("detach", [True, False], ids=["detached", "foreground"])
def test_run_goes_on(pyoci: Pyoci, bundle: Bundle, small: SmallRoot, detach: bool) -> None:
    bundle.mount("/mnt", "bind", str(small.path), ["bind"]).args("sh", "-c", "sleep 1; exit 7")
    fill = ["sh", "-c", "exec 2> /dev/null; cat /dev/zero > /mnt/~fill; true"]
    bundle.config["hooks"] = {"startContainer": [{"path": "/bin/sh", "args": fill}]}
    if detach:
        container = pyoci.run_detached(bundle)
        assert WORDS[small.way] in container.output
        assert container.status == "running"
        return
    done = pyoci.run(bundle, check=False)
    assert done.code == 7
    assert WORDS[small.way] in done.err
    assert "internal error" not in done.err


@pytest.fixture
def running(pyoci: Pyoci, bundle: Bundle, small: SmallRoot) -> Container:
    return pyoci.run_detached(bundle.args("sleep", "100"))


def test_a_running_container_is_paused_and_resumed(running: Container, small: SmallRoot) -> None:
    small.break_()
    assert says(running.pyoci("pause", running.id, check=False), small, 0)
    assert running.status == "paused"
    assert running.pyoci("resume", running.id).code == 0
    assert running.status == "running"
    small.mend()
    running.pyoci("pause", running.id)
    small.break_()
    assert says(running.pyoci("resume", running.id, check=False), small, 0)
    assert running.status == "running"


def test_a_created_container_is_not_paused(pyoci: Pyoci, bundle: Bundle, small: SmallRoot) -> None:
    """Nothing would tell `start` that it is."""
    container = pyoci.create(bundle.args("sleep", "100"))
    small.break_()
    assert says(pyoci("pause", container.id, check=False), small, 1)
    assert container.status == "created"
    small.mend()
    assert container.start().status == "running"


def test_what_only_reads(running: Container, small: SmallRoot) -> None:
    small.break_()
    for verb in (["state"], ["ps"], ["events", "--stats"], ["kill"]):
        assert running.pyoci(*verb, running.id, *(["0"] if verb == ["kill"] else [])).err == ""
    assert running.pyoci("list", "--quiet").out.split() == [running.id]
    assert running.exec("true").code == 0


def test_update_is_taken_back(running: Container, small: SmallRoot) -> None:
    running.pyoci("update", "--pids-limit", "50", running.id)
    small.break_()
    assert says(running.pyoci("update", "--pids-limit", "70", running.id, check=False), small, 1)
    walk = os.walk("/sys/fs/cgroup")
    limits = [
        Path(base, "pids.max").read_text() for base, _, files in walk if running.id in base and "pids.max" in files
    ]
    assert "50\n" in limits
    assert "70\n" not in limits


@pytest.mark.parametrize("make", ["create", "run_detached"])
def test_delete(pyoci: Pyoci, bundle: Bundle, small: SmallRoot, make: str) -> None:
    """What is read-only cannot forget a container, which is an error, but it is dead all the same."""
    factory: Callable[[Bundle], Container] = getattr(pyoci, make)
    container = factory(bundle.args("sleep", "100"))
    pid = container.pid
    small.break_()
    done = pyoci("delete", "--force", container.id, check=False)
    if small.way == "read-only":
        assert says(done, small, 1)
        assert container.status == "stopped"
    else:
        assert (done.code, done.err) == (0, "")
        assert pyoci("list", "--quiet").out == ""
    assert not Path(f"/proc/{pid}").exists() or Path(f"/proc/{pid}/cmdline").read_bytes() == b""
    small.mend()
    pyoci("delete", "--force", container.id)
    assert list(small.path.iterdir()) == []
