"""A create that runs out of descriptors, at any point, takes back what it has made, or keeps the record that leads to
it: `delete --force` finds everything."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest
from containers import Bundle, Pyoci

from oci_runtime.errors import PyociError
from oci_runtime.lifecycle.undo import Undo


def cgroups(id: str) -> list[str]:
    return [f"{base}/{id}" for base, names, _ in os.walk("/sys/fs/cgroup") if id in names]


@pytest.mark.parametrize("hooks", [False, True])
def test_each_number_of_descriptors(bundle: Bundle, pyoci: Pyoci, hooks: bool) -> None:
    bundle.args("true").linux["resources"] = {"pids": {"limit": 10}}
    count = bundle.path / "poststop"
    if hooks:
        script = {"path": "/bin/sh", "args": ["sh", "-c", f"echo >> {count}"]}
        bundle.config["hooks"] = {"poststop": [script]}
    bundle.save()
    created = 0
    for number in (*range(10, 60, 2 if hooks else 1), 200):
        id = pyoci.new_id()
        argv = pyoci.command("create", "--bundle", str(bundle.path), id)
        limited = ["sh", "-c", f'ulimit -n {number}; exec "$0" "$@"', *argv]
        with (bundle.path / "error").open("w+") as file:
            quiet = subprocess.DEVNULL
            code = subprocess.run(limited, stdin=quiet, stdout=quiet, stderr=file, timeout=120).returncode
            file.seek(0)
            error = file.read()
        assert "internal error" not in error
        assert "Errno" not in error
        kept = (pyoci.root / id / "state.json").exists()
        assert kept or not cgroups(id), (number, error)
        assert (code == 0) <= kept
        if code:
            assert "Too many open files" in error, (number, error)
            assert kept == (f"`pyoci delete --force {id}` removes it" in error), (number, error)
        created += code == 0
        pyoci("delete", "--force", id)
        assert not cgroups(id), number
    assert created
    assert not list(pyoci.root.iterdir())


def test_what_cannot_be_undone_keeps_the_record(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps that leave nothing that a record would lead to do not."""
    monkeypatch.setattr("oci_runtime.lifecycle.undo.hold", lambda: None)  # this process gets signals afterwards

    def fail() -> None:
        raise PyociError("no")

    for on_record in (False, True):
        undo, told, seen = Undo(), list[str](), list[bool]()
        undo.add(lambda undo=undo, seen=seen: seen.append(undo.incomplete))  # type: ignore[misc]
        undo.add(fail, on_record=on_record)
        undo.run(told.append)
        assert seen == [on_record]
        assert told == ["while undoing a failed operation: no"]


def test_a_cgroup_that_stays_keeps_the_record(bundle: Bundle, pyoci: Pyoci) -> None:
    """A hook has put a process of its own into one of them, which nobody knows but its cgroup."""
    freezer = Path("/sys/fs/cgroup/freezer")
    if not freezer.is_mount():
        pytest.skip("needs the freezer of cgroup v1")
    id = pyoci.new_id()
    inner = f"{freezer}/{id}/inner"
    pid = bundle.path / "pid"
    script = f"mkdir {inner}; sleep 1000 > /dev/null 2>&1 & echo $! > {inner}/cgroup.procs; echo $! > {pid}; exit 3"
    bundle.config["hooks"] = {"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", script]}]}
    bundle.save()
    done = pyoci("create", "--bundle", str(bundle.path), id, check=False)
    assert done.code == 1
    try:
        assert f"cannot remove the cgroup {freezer}/{id}" in done.err
        assert f"`pyoci delete --force {id}` removes it" in done.err
        assert cgroups(id) == [f"{freezer}/{id}"]
        assert pyoci("list", "--quiet").out.split() == [id]
    finally:
        os.kill(int(pid.read_text()), signal.SIGKILL)
    pyoci("delete", "--force", id)
    assert not cgroups(id)
    assert not (pyoci.root / id).exists()
