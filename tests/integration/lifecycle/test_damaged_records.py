"""A state.json that cannot be read: commands say so on one line, and `delete --force` removes the container."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from containers import PATIENCE, Bundle, Pyoci, wait_for

DAMAGES: dict[str, Callable[[str], str]] = {
    "empty": lambda text: "",
    "cut": lambda text: text[: len(text) // 2],
    "brace": lambda text: "{",
    "after-comma": lambda text: '{"version":1,',
    "nul": lambda text: "\0" * len(text),
    "array": lambda text: "[]",
    "types": lambda text: json.dumps({**json.loads(text), "pid": "x"}),
    "version": lambda text: json.dumps({**json.loads(text), "version": 999}),
    "no-version": lambda text: json.dumps({key: value for key, value in json.loads(text).items() if key != "version"}),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("running", [True, False], ids=["running", "created"])
def test_a_container_with_a_damaged_record_is_deleted_by_force(
    bundle: Bundle, pyoci: Pyoci, damage: str, running: bool
) -> None:
    bundle.args("sleep", "100")
    container = pyoci.run_detached(bundle) if running else pyoci.create(bundle)
    pid = container.pid
    path = pyoci.root / container.id / "state.json"
    path.write_text(DAMAGES[damage](path.read_text()))
    for command in (["state"], ["delete"], ["update", "--pids-limit", "5"], ["kill"]):
        done = pyoci(*command, container.id, check=False)
        assert done.code == 1
        assert f"{path} " in done.err
        assert "`pyoci delete --force` removes the container" in done.err
        assert "internal error" not in done.err
        assert done.err.count("\n") == 1
    assert _lives(pid)
    container.delete(force=True)
    wait_for(lambda: not _lives(pid))
    assert not path.parent.exists()


def test_the_cgroup_of_the_caller_is_nobody_elses(bundle: Bundle, pyoci: Pyoci) -> None:
    """A path that has become that of a session's cgroup, or of one above: it would be frozen and killed, with the
    command itself."""
    name = pyoci.new_id()
    bundle.linux["cgroupsPath"] = f"/{name}/box"
    container = pyoci.create(bundle)
    pid = container.pid
    path = pyoci.root / container.id / "state.json"
    record = json.loads(path.read_text())
    cgroups = record["cgroups"]["cgroups"]
    sessions = [Path(mount, name, "session") for _, _, mount, _, _ in cgroups]
    for session, entry in zip(sessions, cgroups, strict=True):
        session.mkdir()
        for setting in ("cpuset.cpus", "cpuset.mems"):
            if (session / setting).exists() and "cgroup.controllers" not in os.listdir(session):
                (session / setting).write_text((session.parent / setting).read_text())
        entry[3] = f"{name}/session"
    path.write_text(json.dumps({**record, "version": 999}))
    enter = "".join(f"echo 0 > {session}/cgroup.procs; " for session in sessions)
    command = [
        "sh",
        "-c",
        f'{enter} "$@"; echo "ended with $?"',
        "sh",
        *pyoci.command("delete", "--force", container.id),
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    finally:
        for session in sessions:
            if (session / "freezer.state").exists():
                (session / "freezer.state").write_text("THAWED")
        wait_for(lambda: not any((session / "cgroup.procs").read_text() for session in sessions))
        for session in sessions:
            session.rmdir()
            session.parent.rmdir()  # the container's is gone
    assert done.stdout == "ended with 0\n"
    assert "this command itself is in it" in done.stderr
    assert not path.parent.exists()
    wait_for(lambda: not _lives(pid))


def _lives(pid: int) -> bool:
    """A zombie, whose command line is empty, does not, however long its parent takes."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() != b""
    except OSError:
        return False
