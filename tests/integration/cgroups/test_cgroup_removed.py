"""A cgroup that somebody, as systemd below its slices, removes before the container's first process is in it."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
from cgroup_support import left_over
from containers import Bundle, Pyoci, cgroups_of, wait_for


@pytest.fixture
def busy_console(tmp_path: Path) -> socket.socket:
    """A console socket that has as many connections as it takes: `create` waits there, when its cgroups are made."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(tmp_path / "console"))
    listening.listen(0)
    return listening


def limited_to(pids: int, bundle: Bundle, id: str) -> Bundle:
    bundle.process["terminal"] = True
    bundle.linux["cgroupsPath"] = f"/{id}"
    bundle.linux["resources"] = {"pids": {"limit": pids}}
    bundle.args("sleep", "1000").save()
    return bundle


def are_limited(directories: list[Path], pids: int) -> bool:
    files = [directory / "pids.max" for directory in directories if (directory / "pids.max").exists()]
    return bool(files) and all(file.read_text() == f"{pids}\n" for file in files)


@pytest.mark.parametrize("which", ["all", "pids"])
def test_is_made_and_limited_again(which: str, bundle: Bundle, pyoci: Pyoci, busy_console: socket.socket) -> None:
    id = pyoci.new_id()
    limited_to(17, bundle, id)
    path = busy_console.getsockname()
    with busy_console, socket.socket(socket.AF_UNIX) as first:
        first.connect(path)
        creating = pyoci.spawn("create", "--bundle", str(bundle.path), "--console-socket", path, id)
        wait_for(lambda: are_limited(left_over(id), 17), what="limited cgroups")
        for directory in left_over(id):
            if which == "all" or (directory / "pids.max").exists():
                directory.rmdir()
        busy_console.accept()[0].close()
        master, _ = busy_console.accept()
        with master:
            assert creating.wait(timeout=60) == 0
    pid = json.loads(pyoci("state", id).out)["pid"]
    assert are_limited(left_over(id), 17)
    joined = cgroups_of(pid)
    assert joined["pids" if "pids" in joined else ""] == f"/{id}"
    pyoci("delete", "--force", id)
    assert not left_over(id)
