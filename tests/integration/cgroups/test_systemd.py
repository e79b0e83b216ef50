"""--systemd-cgroup: units as systemd shows them, cgroups as the kernel does, and both from inside the container."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from containers import CGROUP_ROOT, CHECKOUT, Bundle, Container, Pyoci, cgroups_of, wait_for
from systemd_support import BOOTED, IS_V2, show, systemctl, units

pytestmark = pytest.mark.skipif(not BOOTED.is_dir(), reason="systemd is not pid 1 here; `make vm-test` has it")

v2_only = pytest.mark.skipif(not IS_V2, reason="this machine was booted with cgroup v1")
v1_only = pytest.mark.skipif(IS_V2, reason="this machine was booted with cgroup v2")
MIB = 1 << 20


@pytest.fixture
def systemd(directory: Path, pyoci: Pyoci) -> Iterator[Pyoci]:
    """The runtime with --systemd-cgroup. It is an error if a unit is left."""
    script = directory / "pyoci-systemd"
    script.write_text(f'#!/bin/sh\nexec {pyoci.executable} --systemd-cgroup "$@"\n')
    script.chmod(0o755)
    pyoci.executable = str(script)
    prefix = pyoci.new_id().partition("-")[0]
    yield pyoci
    left = pyoci.close()
    found = units(prefix)
    for unit in found:
        systemctl("stop", "--", unit, check=False)
        systemctl("reset-failed", "--", unit, check=False)
    assert not found, f"units that are left: {found}"
    assert not left


@pytest.fixture
def name(systemd: Pyoci) -> str:
    """A name for units."""
    return systemd.new_id().replace("-", "")


@pytest.fixture
def running(systemd: Pyoci, bundle: Bundle) -> Callable[..., Container]:
    """Runs a container that sleeps, at a cgroupsPath."""

    def run(path: str = "", **resources: Any) -> Container:
        if path:
            bundle.linux["cgroupsPath"] = path
        if resources:
            bundle.linux["resources"] = resources
        return systemd.run_detached(bundle.args("/bin/sleep", "1000"))

    return run


def is_gone(unit: str) -> bool:
    return show(unit, "LoadState", "ActiveState") == {"LoadState": "not-found", "ActiveState": "inactive"}


def cgroup_of(container: Container, controller: str = "") -> Path:
    """The directory of the container's cgroup, of a v1 controller or of v2."""
    found = cgroups_of(container.pid)
    if IS_V2:
        return CGROUP_ROOT / found[""].lstrip("/")
    names = next(names for names in found if controller in names.split(","))
    return CGROUP_ROOT / names.removeprefix("name=") / found[names].lstrip("/")


def v1_files(container: Container, *files: tuple[str, str]) -> list[str]:
    """What control files say, but for controllers that the kernel has no v1 of: memory and cpuset can be left out."""
    found = cgroups_of(container.pid)
    have = {name for names in found for name in names.split(",")}
    return [(cgroup_of(container, each) / file).read_text().strip() if each in have else "" for each, file in files]


# --- names


def test_the_default_is_a_scope_in_the_system_slice(running: Callable[..., Container]) -> None:
    container = running()
    unit = f"pyoci-{container.id}.scope"
    accounting = "IOAccounting" if IS_V2 else "BlockIOAccounting"
    names = ("Slice", "Delegate", "DefaultDependencies", "ActiveState", "SubState", "Transient", "Description")
    assert show(unit, *names, "MemoryAccounting", "CPUAccounting", "TasksAccounting", accounting) == {
        "Slice": "system.slice",
        "Delegate": "yes",
        "DefaultDependencies": "no",
        "ActiveState": "active",
        "SubState": "running",
        "Transient": "yes",
        "Description": f"pyoci container {container.id}",
        "MemoryAccounting": "yes",
        "CPUAccounting": "yes",
        "TasksAccounting": "yes",
        accounting: "yes",
    }
    found = cgroups_of(container.pid)
    assert set(found.values()) == {f"/system.slice/{unit}"}, found
    container.delete(force=True)
    assert is_gone(unit)


def test_the_process_sees_its_scope(systemd: Pyoci, bundle: Bundle, name: str) -> None:
    bundle.linux["cgroupsPath"] = f"machine.slice:test:{name}"
    done = systemd.run(bundle.shell("cat /proc/self/cgroup"))
    places = {line.split(":", 2)[2] for line in done.out.splitlines()}
    assert places == {f"/machine.slice/test-{name}.scope"}
    bundle.namespace("cgroup")
    done = systemd.run(bundle)
    assert {line.split(":", 2)[2] for line in done.out.splitlines()} == {"/"}
    assert is_gone(f"test-{name}.scope")


def test_nested_slices_come_and_go(running: Callable[..., Container], name: str) -> None:
    container = running(f"{name}-a-b.slice:p:x{name}")
    expected = f"/{name}.slice/{name}-a.slice/{name}-a-b.slice/p-x{name}.scope"
    assert set(cgroups_of(container.pid).values()) == {expected}
    assert set(units(name)) == {f"p-x{name}.scope", f"{name}.slice", f"{name}-a.slice", f"{name}-a-b.slice"}
    container.delete(force=True)
    assert units(name) == []
    assert not list(CGROUP_ROOT.rglob(f"{name}*"))


def test_a_slice_that_others_use_stays(running: Callable[..., Container], systemd: Pyoci, name: str) -> None:
    first = running(f"{name}-s.slice:p:{name}1")
    second = running(f"{name}-s.slice:p:{name}2")
    first.delete(force=True)
    assert second.status == "running"
    assert set(units(name)) == {f"{name}.slice", f"{name}-s.slice", f"p-{name}2.scope"}
    second.delete(force=True)
    for unit in (f"{name}-s.slice", f"{name}.slice"):  # it was there before the second container
        systemctl("stop", unit)
        for directory in CGROUP_ROOT.rglob(unit):  # in the hierarchies of v1 that systemd does not know
            directory.rmdir()


def test_the_root_slice(running: Callable[..., Container], name: str) -> None:
    container = running(f"-.slice:p:{name}")
    assert set(cgroups_of(container.pid).values()) == {f"/p-{name}.scope"}
    assert show(f"p-{name}.scope", "Slice") == {"Slice": "-.slice"}


def test_an_empty_slice_is_the_default_one(running: Callable[..., Container], name: str) -> None:
    container = running(f":p:{name}")
    assert set(cgroups_of(container.pid).values()) == {f"/system.slice/p-{name}.scope"}


def test_a_cgroup_that_is_a_slice(running: Callable[..., Container], name: str) -> None:
    container = running(f"system.slice:ignored:{name}-x.slice", pids={"limit": 50})
    assert set(cgroups_of(container.pid).values()) == {f"/{name}.slice/{name}-x.slice"}
    found = show(f"{name}-x.slice", "ActiveState", "Wants", "TasksMax", "Transient")
    assert found == {"ActiveState": "active", "Wants": "system.slice", "TasksMax": "50", "Transient": "yes"}
    assert container.exec("/bin/cat", "/proc/self/cgroup").out.count(f"{name}-x.slice") >= 1
    container.delete(force=True)
    assert units(name) == []


# The runtime. Until the process is in systemd's own trees it is one of the caller's to systemd, which moves these in a
# hierarchy whenever the units of that session come to be limited there.
MOVED_WITH_THE_CALLER = f"""#!{sys.executable}
import sys
sys.path.insert(0, "{CHECKOUT}")
from oci_runtime.cli.main import run_and_exit
from oci_runtime.linux.cgroups import systemd

def move(self, cgroup, directory, pid, move=systemd.SystemdV1._move):
    if cgroup.version == 2 or "name=systemd" in cgroup.controllers:
        with open("/sys/fs/cgroup/pids/cgroup.procs", "w") as elsewhere:
            elsewhere.write(str(pid))
    move(self, cgroup, directory, pid)

systemd.SystemdV1._move = move
sys.argv.insert(1, "--systemd-cgroup")
run_and_exit()
"""


@v1_only
def test_systemd_moves_the_callers_processes_meanwhile(
    running: Callable[..., Container], systemd: Pyoci, bundle: Bundle, name: str
) -> None:
    script = bundle.path / "moving"
    script.write_text(MOVED_WITH_THE_CALLER)
    script.chmod(0o755)
    systemd.executable = str(script)
    container = running(f"::{name}.slice", pids={"limit": 50})
    assert set(cgroups_of(container.pid).values()) == {f"/{name}.slice"}


def test_a_unit_that_is_there_is_refused_and_left_alone(
    running: Callable[..., Container], systemd: Pyoci, bundle: Bundle, name: str
) -> None:
    container = running(f":p:{name}")
    done = systemd.run(bundle, check=False)
    assert done.code != 0
    assert "/linux/cgroupsPath" in done.err
    assert "is not empty" in done.err
    assert container.status == "running"
    assert show(f"p-{name}.scope", "ActiveState") == {"ActiveState": "active"}


def test_an_unused_unit_that_is_there_is_refused_and_left_alone(systemd: Pyoci, bundle: Bundle, name: str) -> None:
    """A slice without processes: the cgroup is free, but the unit is somebody's."""
    systemctl("start", f"{name}.slice")
    bundle.linux["cgroupsPath"] = f"::{name}.slice"
    done = systemd.run(bundle, check=False)
    assert done.code != 0
    assert f"/linux/cgroupsPath: the slice {name}.slice is there already" in done.err
    assert show(f"{name}.slice", "ActiveState") == {"ActiveState": "active"}
    systemctl("stop", f"{name}.slice")


@pytest.mark.parametrize("path", ["/system.slice/x", "a:b:c", "a.slice/b.slice:p:n", "a.slice:b:", "a.slice:b:c d"])
def test_what_is_no_path_for_systemd(systemd: Pyoci, bundle: Bundle, path: str) -> None:
    bundle.linux["cgroupsPath"] = path
    done = systemd.run(bundle, check=False)
    assert done.code == 1
    assert "/linux/cgroupsPath" in done.err
    assert "Traceback" not in done.err


# --- resources


@v2_only
def test_resources_are_properties_and_files(running: Callable[..., Container]) -> None:
    container = running(
        memory={"limit": 64 * MIB, "reservation": 32 * MIB, "swap": 96 * MIB},
        cpu={"shares": 512, "quota": 64321, "period": 100000, "cpus": "0", "mems": "0"},
        pids={"limit": 77},
        blockIO={"weight": 500},
        unified={"memory.high": str(60 * MIB), "hugetlb.2MB.max": str(4 * MIB), "memory.oom.group": "1"},
    )
    names = ("MemoryMax", "MemoryLow", "MemorySwapMax", "MemoryHigh", "CPUWeight", "CPUQuotaPerSecUSec")
    found = show(f"pyoci-{container.id}.scope", *names, "CPUQuotaPeriodUSec", "AllowedCPUs", "TasksMax", "OOMPolicy")
    assert found == {
        "MemoryMax": str(64 * MIB),
        "MemoryLow": str(32 * MIB),
        "MemorySwapMax": str(32 * MIB),
        "MemoryHigh": str(60 * MIB),
        "CPUWeight": "59",
        "CPUQuotaPerSecUSec": "650ms",
        "CPUQuotaPeriodUSec": "100ms",
        "AllowedCPUs": "0",
        "TasksMax": "77",
        "OOMPolicy": "kill",
    }
    files = {
        "memory.max": str(64 * MIB),
        "memory.low": str(32 * MIB),
        "memory.high": str(60 * MIB),
        "cpu.weight": "59",
        "cpu.max": "65000 100000",
        "cpuset.cpus": "0",
        "pids.max": "77",
        "memory.oom.group": "1",
    }
    directory = cgroup_of(container)
    assert {name: (directory / name).read_text().strip() for name in files} == files
    # nor does a reload change any of it
    systemctl("daemon-reload")
    assert {name: (directory / name).read_text().strip() for name in files} == files


@v1_only
def test_resources_are_properties_and_files_of_v1(running: Callable[..., Container]) -> None:
    container = running(
        memory={"limit": 64 * MIB},
        cpu={"shares": 512, "quota": 64321, "period": 100000, "cpus": "0"},
        pids={"limit": 77},
    )
    names = ("MemoryLimit", "CPUShares", "CPUQuotaPerSecUSec", "TasksMax", "DevicePolicy")
    assert show(f"pyoci-{container.id}.scope", *names) == {
        "MemoryLimit": str(64 * MIB),
        "CPUShares": "512",
        "CPUQuotaPerSecUSec": "650ms",
        "TasksMax": "77",
        "DevicePolicy": "strict",
    }
    for _ in range(2):
        found = v1_files(container, ("cpu", "cpu.shares"), ("cpu", "cpu.cfs_quota_us"), ("pids", "pids.max"))
        assert found == ["512", "65000", "77"]
        memory, cpus = v1_files(container, ("memory", "memory.limit_in_bytes"), ("cpuset", "cpuset.cpus"))
        assert memory in ("", str(64 * MIB))
        assert cpus in ("", "0")
        systemctl("daemon-reload")


def test_limits_are_met_inside(systemd: Pyoci, bundle: Bundle) -> None:
    bundle.linux["resources"] = {"pids": {"limit": 4}, "memory": {"limit": 32 * MIB, "swap": 32 * MIB}}
    done = systemd.run(bundle.shell("for i in 1 2 3 4 5 6; do sleep 5 & done"), check=False)
    assert "can't fork" in done.err
    done = systemd.run(bundle.args("/bin/dd", "if=/dev/zero", "of=/dev/null", "bs=256M", "count=1"), check=False)
    assert done.code == 137


def test_one_process_is_enough(systemd: Pyoci, bundle: Bundle) -> None:
    """With a limit of 1 nothing but the container's first process may ever have been in its cgroup."""
    bundle.linux["resources"] = {"pids": {"limit": 1}}
    assert systemd.run(bundle.args("/bin/echo", "here")).out == "here\n"


@pytest.mark.parametrize("reload", [False, True])
def test_devices(systemd: Pyoci, bundle: Bundle, reload: bool) -> None:
    """Also after a reload: with v1 it is systemd that writes the rules then."""
    bundle.linux["resources"] = {"devices": [{"allow": False, "access": "rwm"}]}
    bundle.linux["devices"] = [{"path": "/dev/kmsg", "type": "c", "major": 1, "minor": 11, "fileMode": 0o666}]
    container = systemd.run_detached(bundle.args("/bin/sleep", "1000"))
    if reload:
        systemctl("daemon-reload")
    assert container.exec("/bin/sh", "-c", "echo > /dev/null && head -c1 /dev/zero").out == "\0"
    denied = container.exec("/bin/dd", "if=/dev/kmsg", "count=1", check=False)
    assert denied.code != 0
    assert "Operation not permitted" in denied.err


@v2_only
def test_a_container_in_a_user_namespace_owns_its_cgroup(systemd: Pyoci, bundle: Bundle) -> None:
    bundle.user_namespace().namespace("cgroup")
    bundle.mount("/sys/fs/cgroup", "cgroup", "cgroup", ["rw", "nosuid", "noexec", "nodev", "relatime"])
    bundle.capabilities("CAP_SYS_ADMIN")
    done = systemd.run(
        bundle.shell(
            "cd /sys/fs/cgroup; mkdir below; echo $$ > below/cgroup.procs; cat below/cgroup.procs;"
            "echo +pids > cgroup.subtree_control; cat below/pids.max; stat -c %u . memory.max cgroup.procs;"
            "echo 5 > memory.max || echo refused"
        )
    )
    assert done.out.splitlines()[-5:] == ["max", "0", "65534", "0", "refused"], done


# --- annotations


def test_annotations(running: Callable[..., Container], bundle: Bundle) -> None:
    bundle.config["annotations"] = {
        "org.systemd.property.TimeoutStopUSec": "uint64 123456789",
        "org.systemd.property.CollectMode": "'inactive-or-failed'",
        "org.systemd.property.Documentation": "['https://example.org/']",
        "org.systemd.property.Description": "'of my own'",
        "org.systemd.property.RuntimeMaxSec": "1000.5",
        "org.example": "nothing",
    }
    container = running()
    names = ("TimeoutStopUSec", "CollectMode", "Documentation", "Description", "RuntimeMaxUSec")
    assert show(f"pyoci-{container.id}.scope", *names) == {
        "TimeoutStopUSec": "2min 3.456789s",
        "CollectMode": "inactive-or-failed",
        "Documentation": "https://example.org/",
        "Description": "of my own",
        "RuntimeMaxUSec": "16min 40.500000s",
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [("CollectMode", "inactive"), ("CollectMode", "uint64 5"), ("NoSuchThing", "true"), ("TimeoutStopSec", "'x'")],
)
def test_annotations_that_are_refused(systemd: Pyoci, bundle: Bundle, name: str, value: str) -> None:
    bundle.config["annotations"] = {f"org.systemd.property.{name}": value}
    done = systemd.run(bundle, check=False)
    assert done.code == 1
    assert f"/annotations/org.systemd.property.{name}" in done.err
    assert "Traceback" not in done.err


# --- live


@v2_only
def test_update_outlives_a_reload(running: Callable[..., Container], systemd: Pyoci) -> None:
    container = running(memory={"limit": 64 * MIB}, pids={"limit": 50}, cpu={"quota": 50000, "period": 100000})
    systemd(
        "update", "--memory", "80M", "--pids-limit", "60", "--cpu-quota", "33333", "--cpu-share", "2000", container.id
    )
    files = {"memory.max": str(80 * MIB), "pids.max": "60", "cpu.max": "34000 100000"}
    directory = cgroup_of(container)
    unit = f"pyoci-{container.id}.scope"
    for _ in range(2):
        assert {name: (directory / name).read_text().strip() for name in files} == files
        assert show(unit, "MemoryMax", "TasksMax", "CPUQuotaPerSecUSec") == {
            "MemoryMax": str(80 * MIB),
            "TasksMax": "60",
            "CPUQuotaPerSecUSec": "340ms",
        }
        systemctl("daemon-reload")


@v1_only
def test_update_outlives_a_reload_with_v1(running: Callable[..., Container], systemd: Pyoci) -> None:
    container = running(memory={"limit": 64 * MIB}, pids={"limit": 50})
    systemd("update", "--memory", "80M", "--pids-limit", "60", "--cpu-share", "2000", container.id)
    for _ in range(2):
        assert v1_files(container, ("memory", "memory.limit_in_bytes"))[0] in ("", str(80 * MIB))
        assert v1_files(container, ("pids", "pids.max"), ("cpu", "cpu.shares")) == ["60", "2000"]
        systemctl("daemon-reload")


def test_an_update_that_is_refused_changes_nothing(running: Callable[..., Container], systemd: Pyoci) -> None:
    container = running(memory={"limit": 64 * MIB}, pids={"limit": 50})
    unit = f"pyoci-{container.id}.scope"
    names = ("MemoryMax" if IS_V2 else "MemoryLimit", "TasksMax", "AllowedCPUs")
    before = show(unit, *names)
    done = systemd(
        "update", "--pids-limit", "70", "--memory", "90M", "--cpuset-cpus", "1000", container.id, check=False
    )
    assert done.code != 0
    assert show(unit, *names) == before
    assert (cgroup_of(container, "pids") / "pids.max").read_text() == "50\n"
    # and one that a later step refuses takes the properties back too
    done = systemd("update", "--pids-limit", "70", "--l3-cache-schema", "L3:0=f", container.id, check=False)
    assert done.code != 0
    assert show(unit, *names) == before
    assert (cgroup_of(container, "pids") / "pids.max").read_text() == "50\n"


def test_pause_exec_and_kill(running: Callable[..., Container], systemd: Pyoci, directory: Path) -> None:
    container = running()
    unit = f"pyoci-{container.id}.scope"
    file = directory / "pid"
    container.exec("/bin/sleep", "500", options=["--detach", "--pid-file", str(file)])
    pids = {container.pid, int(file.read_text())}
    assert set(map(int, (cgroup_of(container, "devices") / "cgroup.procs").read_text().split())) == pids
    for pid in pids:
        assert set(cgroups_of(pid).values()) == {f"/system.slice/{unit}"}
    systemd("pause", container.id)
    assert container.status == "paused"
    systemctl("daemon-reload")
    assert container.status == "paused"
    systemd("resume", container.id)
    assert container.status == "running"
    systemd("kill", "--all", container.id, "KILL")
    container.wait()
    container.delete()
    assert is_gone(unit)


@v2_only
def test_exec_below_the_scope(systemd: Pyoci, bundle: Bundle) -> None:
    bundle.namespace("cgroup").mount("/sys/fs/cgroup", "cgroup", "cgroup", ["rw"])
    script = "cd /sys/fs/cgroup; mkdir in below; echo 1 > in/cgroup.procs; echo +pids > cgroup.subtree_control; echo up"
    container = systemd.run_detached(bundle.shell(script + "; sleep 1000")).expect("up")
    assert container.exec("/bin/cat", "/proc/self/cgroup").out == "0::/in\n"
    assert container.exec("/bin/cat", "/proc/self/cgroup", options=["--cgroup", "below"]).out == "0::/below\n"
    container.delete(force=True)
    assert is_gone(f"pyoci-{container.id}.scope")


# --- the end


def test_the_unit_ends_with_its_processes(running: Callable[..., Container]) -> None:
    container = running()
    container.kill()
    container.wait()
    wait_for(lambda: is_gone(f"pyoci-{container.id}.scope"))
    container.delete()


def test_a_unit_that_failed_is_forgotten(running: Callable[..., Container], bundle: Bundle, systemd: Pyoci) -> None:
    # the container's process is the first one of its pid namespace, which SIGTERM does not end
    bundle.config["annotations"] = {
        "org.systemd.property.RuntimeMaxSec": "1",
        "org.systemd.property.TimeoutStopSec": "1",
    }
    container = running()
    unit = f"pyoci-{container.id}.scope"
    wait_for(lambda: show(unit, "ActiveState") == {"ActiveState": "failed"}, 30)
    assert container.status == "stopped"
    container.delete()
    assert is_gone(unit)


def test_a_unit_that_failed_makes_place(running: Callable[..., Container], bundle: Bundle, name: str) -> None:
    """One of somebody else's, or of a runtime that did not come to delete it."""
    unit = f"p-{name}.scope"
    argv = ["systemd-run", "--scope", "--quiet", f"--unit={unit}", "--property=RuntimeMaxSec=1", "sleep", "100"]
    subprocess.run(argv, capture_output=True, timeout=60, check=False)
    assert show(unit, "ActiveState") == {"ActiveState": "failed"}
    container = running(f":p:{name}")
    assert container.status == "running"
    assert show(unit, "ActiveState") == {"ActiveState": "active"}


def test_a_failure_leaves_no_unit(systemd: Pyoci, bundle: Bundle, name: str) -> None:
    bundle.linux["cgroupsPath"] = f"{name}-s.slice:p:{name}"
    bundle.mount("/mnt", "bind", "/no/such/place", ["bind"])
    assert systemd.run(bundle, check=False).code != 0
    bundle.unmount("/mnt")
    bundle.config["hooks"] = {"createRuntime": [{"path": "/bin/false"}]}
    assert systemd.run(bundle, check=False).code != 0
    del bundle.config["hooks"]
    assert systemd.run(bundle.args("/no/such/program"), check=False).code != 0
    bundle.linux["resources"] = {"cpu": {"cpus": "1000"}}
    done = systemd.run(bundle, check=False)
    assert done.code != 0
    assert "/linux/resources/cpu/cpus" in done.err
    assert units(name) == []
    assert not list(CGROUP_ROOT.rglob(f"*{name}*"))


def test_a_unit_that_is_refused_leaves_nothing_of_its_slices(systemd: Pyoci, bundle: Bundle, name: str) -> None:
    """In v1 the process enters some cgroups itself, before systemd knows of them."""
    bundle.linux["cgroupsPath"] = f"{name}-s.slice:p:{name}"
    bundle.config["annotations"] = {"org.systemd.property.CollectMode": "uint64 5"}
    assert "refused StartTransientUnit" in systemd.run(bundle, check=False).err
    assert not list(CGROUP_ROOT.rglob(f"*{name}*"))


def test_the_runtime_is_killed_at_any_moment(systemd: Pyoci, bundle: Bundle, name: str) -> None:
    bundle.linux["cgroupsPath"] = f"{name}.slice:p:{name}"
    bundle.linux["resources"] = {"pids": {"limit": 10}}
    begin = time.monotonic()
    systemd.run(bundle.args("/bin/true"))
    length = time.monotonic() - begin
    bundle.args("/bin/sleep", "1000").save()
    reached: set[bool] = set()
    for step in range(16):
        id = systemd.new_id()
        child = systemd.spawn("create", "--bundle", str(bundle.path), id, stdout=subprocess.DEVNULL)
        time.sleep(length * step / 12)
        child.send_signal(signal.SIGKILL)
        child.wait()
        reached.add(bool(units(f"p-{name}.scope")))
        systemd("delete", "--force", id)
        assert units(name) == [], f"killed after {length * step / 12:.3f} s"
        assert not list(CGROUP_ROOT.rglob(f"*{name}*"))
    assert reached == {False, True}


def test_delete_of_a_unit_that_is_gone(running: Callable[..., Container]) -> None:
    container = running()
    systemctl("kill", "--signal=KILL", f"pyoci-{container.id}.scope")
    wait_for(lambda: is_gone(f"pyoci-{container.id}.scope"))
    container.wait()
    container.delete()


def test_an_id_that_is_no_unit_name(systemd: Pyoci, bundle: Bundle) -> None:
    id = systemd.new_id() + "+x"
    container = systemd.run_detached(bundle.args("/bin/sleep", "1000"), id=id)
    unit = f"pyoci-{id.replace('+', chr(92) + 'x2b')}.scope"
    assert set(cgroups_of(container.pid).values()) == {f"/system.slice/{unit}"}
    container.delete(force=True)
    assert is_gone(unit)


def test_many_at_once(systemd: Pyoci, bundle: Bundle) -> None:
    bundle.args("/bin/sleep", "1000").save()
    ids = [systemd.new_id() for _ in range(6)]
    children = [
        systemd.spawn("run", "--detach", "--bundle", str(bundle.path), id, stdout=subprocess.DEVNULL) for id in ids
    ]
    assert [child.wait(timeout=60) for child in children] == [0] * len(ids)
    for id in ids:
        assert show(f"pyoci-{id}.scope", "ActiveState") == {"ActiveState": "active"}
    children = [systemd.spawn("delete", "--force", id) for id in ids]
    assert [child.wait(timeout=60) for child in children] == [0] * len(ids)


def test_through_the_bus(systemd: Pyoci, bundle: Bundle, directory: Path) -> None:
    """Without the manager's own socket, as for those who may not use it."""
    socket = Path("/run/systemd/private")
    script = directory / "pyoci-by-bus"
    script.write_text(
        f"#!/bin/sh\nexec unshare -m --propagation slave sh -c 'mount --bind /dev/null {socket}; exec \"$@\"' sh"
        f' {systemd.executable} "$@"\n'
    )
    script.chmod(0o755)
    systemd.executable = str(script)
    container = systemd.run_detached(bundle.args("/bin/sleep", "1000"))
    record = (systemd.root / container.id / "state.json").read_text()
    assert "unix:path=/run/dbus/system_bus_socket" in record
    container.delete(force=True)
    assert is_gone(f"pyoci-{container.id}.scope")


def test_systemd_executes_itself_anew(running: Callable[..., Container], systemd: Pyoci) -> None:
    container = running(pids={"limit": 50})
    systemctl("daemon-reexec")
    systemd("update", "--pids-limit", "60", container.id)
    assert show(f"pyoci-{container.id}.scope", "TasksMax") == {"TasksMax": "60"}
    container.delete(force=True)


# --- a user


ALICE = 1000


class User:
    """A user with a systemd of his own, and pyoci as he calls it."""

    def __init__(self, directory: Path, pyoci: Pyoci) -> None:
        self.bundle = Bundle(directory / "rootless")
        identity = ["setpriv", f"--reuid={ALICE}", f"--regid={ALICE}", "--init-groups"]
        self.words = [*identity, "env", "-u", "DBUS_SESSION_BUS_ADDRESS", f"XDG_RUNTIME_DIR=/run/user/{ALICE}"]
        self.root = f"/run/user/{ALICE}/pyoci-test"
        self._executable = pyoci.executable
        self.bundle.config["process"]["capabilities"] = {}
        self.bundle.namespace("user").namespace("cgroup").without_namespace("network")
        self.bundle.linux["uidMappings"] = [{"containerID": 0, "hostID": ALICE, "size": 1}]
        self.bundle.linux["gidMappings"] = [{"containerID": 0, "hostID": ALICE, "size": 1}]
        for mount in self.bundle.mounts:
            mount["options"] = [option for option in mount.get("options", ()) if not option.startswith("gid=")]
        self.bundle.unmount("/sys")
        self.bundle.mount("/sys", "none", "/sys", ["rbind", "nosuid", "noexec", "nodev", "ro"])
        self.bundle.args("/bin/sleep", "1000").save()
        subprocess.run(["chown", "-R", f"{ALICE}:{ALICE}", self.bundle.path], check=True)

    def __call__(self, *argv: str, check: bool = True, words: list[str] | None = None) -> str:
        command = [*(words or self.words), self._executable, "--root", self.root, *argv]
        with open(self.bundle.path / "output", "w+") as output:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, timeout=60, check=False
            )
            output.seek(0)
            text = output.read()
        assert not check or done.returncode == 0, f"{argv}: {text}"
        return text

    def show(self, unit: str, *names: str) -> dict[str, str]:
        return show(unit, *names, manager=self.words)


@pytest.fixture
def alice(directory: Path, systemd: Pyoci) -> Iterator[User]:
    if not Path("/home/alice").exists():
        pytest.skip("there is no user alice here; the virtual machine has her")
    socket = Path(f"/run/user/{ALICE}/systemd/private")
    subprocess.run(["loginctl", "enable-linger", "alice"], check=True)
    wait_for(socket.exists, 60)
    user = User(directory, systemd)
    yield user
    user("delete", "--force", "c")
    subprocess.run(["rm", "-rf", user.root], check=True)
    subprocess.run(["loginctl", "disable-linger", "alice"], check=True)
    wait_for(lambda: not socket.exists(), 60)  # the next test must not meet it while it ends


@v2_only
def test_a_user_has_his_own_manager(alice: User) -> None:
    alice.bundle.linux["resources"] = {"pids": {"limit": 33}, "memory": {"limit": 64 * MIB}}
    alice.bundle.save()
    alice("run", "--detach", "--bundle", str(alice.bundle.path), "c")
    assert alice.show("pyoci-c.scope", "ActiveState", "Slice", "TasksMax") == {
        "ActiveState": "active",
        "Slice": "user.slice",
        "TasksMax": "33",
    }
    pid = int(alice("ps", "--format", "json", "c").strip("[]\n").split(",")[0])
    manager = f"/user.slice/user-{ALICE}.slice/user@{ALICE}.service"
    assert cgroups_of(pid) == {"": f"{manager}/user.slice/pyoci-c.scope"}
    assert (CGROUP_ROOT / manager.lstrip("/") / "user.slice/pyoci-c.scope/pids.max").read_text() == "33\n"
    # from a session elsewhere, whose processes the user may not move by himself
    assert alice("exec", "c", "/bin/cat", "/proc/self/cgroup") == "0::/\n"
    alice("update", "--pids-limit", "44", "c")
    assert alice.show("pyoci-c.scope", "TasksMax") == {"TasksMax": "44"}
    alice("pause", "c")
    alice("resume", "c")
    alice("kill", "c", "KILL")
    wait_for(lambda: '"stopped"' in alice("state", "c"))
    alice("delete", "c")
    assert alice.show("pyoci-c.scope", "LoadState") == {"LoadState": "not-found"}


@v2_only
def test_root_of_a_user_namespace_is_its_user(alice: User) -> None:
    """As podman calls it."""
    for mappings in ("uidMappings", "gidMappings"):
        alice.bundle.linux[mappings] = [{"containerID": 0, "hostID": 0, "size": 1}]
    alice.bundle.save()
    words = [*alice.words, "unshare", "--user", "--map-root-user", "--mount"]
    alice("run", "--detach", "--bundle", str(alice.bundle.path), "c", words=words)
    assert alice.show("pyoci-c.scope", "ActiveState", "Slice") == {"ActiveState": "active", "Slice": "user.slice"}
    alice("delete", "--force", "c", words=words)
    assert alice.show("pyoci-c.scope", "LoadState") == {"LoadState": "not-found"}


@v2_only
def test_through_the_users_bus(alice: User) -> None:
    words = [*alice.words[:-3], "-u", "XDG_RUNTIME_DIR", f"DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/{ALICE}/bus"]
    alice("run", "--detach", "--bundle", str(alice.bundle.path), "c", words=words)
    assert alice.show("pyoci-c.scope", "ActiveState") == {"ActiveState": "active"}
    alice("delete", "--force", "c", words=words)


def test_a_user_without_a_session_is_told(alice: User) -> None:
    words = [*alice.words[:-3], "-u", "XDG_RUNTIME_DIR", "-u", "DBUS_SESSION_BUS_ADDRESS"]
    text = alice("run", "--bundle", str(alice.bundle.path), "c", words=words, check=False)
    assert "neither XDG_RUNTIME_DIR nor DBUS_SESSION_BUS_ADDRESS is set" in text


@v1_only
def test_v1_is_not_for_users(alice: User) -> None:
    text = alice("run", "--bundle", str(alice.bundle.path), "c", check=False)
    assert "--systemd-cgroup without root needs a host with cgroup v2" in text
