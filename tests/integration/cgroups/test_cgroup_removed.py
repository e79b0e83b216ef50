"""A cgroup that somebody, as systemd below its slices, removes before the container's first process is in it."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cgroup_support import left_over, v1_only
from containers import CHECKOUT, Bundle, Pyoci, cgroups_of, wait_for

CONNECT = {"x86_64": "42 ", "aarch64": "203 "}[os.uname().machine]  # connect(2)


@pytest.fixture
def busy_console(tmp_path: Path) -> Iterator[socket.socket]:
    """A console socket that has as many connections as it takes: `create` waits there, when its cgroups are made."""
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as first:
        listening.bind(str(tmp_path / "console"))
        listening.listen(0)
        first.connect(listening.getsockname())
        yield listening


@contextlib.contextmanager
def created_without(removed: str, id: str, bundle: Bundle, pyoci: Pyoci, console: socket.socket) -> Iterator[int]:
    """The pid of a container whose cgroups with a file `removed` are removed between their making and its clone. Its
    terminal stays open meanwhile: a created container ends of SIGHUP."""
    bundle.process["terminal"] = True
    bundle.linux["cgroupsPath"] = f"/{id}"
    bundle.args("sleep", "1000").save()
    creating = pyoci.spawn("create", "--bundle", str(bundle.path), "--console-socket", console.getsockname(), id)
    syscall = Path(f"/proc/{creating.pid}/syscall")
    wait_for(lambda: left_over(id) and syscall.read_text().startswith(CONNECT), what="create at the console socket")
    for directory in left_over(id):
        if (directory / removed).exists():
            directory.rmdir()
    console.accept()[0].close()
    master, _ = console.accept()
    with master:
        assert creating.wait(timeout=60) == 0
        yield json.loads(pyoci("state", id).out)["pid"]


@pytest.mark.parametrize("removed", ["cgroup.procs", "pids.max"])
def test_is_made_and_limited_again(removed: str, bundle: Bundle, pyoci: Pyoci, busy_console: socket.socket) -> None:
    id = pyoci.new_id()
    bundle.linux["resources"] = {"pids": {"limit": 17}}
    with created_without(removed, id, bundle, pyoci, busy_console) as pid:
        joined = cgroups_of(pid)
    assert joined["pids" if "pids" in joined else ""] == f"/{id}"
    limits = [directory / "pids.max" for directory in left_over(id) if (directory / "pids.max").exists()]
    assert [limit.read_text() for limit in limits] == ["17\n"]
    pyoci("delete", "--force", id)
    assert not left_over(id)


def test_is_made_again_in_v2(bundle: Bundle, pyoci_v2: Pyoci, busy_console: socket.socket) -> None:
    id = pyoci_v2.new_id()
    with created_without("cgroup.procs", id, bundle, pyoci_v2, busy_console) as pid:
        assert cgroups_of(pid)[""] == f"/{id}"
    pyoci_v2("delete", "--force", id)
    assert not left_over(id)


# The runtime. Just before it calls FUNCTION of MODULE for the first time, the cgroups are removed, and who is in them
# is moved above.
REMOVING = f"""#!{sys.executable}
import glob, os, sys
sys.path.insert(0, "{CHECKOUT}")
from oci_runtime.cli.main import run_and_exit
from MODULE import FUNCTION as call
import MODULE as module

def remove_and_call(*what):
    module.FUNCTION = call
    found = glob.glob("/sys/fs/cgroup/NAME") + glob.glob("/sys/fs/cgroup/HIERARCHY/NAME")
    for directory in set(map(os.path.realpath, found)):  # net_cls is a link to net_cls,net_prio
        with open(directory + "/cgroup.procs") as processes:
            for process in processes:
                with open(directory + "/../cgroup.procs", "w") as above:
                    above.write(process)
        os.rmdir(directory)
    return call(*what)

module.FUNCTION = remove_and_call
run_and_exit()
"""
FREEZER = "oci_runtime.linux.cgroups.v1", "_is_frozen"  # it and what is above it have been looked for
LIMITS = "oci_runtime.linux.cgroups.limits", "run"
BIRTH = "oci_runtime.lifecycle.launch", "spawn_process"  # the `tasks` files are open
EXEC = "oci_runtime.lifecycle.exec", "spawn_process"  # they are here, too


def removing(place: tuple[str, str], path: str, bundle: Bundle, hierarchy: str = "*") -> str:
    script = bundle.path / "removing"
    text = REMOVING.replace("HIERARCHY", hierarchy).replace("NAME", path)
    script.write_text(text.replace("MODULE", place[0]).replace("FUNCTION", place[1]))
    script.chmod(0o755)
    return str(script)


@pytest.mark.parametrize(
    ("place", "joined"), [(LIMITS, False), (BIRTH, False), (BIRTH, True)], ids=["limits", "birth", "birth, joined"]
)
def test_is_made_again_at_the_last_moment(place: tuple[str, str], joined: bool, bundle: Bundle, pyoci: Pyoci) -> None:
    id = pyoci.new_id()
    bundle.linux["cgroupsPath"] = f"/{id}"
    bundle.linux["resources"] = {"pids": {"limit": 17}}
    if joined:
        bundle.linux["namespaces"] = [
            {**namespace, "path": "/proc/self/ns/ipc"} if namespace["type"] == "ipc" else namespace
            for namespace in bundle.linux["namespaces"]
        ]
    pyoci.executable = removing(place, id, bundle)
    container = pyoci.create(bundle.args("sleep", "1000"), id=id)
    inside = cgroups_of(container.pid)
    assert set(inside.values()) == {f"/{id}"}
    limits = [directory / "pids.max" for directory in left_over(id) if (directory / "pids.max").exists()]
    assert [limit.read_text() for limit in limits] == ["17\n"]
    container.delete(force=True)
    assert not left_over(id)


@v1_only
@pytest.mark.parametrize("hierarchy", ["*", "freezer"])
def test_exec_follows_the_container_at_the_last_moment(hierarchy: str, bundle: Bundle, pyoci: Pyoci) -> None:
    """As systemd moves processes, below its slices in v1."""
    id = pyoci.new_id()
    bundle.linux["cgroupsPath"] = f"/{id}/c"
    container = pyoci.run_detached(bundle.args("sleep", "1000"), id=id)
    pyoci.executable = removing(EXEC, f"{id}/c", bundle, hierarchy)
    pid_file = bundle.path / "pid"
    container.exec("sleep", "1000", options=("--detach", "--pid-file", str(pid_file)))
    inside = cgroups_of(int(pid_file.read_text()))
    assert inside["freezer"] == f"/{id}"
    assert inside == cgroups_of(container.pid)
    container.delete(force=True)
    assert not left_over(id)


@v1_only
@pytest.mark.parametrize("path", ["/{}", "/{}/c"], ids=["itself", "what is above it"])
def test_goes_while_create_looks_whether_it_is_frozen(path: str, bundle: Bundle, pyoci: Pyoci) -> None:
    id = pyoci.new_id()
    bundle.linux["cgroupsPath"] = path.format(id)
    Path("/sys/fs/cgroup/freezer", id).mkdir()
    pyoci.executable = removing(FREEZER, id, bundle)
    container = pyoci.create(bundle.args("sleep", "1000"), id=id)
    assert cgroups_of(container.pid)["freezer"] == path.format(id)
    container.delete(force=True)
    assert not left_over(id)
