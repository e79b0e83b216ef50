"""Which operation is allowed in which state, and what `state`, `list` and `ps` say meanwhile (runtime.md, State and
Operations). The words are compared with runc's where engines read them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from containers import Bundle, Container, Pyoci, Result, wait_for

from oci_runtime.errors import StateError
from oci_runtime.lifecycle.launch import _Launch, read_config
from oci_runtime.lifecycle.requests import CreateRequest
from oci_runtime.lifecycle.undo import Undo

LOOP = "trap 'echo got term; exit 7' TERM; trap 'echo got usr1' USR1; echo ready; while :; do sleep 0.01; done"


def _created(pyoci: Pyoci, bundle: Bundle) -> Container:
    return pyoci.create(bundle)


def _running(pyoci: Pyoci, bundle: Bundle) -> Container:
    return pyoci.run_detached(bundle).expect("ready")


def _paused(pyoci: Pyoci, bundle: Bundle) -> Container:
    container = _running(pyoci, bundle)
    pyoci("pause", container.id)
    return container


def _stopped(pyoci: Pyoci, bundle: Bundle) -> Container:
    container = _running(pyoci, bundle)
    container.kill()
    return container.wait()


MAKE: dict[str, Callable[[Pyoci, Bundle], Container]] = {
    "created": _created,
    "running": _running,
    "paused": _paused,
    "stopped": _stopped,
}

# operation: state: "" when it is allowed, else what the error says
TABLE = {
    "create": dict.fromkeys(MAKE, "container with given ID already exists"),
    "run": dict.fromkeys(MAKE, "container with given ID already exists"),
    "start": {
        "created": "",
        "running": "cannot start an already running container",
        "paused": "cannot start an already running container",
        "stopped": "cannot start a container that has stopped",
    },
    "kill TERM": {"created": "", "running": "", "paused": "", "stopped": "container not running"},
    "kill 0": {"created": "", "running": "", "paused": "", "stopped": "container not running"},
    "kill --all KILL": dict.fromkeys(MAKE, ""),
    "pause": {
        "created": "",
        "running": "",
        "paused": "container not running or created: paused",
        "stopped": "container not running or created: stopped",
    },
    "resume": {
        "created": "container not paused",
        "running": "container not paused",
        "paused": "",
        "stopped": "container not paused",
    },
    "exec": {
        "created": "",
        "running": "",
        "paused": "cannot exec in a paused container (use --ignore-paused to override)",
        "stopped": "cannot exec in a stopped container",
    },
    "delete": {
        "created": "that is not stopped: created; kill it before, or delete it with --force",
        "running": "that is not stopped: running",
        "paused": "that is not stopped: paused",
        "stopped": "",
    },
    "delete --force": dict.fromkeys(MAKE, ""),
    "ps": dict.fromkeys(MAKE, ""),
    "state": dict.fromkeys(MAKE, ""),
}
AFTER = {"start": "running", "pause": "paused", "resume": "running", "kill --all KILL": "stopped"}


def _do(operation: str, container: Container, pyoci: Pyoci) -> Result:
    verb, *words = operation.split()
    options = [word for word in words if word[0] == "-"]
    arguments = [word for word in words if word[0] != "-"]
    if verb in ("create", "run"):
        options += ["--bundle", str(container.bundle.path)]
    if verb == "exec":
        arguments = ["/bin/true"]
    return pyoci(verb, *options, container.id, *arguments, check=False)


@pytest.mark.parametrize("state", MAKE)
@pytest.mark.parametrize("operation", TABLE)
def test_operation(operation: str, state: str, bundle: Bundle, pyoci: Pyoci) -> None:
    container = MAKE[state](pyoci, bundle.shell(LOOP))
    assert container.status == state
    done = _do(operation, container, pyoci)
    refusal = TABLE[operation][state]
    if refusal:
        assert refusal in done.err
        assert done.code == (255 if operation == "exec" else 1)
        assert len(done.err.splitlines()) == 1
        assert container.status == state
    else:
        assert (done.code, done.err) == (0, "")
        if operation.startswith("delete"):
            assert not (pyoci.root / container.id).exists()
        elif operation in AFTER:
            container.wait(AFTER[operation])


@pytest.mark.parametrize("operation", [each for each in TABLE if each not in ("create", "run", "delete --force")])
def test_no_such_container(operation: str, bundle: Bundle, pyoci: Pyoci) -> None:
    container = Container(pyoci, pyoci.new_id(), bundle, Path("/dev/null"))
    done = _do(operation, container, pyoci)
    assert done.code == (255 if operation == "exec" else 1)
    assert "container does not exist" in done.err
    assert not pyoci.root.exists()


def test_delete_by_force_wants_no_container(pyoci: Pyoci) -> None:
    assert str(pyoci("delete", "--force", pyoci.new_id()).err) == ""


@pytest.fixture
def runc(directory: Path) -> Iterator[Pyoci]:
    """The reference, with a state root of its own."""
    executable = shutil.which("runc")
    assert executable, "runc is needed for comparison"
    runtime = Pyoci(directory, executable)
    runtime.root = directory / "runc"
    yield runtime
    left = runtime.close()
    assert not left, left


@pytest.mark.parametrize("state", MAKE)
def test_exit_codes_are_those_of_runc(state: str, bundle: Bundle, pyoci: Pyoci, runc: Pyoci) -> None:
    """But for `delete` of what is created: runtime.md wants it stopped, runc does not."""
    operations = ["start", "kill TERM", "exec", "resume", "pause", "delete", "state"]
    if state in ("created", "running"):
        operations.remove("kill TERM")  # a race with what follows
    bundle.shell(LOOP)
    ours, theirs = (MAKE[state](runtime, bundle) for runtime in (pyoci, runc))
    for operation in operations:
        codes = [_do(operation, container, container.pyoci).code for container in (ours, theirs)]
        assert codes[0] == codes[1], operation


def test_state_has_what_runc_has(bundle: Bundle, pyoci: Pyoci, runc: Pyoci) -> None:
    bundle.config["annotations"] = {"a": "b"}
    ours, theirs = (runtime.create(bundle).state for runtime in (pyoci, runc))
    assert list(ours) == list(theirs)
    for same in ("status", "bundle", "rootfs", "annotations", "owner"):
        assert ours[same] == theirs[same]


def test_list_and_ps(bundle: Bundle, pyoci: Pyoci) -> None:
    first = pyoci.create(bundle.shell(LOOP))
    second = _running(pyoci, bundle)
    ids = sorted([first.id, second.id])
    assert pyoci("list", "-q").out.split() == ids
    listed = json.loads(pyoci("list", "--format", "json").out)
    assert [(each["id"], each["status"], each["owner"]) for each in listed] == [
        (id, {first.id: "created", second.id: "running"}[id], "root") for id in ids
    ]
    table = pyoci("list").out.splitlines()
    assert table[0].split() == ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]
    assert table[1].split()[:4] == [ids[0], str(first.pid), "created", str(bundle.path)]
    assert second.pid in json.loads(pyoci("ps", "--format", "json", second.id).out)
    assert str(second.pid) in pyoci("ps", second.id).out


def test_a_recycled_pid_is_another_process(bundle: Bundle, pyoci: Pyoci) -> None:
    """As if the container's process had ended and its pid belonged to somebody else, here this test."""
    container = _stopped(pyoci, bundle.shell(LOOP))
    file = pyoci.root / container.id / "state.json"
    record = json.loads(file.read_text())
    file.write_text(json.dumps({**record, "pid": os.getpid()}))
    assert container.status == "stopped"
    assert "container not running" in pyoci("kill", container.id, "KILL", check=False).err
    pyoci("kill", "--all", container.id, "KILL")
    assert "stopped" in pyoci("exec", container.id, "true", check=False).err
    container.delete(force=True)
    assert not (pyoci.root / container.id).exists()


@pytest.mark.parametrize("name", ["KILL", "SIGKILL", "sigkill", "9", "kill", "", None])
def test_names_of_kill(name: str | None, bundle: Bundle, pyoci: Pyoci) -> None:
    container = _running(pyoci, bundle.shell("echo ready; sleep 100") if name else bundle.shell(LOOP))
    pyoci("kill", container.id, *([] if name is None else [name]))
    container.wait()


@pytest.mark.parametrize(("name", "number"), [("SIGRTMIN+3", 37), ("RTMAX-1", 63), ("40", 40), ("USR1", 10)])
def test_signals(name: str, number: int, bundle: Bundle, pyoci: Pyoci) -> None:
    container = _running(pyoci, bundle.shell(f"trap 'echo got it' {number}; echo ready; while :; do sleep 0.01; done"))
    pyoci("kill", container.id, name)
    container.expect("got it")


@pytest.mark.parametrize("name", ["SIGNONE", "65", "-1", "RTMIN+31", "1.5", "TERM "])
def test_signals_that_are_none(name: str, bundle: Bundle, pyoci: Pyoci) -> None:
    container = pyoci.create(bundle)
    done = pyoci("kill", "--", container.id, name, check=False)
    assert done.code == 1
    assert "unknown signal" in done.err
    assert container.status == "created"


def test_kill_all_reaches_everybody(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.shell(
        "(trap 'echo child' USR1; echo ready1; while :; do sleep 0.01 || :; done) & "
        "trap 'echo init' USR1; echo ready2; while :; do sleep 0.01 || :; done"
    )
    container = pyoci.run_detached(bundle).expect("ready1").expect("ready2")
    pyoci("kill", container.id, "USR1")
    container.expect("init")
    assert "child\n" not in container.output
    pyoci("kill", "--all", container.id, "USR1")
    container.expect("child")


def test_kill_without_a_pid_namespace_leaves_nobody(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.without_namespace("pid").shell("sleep 100 & echo ready; sleep 100")
    container = _running(pyoci, bundle)
    wait_for(lambda: len(json.loads(pyoci("ps", "-f", "json", container.id).out)) > 1)
    pids = json.loads(pyoci("ps", "-f", "json", container.id).out)
    container.kill()
    wait_for(lambda: not [pid for pid in pids if _alive(pid)])


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_kill_of_a_paused_container(bundle: Bundle, pyoci: Pyoci) -> None:
    container = _paused(pyoci, bundle.shell(LOOP))
    container.kill("TERM")
    assert container.status == "paused"
    container.kill("KILL")
    container.wait()


def test_pause_stops_and_resume_goes_on(bundle: Bundle, pyoci: Pyoci) -> None:
    container = _running(pyoci, bundle.shell("echo ready; while :; do echo x; sleep 0.01; done"))
    pyoci("pause", container.id)
    before = container.output
    time.sleep(0.1)
    assert container.output == before
    pyoci("resume", container.id)
    wait_for(lambda: len(container.output) > len(before))


def test_delete_by_force_while_it_is_created(bundle: Bundle, pyoci: Pyoci) -> None:
    """A createRuntime hook holds up the create, which then fails and leaves nothing."""
    flag = bundle.path / "hook-runs"
    bundle.config["hooks"] = {
        "createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", f"touch {flag}; sleep 2"], "timeout": 10}]
    }
    bundle.save()
    id = pyoci.new_id()
    creating = pyoci.spawn("create", "--bundle", str(bundle.path), id, stderr=-3)
    wait_for(flag.exists)
    container = Container(pyoci, id, bundle, Path("/dev/null"))
    assert container.status == "creating"
    assert "cannot exec in a creating container" in _do("exec", container, pyoci).err
    assert "still being created" in _do("kill TERM", container, pyoci).err
    assert "container with given ID already exists" in _do("create", container, pyoci).err
    container.delete(force=True)
    assert creating.wait(60) == 1
    assert os.listdir(pyoci.root) == []


def test_twelve_creates_of_one_id(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.args("echo", "whole").save()
    id = pyoci.new_id()
    errors = [bundle.path / f"error{i}" for i in range(12)]
    creates = []
    for error in errors:
        with error.open("wb") as file:
            creates.append(pyoci.spawn("create", "--bundle", str(bundle.path), id, stdout=file, stderr=file))
    codes = [create.wait(60) for create in creates]
    assert sorted(codes) == [0] + [1] * 11
    for code, error in zip(codes, errors, strict=True):
        if code:
            assert error.read_text().count("\n") == 1
            assert "container with given ID already exists" in error.read_text()
    winner = Container(pyoci, id, bundle, errors[codes.index(0)])
    assert winner.status == "created"
    winner.start().expect("whole")


def test_an_id_that_is_taken_meanwhile(bundle: Bundle, pyoci: Pyoci, directory: Path) -> None:
    """The later of two creates saw the id free, and then the cgroup of the earlier with a process in it."""
    container = pyoci.create(bundle)
    config, _ = read_config(str(bundle.path))
    request = CreateRequest(root=str(pyoci.root), id=container.id, bundle=str(bundle.path))
    with pytest.raises(StateError, match="container with given ID already exists"):
        _Launch(request, config, Undo(), pytest.fail)
    other = CreateRequest(root=str(directory / "other"), id=container.id, bundle=str(bundle.path))
    with pytest.raises(StateError, match="is not empty"):
        _Launch(other, config, Undo(), pytest.fail)


def test_init_ends_by_signal(bundle: Bundle, pyoci: Pyoci) -> None:
    """A created container whose init is killed from outside has stopped."""
    container = pyoci.create(bundle)
    os.kill(container.pid, signal.SIGKILL)
    container.wait()
    assert "cannot start a container that has stopped" in pyoci("start", container.id, check=False).err
    container.delete()


def test_memory_limit_of_one_mebibyte(bundle: Bundle, pyoci: Pyoci) -> None:
    """What waits for `start` is so small that it fits with what the kernel counts besides."""
    bundle.linux["resources"] = {"memory": {"limit": 1 << 20}}
    container = pyoci.create(bundle.args("/bin/echo", "fits"))
    status = dict(line.split(":", 1) for line in Path(f"/proc/{container.pid}/status").read_text().splitlines())
    assert int(status["VmRSS"].split()[0]) < 300
    container.start().expect("fits")
