"""Containers that an older pyoci made, whose state.json has the first format, outlive an upgrade."""

from __future__ import annotations

import json
from typing import Any

import pytest
from containers import Bundle, Container, Pyoci, wait_for


@pytest.fixture(params=[51, "[40]"], ids=["number", "text"])
def operations(request: pytest.FixtureRequest) -> Any:
    """What `operations` was in records of version 1: a number, then text."""
    return request.param


def as_before(container: Container, operations: Any) -> Container:
    """Gives the container's record the first format."""
    path = container.pyoci.root / container.id / "state.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "version": 1, "operations": operations}))
    return container


def test_a_running_container(bundle: Bundle, pyoci: Pyoci, operations: Any) -> None:
    container = as_before(pyoci.run_detached(bundle.args("sleep", "100")), operations)
    assert container.status == "running"
    assert container.id in pyoci("list", "--quiet").out.split()
    assert container.exec("echo", "hello").out == "hello\n"
    pyoci("pause", container.id)
    assert container.status == "paused"
    pyoci("resume", container.id)
    container.kill()
    container.wait()
    container.delete()
    assert not (pyoci.root / container.id).exists()


def test_it_is_deleted_by_force(bundle: Bundle, pyoci: Pyoci, operations: Any) -> None:
    container = as_before(pyoci.run_detached(bundle.args("sleep", "100")), operations)
    container.delete(force=True)
    assert not (pyoci.root / container.id).exists()


def test_a_created_container(bundle: Bundle, pyoci: Pyoci, operations: Any) -> None:
    container = as_before(pyoci.create(bundle.args("sleep", "100")), operations)
    assert container.status == "created"
    assert container.start().status == "running"
    record = json.loads((pyoci.root / container.id / "state.json").read_text())
    assert (record["version"], type(record["operations"])) == (2, str)


def test_what_came_later(bundle: Bundle, pyoci: Pyoci) -> None:
    """Fields that records got without a new version of the format. An init that does not tell of its startContainer
    hooks, here one that ends at them, is as any."""
    bundle.config["hooks"] = {"startContainer": [{"path": "/bin/true"}]}
    refused = [{"names": ["clone"], "action": "SCMP_ACT_KILL_PROCESS"}]
    bundle.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": refused}
    container = pyoci.create(bundle.args("sleep", "100"))
    path = pyoci.root / container.id / "state.json"
    record = json.loads(path.read_text())
    for name in ("keyring", "own_pids", "start_descriptor", "hooks_told"):
        del record[name]
    path.write_text(json.dumps(record))
    container.start().wait().delete()


def test_a_start_that_fails_is_told_without_the_plan(bundle: Bundle, pyoci: Pyoci) -> None:
    bad = bundle.rootfs / "bin/bad"
    bad.write_text("no program")
    bad.chmod(0o755)
    container = as_before(pyoci.create(bundle.args("/bin/bad")), 51)
    done = pyoci("start", container.id, check=False)
    assert done.code == 1
    assert "Exec format error" in done.err
    assert "internal error" not in done.err
    wait_for(lambda: container.status == "stopped")


def test_what_lacks_something_is_damaged(bundle: Bundle, pyoci: Pyoci) -> None:
    container = as_before(pyoci.create(bundle), 51)
    path = pyoci.root / container.id / "state.json"
    record = json.loads(path.read_text())
    del record["operations"]
    path.write_text(json.dumps(record))
    assert "is damaged" in pyoci("state", container.id, check=False).err
