"""Cgroups of an ordinary user's containers: none, some, or those that are delegated to him."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from containers import CGROUP_ROOT, Bundle, Container, Pyoci, cgroups_of, wait_for
from rootless_support import HYBRID, V2_VIEW, Delegation, RootlessPyoci, delegation

V1_MEMORY = os.path.ismount(CGROUP_ROOT / "memory")


def sleeper(rootless: RootlessPyoci, box: Bundle) -> Container:
    return rootless.run_detached(box.args("/bin/sleep", "60"))


# --- without


def test_it_stays_in_the_cgroup_of_its_user(rootless: RootlessPyoci, box: Bundle) -> None:
    container = sleeper(rootless, box)
    assert cgroups_of(container.pid) == cgroups_of(os.getpid())
    assert not rootless("exec", container.id, "true").err


def test_limits_are_refused_not_forgotten(rootless: RootlessPyoci, box: Bundle) -> None:
    box.linux["resources"] = {"pids": {"limit": 10}, "devices": [{"allow": False, "access": "rwm"}]}
    done = rootless.run(box, check=False)
    assert done.code == 1
    assert "/linux/resources/pids: cannot be had" in done.err
    assert "/linux/resources/devices" not in done.err
    del box.linux["resources"]["pids"]
    assert rootless.run(box).code == 0


def test_a_cgroup_that_is_not_his_is_refused(rootless: RootlessPyoci, box: Bundle) -> None:
    box.linux["cgroupsPath"] = f"/{rootless.new_id()}"
    done = rootless.run(box, check=False)
    assert done.code == 1
    assert "/linux/cgroupsPath" in done.err
    assert "Permission denied" in done.err


def test_rootless_false_wants_cgroups(rootless: RootlessPyoci, box: Bundle) -> None:
    rootless.options = ["--rootless=false"]
    done = rootless.run(box, check=False)
    assert done.code == 1
    assert "cannot create cgroup" in done.err
    for value in ("auto", "true"):
        rootless.options = [f"--rootless={value}"]
        assert rootless.run(box).code == 0


def test_ps_knows_its_pid_namespace(rootless: RootlessPyoci, box: Bundle) -> None:
    box.capabilities("CAP_SYS_ADMIN").shell("sleep 61 & unshare -p -f sleep 62 & echo up; wait")
    container = rootless.run_detached(box)
    container.expect("up")
    wait_for(lambda: ":00 sleep 62" in rootless("ps", container.id).out)
    assert ":00 sleep 61" in rootless("ps", container.id).out
    assert str(container.pid) in rootless("ps", "--format", "json", container.id).out
    container.kill()
    container.wait()
    assert rootless("ps", "--format", "json", container.id).out.strip() in ("[]", "null")


def test_ps_without_anything_to_tell_by(rootless: RootlessPyoci, box: Bundle) -> None:
    box.without_namespace("pid").unmount("/proc").mount("/proc", "bind", "/proc", ["rbind"])
    container = rootless.run_detached(box.args("/bin/sleep", "60"))
    assert "cannot all be killed" in container.output
    done = rootless("ps", container.id, check=False)
    assert done.code == 1
    assert "cannot be told from others" in done.err


def test_kill_all(rootless: RootlessPyoci, box: Bundle) -> None:
    container = rootless.run_detached(
        box.shell(
            "set +e; trap 'echo init' TERM; (trap 'echo other; exit' TERM; echo up; while :; do sleep 0.1; done) & "
            "while :; do wait; done"
        )
    )
    container.expect("up")
    rootless("kill", "--all", container.id, "TERM")
    container.expect("other")
    container.expect("init")
    rootless("kill", "--all", container.id, "KILL")
    container.wait()


@pytest.mark.parametrize("command", ["pause", "resume", "update"])
def test_what_takes_a_cgroup_says_so(rootless: RootlessPyoci, box: Bundle, command: str) -> None:
    container = sleeper(rootless, box)
    options = ["--pids-limit", "5"] if command == "update" else []
    done = rootless(command, *options, container.id, check=False)
    assert done.code == 1
    assert "has no cgroup of its own" in done.err
    assert container.status == "running"


# --- delegated, as all hierarchies of this host are


@pytest.fixture
def path(delegated: Delegation, box: Bundle) -> str:
    """An absolute cgroupsPath in what is delegated; a relative one starts where the user is."""
    box.without_namespace("cgroup").linux["cgroupsPath"] = f"/{delegated.name}/box"
    return f"/{delegated.name}/box"


def test_a_container_in_a_delegated_cgroup(rootless: RootlessPyoci, box: Bundle, path: str) -> None:
    container = sleeper(rootless, box)
    assert set(cgroups_of(container.pid).values()) == {path}
    executed = container.exec("cat", "/proc/self/cgroup")
    assert {line.rpartition(":")[2] for line in executed.out.splitlines()} == {path}
    assert not executed.err


def test_without_a_path_it_is_below_the_users_own(rootless: RootlessPyoci, box: Bundle, delegated: Delegation) -> None:
    container = sleeper(rootless, box)
    found = {path for controllers, path in cgroups_of(container.pid).items() if controllers or not HYBRID}
    assert found == {f"/{delegated.name}/{'session/' if HYBRID else ''}{container.id}"}
    container.delete(force=True)
    assert not [top for top in delegated.directories if (top / container.id).exists()]


def test_limits_are_met(rootless: RootlessPyoci, box: Bundle, path: str) -> None:
    box.linux["resources"] = {"pids": {"limit": 5}, "memory": {"limit": 32 << 20, "swap": 32 << 20}, "devices": []}
    box.args("/bin/sh", "-c", "for i in 1 2 3 4 5 6; do sleep 1 & done; wait")
    assert "can't fork" in rootless.run(box, check=False).err
    box.args("awk", 'BEGIN { s = "x"; while (length(s) < 100000000) s = s s; print length(s) }')
    assert rootless.run(box, check=False).code == 137
    assert not (CGROUP_ROOT / ("pids" if HYBRID else "") / path[1:]).exists()


def test_pause_and_resume(rootless: RootlessPyoci, box: Bundle, path: str) -> None:
    container = sleeper(rootless, box)
    rootless("pause", container.id)
    assert container.status == "paused"
    refused = container.exec("true", check=False)
    assert refused.code != 0
    assert "paused" in refused.err
    rootless("resume", container.id)
    assert container.status == "running"
    rootless("pause", container.id)
    container.delete(force=True)


def test_update(rootless: RootlessPyoci, box: Bundle, path: str) -> None:
    container = sleeper(rootless, box)
    rootless("update", "--pids-limit", "7", "--memory", str(64 << 20), container.id)
    assert (CGROUP_ROOT / ("pids" if HYBRID else "") / path[1:] / "pids.max").read_text() == "7\n"
    unified = CGROUP_ROOT / ("unified" if HYBRID else "") / path[1:] / "memory.max"
    limit = CGROUP_ROOT / "memory" / path[1:] / "memory.limit_in_bytes" if V1_MEMORY else unified
    assert limit.read_text() == f"{64 << 20}\n"


def test_ps_and_kill_all_by_cgroup(rootless: RootlessPyoci, box: Bundle, path: str) -> None:
    box.without_namespace("pid").unmount("/proc").mount("/proc", "bind", "/proc", ["rbind"])
    container = rootless.run_detached(box.shell("sleep 61 & sleep 62 & echo up; wait"))
    container.expect("up")
    assert rootless("ps", container.id).out.count(":00 sleep 6") == 2
    assert "killed" not in container.output
    container.kill("KILL")
    container.wait()
    wait_for(lambda: rootless("ps", "--format", "json", container.id).out.strip() in ("[]", "null"))


def test_a_cgroup_that_is_in_use(rootless: RootlessPyoci, box: Bundle, path: str) -> None:
    sleeper(rootless, box)
    done = rootless.run(box, check=False)
    assert done.code == 1
    assert "/linux/cgroupsPath" in done.err
    assert "is not empty" in done.err


def test_the_view_from_inside(rootless: RootlessPyoci, box: Bundle, path: str) -> None:
    """A cgroup namespace, with a mount of its cgroups."""
    box.namespace("cgroup").mount("/sys/fs/cgroup", "cgroup", "cgroup", ["ro"])
    box.shell(
        "cat /proc/self/cgroup; cat /sys/fs/cgroup/pids/cgroup.procs /sys/fs/cgroup/cgroup.procs 2>/dev/null || true"
    )
    out = rootless.run(box).out.splitlines()
    assert {line.rpartition(":")[2] for line in out if ":" in line} == {"/"}
    assert "1" in out


# --- delegated in part


@pytest.fixture
def partly(rootless: RootlessPyoci) -> Iterator[Delegation]:
    if not HYBRID:
        pytest.skip("this host has no cgroup v1 controllers")
    with delegation(rootless, ("pids", "freezer", "unified")) as made:
        yield made


def test_it_has_what_it_may_have(rootless: RootlessPyoci, box: Bundle, partly: Delegation) -> None:
    box.linux["resources"] = {"pids": {"limit": 6}}
    container = sleeper(rootless, box)
    found = cgroups_of(container.pid)
    assert found["pids"] == found["freezer"] == f"/{partly.name}/session/{container.id}"
    assert found.get("memory") == cgroups_of(os.getpid()).get("memory")
    rootless("pause", container.id)
    assert container.status == "paused"
    rootless("resume", container.id)
    assert str(container.pid) in rootless("ps", container.id).out
    assert container.exec("cat", "/proc/self/cgroup").code == 0
    rootless("update", "--pids-limit", "8", container.id)
    done = rootless("update", "--memory", "64M", container.id, check=False)
    assert done.code == 1
    assert "memory" in done.err
    container.kill()
    container.wait()
    container.delete()
    assert not partly.left()


def test_and_no_limit_without_its_controller(rootless: RootlessPyoci, box: Bundle, partly: Delegation) -> None:
    box.linux["resources"] = {"pids": {"limit": 6}, "memory": {"limit": 64 << 20}}
    done = rootless.run(box, check=False)
    assert done.code == 1
    assert "/linux/resources/memory" in done.err
    assert ("Permission denied" if V1_MEMORY else "not available") in done.err
    assert not partly.left()


def test_the_view_from_inside_is_whole(rootless: RootlessPyoci, box: Bundle, partly: Delegation) -> None:
    box.mount("/sys/fs/cgroup", "cgroup", "cgroup", ["ro"])
    done = rootless.run(box.args("ls", "/sys/fs/cgroup"))
    assert {"pids", "freezer", "devices", "cpu", *(["memory"] if V1_MEMORY else [])} <= set(done.out.split())


# --- pure v2


@pytest.fixture
def unified(rootless: RootlessPyoci) -> Iterator[Delegation]:
    """A host with nothing but cgroup v2, and a part of it that is delegated."""
    with delegation(rootless, ("unified",) if HYBRID else (), V2_VIEW) as made:
        yield made


def test_v2(rootless: RootlessPyoci, box: Bundle, unified: Delegation) -> None:
    """As where systemd delegates: beside the user's own cgroup."""
    container = sleeper(rootless, box.without_namespace("cgroup"))
    assert cgroups_of(container.pid)[""] == f"/{unified.name}/{container.id}"
    assert container.exec("cat", "/proc/self/cgroup").out.splitlines()[-1] == f"0::/{unified.name}/{container.id}"
    rootless("pause", container.id)
    assert container.status == "paused"
    rootless("resume", container.id)
    assert str(container.pid) in rootless("ps", container.id).out
    rootless("kill", "--all", container.id, "KILL")
    container.wait()
    container.delete()
    assert not unified.left()


def test_v2_not_delegated(rootless: RootlessPyoci, box: Bundle) -> None:
    rootless.around = V2_VIEW
    container = sleeper(rootless, box)
    assert cgroups_of(container.pid)[""] == cgroups_of(os.getpid())[""]
    box.linux["resources"] = {"pids": {"limit": 10}}
    done = rootless.run(box, check=False)
    assert done.code == 1
    assert "/linux/resources/pids: cannot be had" in done.err


def test_v2_seen_from_inside(rootless: RootlessPyoci, box: Bundle, unified: Delegation) -> None:
    """Root of the container owns its cgroup, so it may make others in it."""
    box.namespace("cgroup").mount("/sys/fs/cgroup", "cgroup", "cgroup", ["rw"]).unmount("/sys")
    done = rootless.run(
        box.shell("tail -1 /proc/self/cgroup; cd /sys/fs/cgroup; mkdir sub; ls -d /sys/fs/cgroup/sub; rmdir sub")
    )
    assert done.out.split() == ["0::/", "/sys/fs/cgroup/sub"]


def test_v2_exec_from_another_session(rootless: RootlessPyoci, box: Bundle, unified: Delegation) -> None:
    """From outside of what is delegated nobody may be moved in: cgroups(7). It is executed all the same, as by runc."""
    container = sleeper(rootless, box.without_namespace("cgroup"))
    rootless.around = V2_VIEW
    done = container.exec("cat", "/proc/self/cgroup")
    assert done.out.splitlines()[-1] == f"0::{cgroups_of(os.getpid())['']}"
    assert "stays in the cgroup of the runtime" in done.err


# --- root


def test_root_who_says_that_he_is_rootless(pyoci: Pyoci, bundle: Bundle) -> None:
    """Errors of cgroups would be forgiven, but there are none: devices are as forbidden as ever."""
    bundle.linux["resources"] = {"devices": [{"allow": False, "access": "rwm"}]}
    bundle.capabilities("CAP_MKNOD").shell("mknod /mnt/memory c 1 1; head -c1 /dev/zero; head -c1 /mnt/memory || true")
    bundle.mount("/mnt", "tmpfs", "tmpfs").save()
    done = pyoci("--rootless=true", "run", "--bundle", str(bundle.path), pyoci.new_id())
    assert done.out == "\0"
    assert "Operation not permitted" in done.err
