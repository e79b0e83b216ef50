"""containerd's shim (io.containerd.runc.v2) drives the runtime, through ctr: what only they have."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from . import cleanup, limits, processes
from .containerd import Containerd
from .engine import EAT_MEMORY, Bind, Options

CAP_SYS_ADMIN = 1 << 21


def test_runtime_named_with_its_options(containerd: Containerd) -> None:
    words = ("--runtime", "io.containerd.runc.v2", "--env", "A=b c", "--cwd", "/tmp")
    assert containerd.sh('echo "$A"; pwd', *words) == "b c\n/tmp"


def test_create_then_start_with_the_runtime_found_as_runc(containerd: Containerd, workdir: Path) -> None:
    processes.write_script(workdir / "script", ["echo ran >/m/out"])
    mount = f"type=bind,src={workdir},dst=/m,options=rbind:rw"
    containerd("containers", "create", "--mount", mount, containerd.image, "c", "/m/script")
    containerd("tasks", "start", *containerd.fifos, "c")
    assert (workdir / "out").read_text() == "ran\n"
    containerd("tasks", "rm", "-f", "c", check=False)
    assert cleanup.state_files(containerd.default_root) == []


def test_exec_is_listed_and_killed_alone(containerd: Containerd) -> None:
    containerd.detached("e")
    containerd("tasks", "exec", *containerd.fifos, "--exec-id", "mine", "-d", "e", "sleep", "1234")
    first = containerd.pid("e")
    assert len(containerd.top("e")) == 2
    containerd("tasks", "kill", "--exec-id", "mine", "-s", "SIGKILL", "e")
    processes.wait_for(lambda: containerd.top("e") == {first})
    assert containerd.tasks()["e"] == (first, "RUNNING")


def test_exec_of_what_is_not_there(containerd: Containerd) -> None:
    containerd.detached("e")
    done = containerd.exec("e", ("no-such-command",), check=False)
    assert done.returncode != 0
    assert "OCI runtime exec failed" in done.stderr
    assert "executable file not found in $PATH" in done.stderr
    assert containerd.status("e") == "running"


def test_kill_all(containerd: Containerd) -> None:
    containerd.detached("k", ("sh", "-c", "sleep 4321 & sleep 4321 & echo ready; wait"))
    processes.wait_for(lambda: containerd.logs("k") == "ready\n")
    pids = containerd.top("k")
    assert len(pids) == 3
    containerd("tasks", "kill", "--all", "-s", "SIGKILL", "k")
    processes.wait_for(lambda: not [pid for pid in pids if Path(f"/proc/{pid}/exe").exists()])


def test_kill_of_a_stopped_one_says_so(containerd: Containerd) -> None:
    containerd.detached("k", ("true",))
    processes.wait_for(lambda: containerd.status("k") == "stopped")
    done = containerd("tasks", "kill", "k", check=False)
    assert done.returncode != 0
    assert "process already finished" in done.stderr


@pytest.mark.usefixtures("memory_limits")
def test_limits_on_the_host(containerd: Containerd) -> None:
    containerd.detached("l", options=Options(memory=64 << 20, cpus=0.5))
    pid = containerd.pid("l")
    assert limits.memory_limit(pid) == 64 << 20
    assert limits.cpu_quota(pid) == 50000


@pytest.mark.usefixtures("memory_limits")
def test_death_for_want_of_memory(containerd: Containerd) -> None:
    events = containerd.directory / "events"

    def follows() -> str:
        containerd("namespaces", "label", containerd.namespace, "an=event")
        return events.read_text()

    with open(events, "w") as out:
        follower = subprocess.Popen(["ctr", "events"], env=containerd.env, stdout=out)
        try:
            processes.wait_for(follows, what="ctr follows events")
            containerd.detached("eats", ("sh", "-c", EAT_MEMORY + "; sleep 1000"), Options(memory=20 << 20))
            containerd.exec("eats", ("touch", "/go"))
            processes.wait_for(lambda: "/tasks/oom" in events.read_text(), what="containerd tells of it")
        finally:
            follower.terminate()
            follower.wait()
    processes.wait_for(lambda: "137" in containerd.logs("eats").splitlines(), what="dd has been killed")


def test_default_seccomp_profile_and_no_new_privileges(containerd: Containerd) -> None:
    status = containerd.proc_status()
    assert (status["Seccomp"], status["NoNewPrivs"]) == ("0", "1")
    assert containerd.proc_status("--seccomp")["Seccomp"] == "2"


def test_privileged(containerd: Containerd) -> None:
    assert int(containerd.proc_status("--privileged")["CapEff"], 16) & CAP_SYS_ADMIN
    assert containerd.sh("mount -t tmpfs none /mnt && echo mounted", "--privileged") == "mounted"


def test_namespaces(containerd: Containerd) -> None:
    host = os.readlink("/proc/self/ns/net")
    assert containerd.sh("readlink /proc/self/ns/net", "--net-host") == host
    assert containerd.sh("readlink /proc/self/ns/net") != host
    containerd.detached("first")
    pid = containerd.pid("first")
    words = [word for kind in ("pid", "ipc", "uts") for word in ("--with-ns", f"{kind}:/proc/{pid}/ns/{kind}")]
    found = containerd.sh("for kind in pid ipc uts; do readlink /proc/self/ns/$kind; done", *words).split()
    assert found == [os.readlink(f"/proc/{pid}/ns/{kind}") for kind in ("pid", "ipc", "uts")]


def test_device(containerd: Containerd) -> None:
    found = containerd.sh("ls -l /dev/fuse; : </dev/fuse && echo opened", "--device", "/dev/fuse")
    assert found.endswith("opened")


def test_a_mount_whose_source_is_not_there(containerd: Containerd) -> None:
    done = containerd.run(("true",), Options(binds=(Bind(Path("/no/such/source")),)), check=False)
    assert done.returncode == 1
    assert "/no/such/source" in done.stderr
    assert "no such file or directory" in done.stderr.lower()
    assert containerd.tasks() == {}
    assert containerd.states() == []
