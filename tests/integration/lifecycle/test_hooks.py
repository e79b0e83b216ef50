"""Hooks: when, where, with what on their standard input, and what happens when they fail (config.md, POSIX-platform
Hooks; runtime.md, Lifecycle)."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from containers import Bundle, Pyoci, Result, wait_for

from oci_runtime.errors import PyociError
from oci_runtime.linux.hooks import Surroundings, run_hook

KINDS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
_OF_LIBC = 1 << 31 | 1 << 32  # signals 32 and 33, which posix_spawn(3) lets nobody touch
IN_RUNTIME = ("prestart", "createRuntime", "poststart", "poststop")
STATUS = {
    "prestart": "created",
    "createRuntime": "created",
    "createContainer": "created",
    "startContainer": "created",
    "poststart": "running",
    "poststop": "stopped",
}


def hook(script: str, **more: Any) -> dict[str, Any]:
    """A hook of a shell script; the path is the same on the host and in the container."""
    return {"path": "/bin/sh", "args": ["sh", "-c", script], **more}


@pytest.fixture
def with_all(bundle: Bundle, notes: Path) -> Bundle:
    """Each kind has two hooks that write their names to a list, their state and their namespaces."""
    hooks: dict[str, list[dict[str, Any]]] = {}
    for kind in KINDS:
        script = (
            f"echo {kind}-$0 >> {notes}/order; cat > {notes}/{kind}-$0.state;"
            f"for n in mnt pid uts; do readlink /proc/self/ns/$n; done > {notes}/{kind}-$0.namespaces"
        )
        hooks[kind] = [{"path": "/bin/sh", "args": ["sh", "-c", script, str(i)]} for i in range(2)]
    bundle.config["hooks"] = hooks
    return bundle.args("sleep", "100")


def test_order_state_and_namespaces(with_all: Bundle, notes: Path, pyoci: Pyoci) -> None:
    with_all.config["annotations"] = {"org.example.key": "välue"}
    container = pyoci.create(with_all)
    pid = container.pid
    order = notes / "order"
    assert order.read_text().split() == [f"{kind}-{i}" for kind in KINDS[:3] for i in range(2)]
    container.start()
    assert order.read_text().split() == [f"{kind}-{i}" for kind in KINDS[:5] for i in range(2)]
    namespaces = [os.readlink(f"/proc/{pid}/ns/{kind}") for kind in ("mnt", "pid", "uts")]
    host = [os.readlink(f"/proc/self/ns/{kind}") for kind in ("mnt", "pid", "uts")]
    container.kill()
    container.wait().delete()
    assert order.read_text().split() == [f"{kind}-{i}" for kind in KINDS for i in range(2)]
    for kind in KINDS:
        state = json.loads((notes / f"{kind}-1.state").read_text())
        assert state["ociVersion"] == "1.3.0"
        assert state["id"] == container.id
        assert state["status"] == STATUS[kind]
        assert state["bundle"] == str(with_all.path)
        assert state["annotations"] == {"org.example.key": "välue"}
        assert state.get("pid") == (None if kind == "poststop" else pid if kind in IN_RUNTIME else 1)
        where = (notes / f"{kind}-1.namespaces").read_text().split()
        assert where == (host if kind in IN_RUNTIME else namespaces), kind


def test_create_container_hook_is_found_on_the_host(bundle: Bundle, notes: Path, pyoci: Pyoci) -> None:
    """Its path is one of the runtime's namespace, though it runs in the container's, with the host's root still."""
    program = bundle.path / "only-on-the-host"
    program.write_text(f"#!/bin/sh\nhostname > {notes}/hostname\n")
    program.chmod(0o755)
    bundle.config["hooks"] = {"createContainer": [{"path": str(program)}]}
    pyoci.run(bundle)
    assert (notes / "hostname").read_text() == "minimal\n"


def test_create_container_hook_sees_the_mounts(bundle: Bundle, notes: Path, pyoci: Pyoci) -> None:
    """As the hooks of GPU vendors want it: at root.path is what will be the root."""
    bundle.config["hooks"] = {"createContainer": [hook(f"ls {bundle.rootfs}/proc/1 > {notes}/proc")]}
    pyoci.run(bundle)
    assert "status" in (notes / "proc").read_text()


def test_start_container_hook_is_found_in_the_container(bundle: Bundle, pyoci: Pyoci) -> None:
    (bundle.rootfs / "bin/inside").write_text("#!/bin/sh\npwd > /tmp/pwd; cat > /tmp/state\n")
    (bundle.rootfs / "bin/inside").chmod(0o755)
    bundle.config["hooks"] = {"startContainer": [{"path": "/bin/inside"}]}
    container = pyoci.create(bundle)
    assert not (bundle.rootfs / "tmp/state").exists()
    container.start()
    assert json.loads((bundle.rootfs / "tmp/state").read_text())["id"] == container.id


@pytest.mark.parametrize("kind", KINDS)
def test_arguments_and_environment(kind: str, bundle: Bundle, notes: Path, pyoci: Pyoci) -> None:
    script = f'echo "$0 $# $1 $A" > {notes}/args; env > {notes}/env'
    bundle.config["hooks"] = {
        kind: [{"path": "/bin/sh", "args": ["sh", "-c", script, "zero", "o n e"], "env": ["A=b c", "PATH=/bin"]}]
    }
    pyoci.run(bundle, env={"SECRET": "of the runtime"})
    assert (notes / "args").read_text() == "zero 1 o n e b c\n"
    assert "SECRET" not in (notes / "env").read_text()


@pytest.mark.parametrize("kind", KINDS)
def test_state_of_any_size(kind: str, bundle: Bundle, notes: Path, pyoci: Pyoci) -> None:
    bundle.config["annotations"] = {f"key{i}": "x" * 1000 for i in range(200)}
    bundle.config["hooks"] = {kind: [hook(f"cat > {notes}/state")]}
    pyoci.run(bundle)
    assert json.loads((notes / "state").read_text())["annotations"] == bundle.config["annotations"]


@pytest.mark.parametrize("namespace", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_hook_that_reads_nothing(kind: str, namespace: bool, bundle: Bundle, notes: Path, pyoci: Pyoci) -> None:
    if not namespace:
        bundle.without_namespace("pid")
    bundle.config["annotations"] = {f"key{i}": "x" * 1000 for i in range(200)}
    bundle.config["hooks"] = {kind: [hook(f"exec 0<&-; echo x >> {notes}/ran"), hook(f"echo x >> {notes}/ran")]}
    bundle.args("echo", "lives")
    assert pyoci.run(bundle).out == "lives\n"
    assert (notes / "ran").read_text() == "x\nx\n"


def test_hooks_have_their_signals_at_default(bundle: Bundle, notes: Path, pyoci: Pyoci) -> None:
    bundle.config["hooks"] = {
        kind: [{"path": "/bin/cp", "args": ["cp", "/proc/self/status", f"{notes}/{kind}"]}] for kind in KINDS
    }
    pyoci.run(bundle)
    for kind in KINDS:
        masks = dict(line.split(":\t", 1) for line in (notes / kind).read_text().splitlines())
        assert int(masks["SigIgn"], 16) & ~_OF_LIBC == 0, kind
        assert int(masks["SigBlk"], 16) == 0, kind


def test_hooks_do_not_inherit_what_the_engine_left_open(
    bundle: Bundle, notes: Path, pyoci: Pyoci, tmp_path: Path
) -> None:
    """For those in the container it is CVE-2024-21626."""
    bundle.config["hooks"] = {
        kind: [hook(f"for each in /proc/$$/fd/*; do readlink $each; done > {notes}/{kind}; :")] for kind in KINDS
    }
    bundle.args("sleep", "100")
    with (tmp_path / "forgotten").open("w") as leaked:
        container = pyoci.create(bundle, pass_fds=[leaked.fileno()])
        pyoci("start", container.id, pass_fds=[leaked.fileno()])
        pyoci("delete", "--force", container.id, pass_fds=[leaked.fileno()])
    for kind in KINDS:
        assert "forgotten" not in (notes / kind).read_text(), kind


@pytest.mark.parametrize("kind", KINDS[:5])
@pytest.mark.parametrize("verb", ["create and start", "run", "run --detach"])
def test_failing_hook(kind: str, verb: str, bundle: Bundle, notes: Path, pyoci: Pyoci) -> None:
    """The container is destroyed, and the poststop hooks run (runtime.md, Lifecycle, steps 3 to 9, 12 and 13)."""
    bundle.args("sleep", "100")
    bundle.config["hooks"] = {
        kind: [hook("exit 0"), hook("echo out of luck >&2; exit 3"), hook(f"touch {notes}/never")],
        "poststop": [hook(f"cat > {notes}/poststop")],
    }
    id = pyoci.new_id()
    failed = _fail(verb, kind, id, bundle, pyoci)
    assert failed.code == 1
    for part in (f"{kind} hook /bin/sh failed", "exit status 3", "out of luck", f"(/hooks/{kind}/1)"):
        assert part in failed.err
    assert len(failed.err.splitlines()) == 1
    assert pyoci("state", id, check=False).err.rstrip().endswith('container does not exist"')
    assert os.listdir(pyoci.root) == []
    assert not (notes / "never").exists()
    assert json.loads((notes / "poststop").read_text())["status"] == "stopped"


def _fail(verb: str, kind: str, id: str, bundle: Bundle, pyoci: Pyoci) -> Result:
    bundle.save()
    path = str(bundle.path)
    if verb != "create and start":
        return pyoci(*verb.split(), "--bundle", path, id, check=False)
    if kind in ("startContainer", "poststart"):
        pyoci.create(bundle, id=id)
        return pyoci("start", id, check=False)
    return pyoci("create", "--bundle", path, id, check=False)


def test_failing_poststop_hook_is_a_warning(bundle: Bundle, notes: Path, pyoci: Pyoci) -> None:
    bundle.config["hooks"] = {"poststop": [hook("echo sorry; exit 1"), hook(f"touch {notes}/ran")]}
    done = pyoci.run(bundle)
    assert "level=warning" in done.err
    assert "sorry" in done.err
    assert "(/hooks/poststop/0)" in done.err
    assert (notes / "ran").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_timeout(kind: str, bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.config["hooks"] = {kind: [hook("exec sleep 100", timeout=1)]}
    began = time.monotonic()
    done = pyoci.run(bundle, check=False)
    assert 1 <= time.monotonic() - began < 60
    assert f"{kind} hook /bin/sh: still running after its timeout of 1 s (/hooks/{kind}/0)" in done.err
    assert done.code == (0 if kind == "poststop" else 1)


@pytest.mark.parametrize("kind", KINDS)
def test_hook_that_is_not_there(kind: str, bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.config["hooks"] = {kind: [{"path": "/no/such/hook"}]}
    done = pyoci.run(bundle, check=False)
    assert f"{kind} hook /no/such/hook" in done.err
    assert f"(/hooks/{kind}/0)" in done.err
    assert "No such file or directory" in done.err or "errno 2" in done.err
    assert done.code == (0 if kind == "poststop" else 1)


@pytest.mark.parametrize("kind", KINDS[:5])
def test_hook_that_is_killed(kind: str, bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.config["hooks"] = {kind: [hook("kill -9 $$")]}
    assert "killed by signal 9" in pyoci.run(bundle, check=False).err


def test_poststop_after_a_create_that_fails_later(bundle: Bundle, notes: Path, pyoci: Pyoci) -> None:
    """What the first hooks made is cleaned up as by runc."""
    bundle.args("/no/such/program")
    bundle.config["hooks"] = {
        "createRuntime": [hook(f"echo made >> {notes}/log")],
        "poststop": [hook(f"echo cleaned >> {notes}/log")],
    }
    assert pyoci.run(bundle, check=False).code == 1
    assert (notes / "log").read_text() == "made\ncleaned\n"


def test_background_process_of_a_hook_holds_up_nothing(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.config["hooks"] = {kind: [hook("sleep 20 & echo $!")] for kind in KINDS}
    began = time.monotonic()
    pyoci.run(bundle)
    assert time.monotonic() - began < 15


def test_umask_of_the_hooks_in_the_container(bundle: Bundle, notes: Path, pyoci: Pyoci) -> None:
    """The caller's for createContainer; the process's for startContainer, which comes just before it."""
    (bundle.rootfs / "bin/inside").write_text("#!/bin/sh\numask > /umask\n")
    (bundle.rootfs / "bin/inside").chmod(0o755)
    bundle.process["user"]["umask"] = 0o27
    bundle.config["hooks"] = {
        "createContainer": [hook(f"umask > {notes}/umask")],
        "startContainer": [{"path": "/bin/inside"}],
    }
    before = os.umask(0o24)
    try:
        pyoci.run(bundle.args("true"))
    finally:
        os.umask(before)
    assert (notes / "umask").read_text() == "0024\n"
    assert (bundle.rootfs / "umask").read_text() == "0027\n"


def test_a_poststart_hook_may_change_its_container(bundle: Bundle, pyoci: Pyoci) -> None:
    command = " ".join(pyoci.command("pause", "box"))
    bundle.config["hooks"] = {"poststart": [hook(f"timeout 60 {command}")]}
    container = pyoci.create(bundle.args("sleep", "100"), id="box")
    pyoci("start", "box")
    assert container.status == "paused"


@pytest.mark.parametrize("kind", ["prestart", "createRuntime"])
def test_deleted_while_a_hook_runs(kind: str, bundle: Bundle, notes: Path, pyoci: Pyoci) -> None:
    """delete --force kills init; create sees it, ends the hook, and undoes the rest."""
    bundle.config["hooks"] = {kind: [hook(f"echo > {notes}/runs; exec sleep 100")]}
    bundle.save()
    create = pyoci.spawn("create", "--bundle", str(bundle.path), "box")
    wait_for((notes / "runs").exists)
    started = time.monotonic()
    pyoci("delete", "--force", "box")
    assert create.wait(120) == 1
    assert time.monotonic() - started < 60


def test_a_poststart_hook_of_run_may_delete_its_container(bundle: Bundle, notes: Path, pyoci: Pyoci) -> None:
    command = " ".join(pyoci.command("delete", "--force", "box"))
    bundle.config["hooks"] = {"poststart": [hook(f"timeout 60 {command} && echo > {notes}/deleted")]}
    done = pyoci.run(bundle.args("sleep", "100"), id="box", check=False)
    assert (notes / "deleted").exists(), done
    assert done.code == 128 + 9
    assert "does not exist" in pyoci("state", "box", check=False).err


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seconds", [2**31 // 1000 + 1, 10**400], ids=["more-than-an-int", "absurd"])
def test_long_timeout(seconds: int, kind: str, bundle: Bundle, notes: Path, pyoci: Pyoci) -> None:
    """More than poll(2) takes at a time."""
    bundle.config["hooks"] = {kind: [hook(f"echo > {notes}/ran", timeout=seconds)]}
    assert pyoci.run(bundle.args("true")).err == ""
    assert (notes / "ran").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_variable_without_a_name(kind: str, bundle: Bundle, notes: Path, pyoci: Pyoci) -> None:
    bundle.config["hooks"] = {kind: [hook(f"echo > {notes}/ran", env=["A=1", "=x"])]}
    done = pyoci.run(bundle.args("true"), check=False)
    assert done.code == 1
    assert f"/hooks/{kind}/0/env/1" in done.err
    assert "must be NAME=VALUE" in done.err
    assert "internal error" not in done.err
    assert not (notes / "ran").exists()


def test_a_hook_that_cannot_be_started_leaves_no_descriptor_open() -> None:
    """Not even one that validation did not let pass, which a record of an older version may have."""
    before = os.listdir("/proc/self/fd")
    with pytest.raises(ValueError, match="illegal environment"):
        run_hook({"path": "/bin/true", "env": ["=x"]}, "poststop", "/hooks/poststop/0", b"{}", Surroundings("/"))
    with pytest.raises(PyociError, match="No such file"):
        run_hook({"path": "/no/such/hook"}, "poststop", "/hooks/poststop/0", b"{}", Surroundings("/"))
    assert os.listdir("/proc/self/fd") == before
