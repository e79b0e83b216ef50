"""cgroup v2 alone. The kernel has given most controllers to v1 hierarchies, so hugetlb is the one to limit with."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cgroup_support import BASE, Child, clone_into, in_mount_namespace, in_v2_view, left_over, needs_v2
from containers import cgroups_of, wait_for

from oci_runtime.errors import PyociError, SpecError, StateError, SystemCallError, UsageError
from oci_runtime.linux.cgroups import manager
from oci_runtime.linux.cgroups.manager import Manager

SYS_EXIT = {"x86_64": 60, "aarch64": 93}[os.uname().machine]  # of one thread, exit(2)


@pytest.fixture
def view(name: str) -> Callable[[Callable[[], None]], None]:
    """Runs a test's body where there is only v2."""
    return in_v2_view


View = Callable[[Callable[[], None]], None]


def make(path: str, resources: object = None) -> Manager:
    made = manager.new(path, os.path.basename(path), resources)  # type: ignore[arg-type]
    made.create()
    made.apply(resources)  # type: ignore[arg-type]
    return made


def restored(made: Manager) -> Manager:
    return manager.from_state(json.loads(json.dumps(made.to_state())))


def test_place(name: str, view: View) -> None:
    def body() -> None:
        made = manager.new(f"/x/../{name}", name, None)
        assert made.version == 2
        assert made.path() == f"{BASE}/{name}"
        assert left_over(name) == []
        made.create()
        assert (BASE / name).is_dir()
        restored(made).delete()
        restored(made).delete()
        assert left_over(name) == []

    view(body)


def test_default_is_beside_the_runtimes_own_cgroup(name: str, view: View) -> None:
    def body() -> None:
        (BASE / name / "runtime").mkdir(parents=True)
        (BASE / name / "runtime/cgroup.procs").write_text(str(os.getpid()))
        made = manager.new(None, "id", None)
        (BASE / "cgroup.procs").write_text(str(os.getpid()))
        assert made.path() == f"{BASE}/{name}/id"

    view(body)


def test_a_mount_of_a_part_of_the_tree(name: str, view: View) -> None:
    """As in a container that was given its cgroup as a bind mount and no cgroup namespace."""

    def body() -> None:
        own = BASE / name / "shown/runtime"
        own.mkdir(parents=True)
        subprocess.run(["mount", "--bind", str(BASE / name / "shown"), str(BASE)], check=True)
        (BASE / "runtime/cgroup.procs").write_text(str(os.getpid()))
        assert cgroups_of(os.getpid())[""] == f"/{name}/shown/runtime"
        made = manager.new(None, "id", None)
        assert made.path() == f"{BASE}/id"
        made.create()
        child = Child()
        made.add(child.pid)
        assert cgroups_of(child.pid)[""] == f"/{name}/shown/id"
        child.end()
        made.delete()
        assert not (BASE / "id").exists()

    view(body)


def test_processes(name: str, view: View) -> None:
    def body() -> None:
        made = make(f"/{name}/a")
        one, two = Child(), Child()
        made.add(one.pid)
        (BASE / name / "a/below").mkdir()
        (BASE / name / "a/below/cgroup.procs").write_text(str(two.pid))
        assert made.pids(recursive=False) == [one.pid]
        assert restored(made).pids() == sorted([one.pid, two.pid])
        with pytest.raises(StateError, match="not empty"):
            manager.new(f"/{name}/a", "a", None)
        made.freeze()
        assert restored(made).frozen()
        with pytest.raises(StateError, match="frozen"):
            manager.new(f"/{name}/a/other", "a", None)
        made.thaw()
        assert not made.frozen()
        made.freeze()
        restored(made).kill_all()
        assert one.wait() == two.wait() == -signal.SIGKILL
        with pytest.raises(StateError, match="frozen"):
            manager.new(f"/{name}/a", "a", None)
        restored(made).delete()
        assert left_over(name) == []

    view(body)


def test_signal_all(name: str, view: View) -> None:
    def body() -> None:
        made, process = make(f"/{name}"), Child()
        made.add(process.pid)
        made.signal_all(signal.SIGTERM)
        assert process.wait() == -signal.SIGTERM
        made.delete()
        made.signal_all(signal.SIGTERM)
        made.kill_all()
        assert made.pids() == []

    view(body)


def test_clone_into(name: str, view: View) -> None:
    def body() -> None:
        made = make(f"/{name}")
        directory = made.v2_dir_fd()
        assert directory is not None
        assert made.tasks_fds() == []
        pid = clone_into(directory, lambda: int(f"/{name}" not in Path("/proc/self/cgroup").read_text()))
        assert os.waitpid(pid, 0)[1] == 0

    view(body)


def test_waits_for_the_dying_and_gives_up_on_the_living(name: str, view: View) -> None:
    def body() -> None:
        made, process = make(f"/{name}"), Child()
        made.add(process.pid)
        with pytest.raises(PyociError, match=str(process.pid)):
            made.delete(timeout=0.2)
        os.kill(process.pid, signal.SIGKILL)
        made.delete()
        process.wait()
        assert left_over(name) == []

    view(body)


def test_who_is_born_frozen(name: str, view: View) -> None:
    """Also where only the parent is frozen, which the cgroup's own cgroup.freeze does not tell."""

    def body() -> None:
        made = make(f"/{name}/a")
        try:
            assert not made.is_frozen_at(made.v2_dir_fd())
            for frozen in ("cgroup.freeze", "a/cgroup.freeze"):
                (BASE / name / frozen).write_text("1")
                assert made.is_frozen_at(made.v2_dir_fd())
                (BASE / name / frozen).write_text("0")
        finally:
            made.delete()

    view(body)


def test_a_threaded_process_whose_first_thread_has_ended(name: str, view: View) -> None:
    """It is found by its other threads, and killed; cgroup.threads does not list the one that gave it its id."""

    def body() -> None:
        (BASE / name / "a").mkdir(parents=True)
        (BASE / name / "a/cgroup.type").write_text("threaded")
        process = Child(lambda: subprocess.run(["true"]).returncode or _end_first_thread())
        try:
            (BASE / name / "cgroup.procs").write_text(str(process.pid))
            (BASE / name / "a/cgroup.threads").write_text(str(process.pid))
            os.write(process._go, b"x")
            threads = BASE / name / "a/cgroup.threads"
            wait_for(lambda: (found := threads.read_text().split()) and str(process.pid) not in found)
            record = [2, "", str(BASE), f"{name}/a", 0]
            made = manager.from_state({"driver": "cgroupfs", "cgroups": [record]})
            assert made.pids() == [process.pid]
            made.kill_all()
            assert process.wait() == -signal.SIGKILL
        finally:
            process.end()

    view(body)


def _end_first_thread() -> int:
    """Leaves a second thread alone in the process."""
    threading.Thread(target=signal.pause).start()
    ctypes.CDLL(None).syscall(SYS_EXIT, 0)
    return 1


@needs_v2("hugetlb")
def test_exec(name: str, view: View) -> None:
    def body() -> None:
        made = make(f"/{name}")
        init, one, two, three = Child(), Child(), Child(), Child()
        made.add(init.pid)
        (BASE / name / "below").mkdir()
        made.join_exec(one.pid, {"": "below"}, init.pid)
        assert cgroups_of(one.pid)[""] == f"/{name}/below"
        # as systemd in a container does it: init moves down, and the controllers are enabled at the top
        (BASE / name / "below/cgroup.procs").write_text(str(init.pid))
        (BASE / name / "cgroup.subtree_control").write_text("+hugetlb")
        made.join_exec(two.pid, None, init.pid)
        assert cgroups_of(two.pid)[""] == f"/{name}/below"
        with pytest.raises(SystemCallError):
            made.join_exec(three.pid, {"": "/"}, init.pid)
        for paths in ({"pids": "x"}, {"": "../x"}):
            with pytest.raises(UsageError):
                made.join_exec(three.pid, paths, init.pid)
        for process in (init, one, two, three):
            process.end()
        made.delete()

    view(body)


@needs_v2("hugetlb")
def test_controllers_are_enabled_down_the_tree(name: str, view: View) -> None:
    def body() -> None:
        (BASE / name).mkdir()  # by somebody who enabled nothing
        limits = {"hugepageLimits": [{"pageSize": "2MB", "limit": 6 << 20}]}
        made = make(f"/{name}/a/b", limits)
        assert int((BASE / name / "a/b/hugetlb.2MB.max").read_text()) == 6 << 20
        assert int((BASE / name / "a/b/hugetlb.2MB.rsvd.max").read_text()) == 6 << 20
        made.apply({"unified": {"hugetlb.2MB.max": "4194304"}}, devices=False)
        assert int((BASE / name / "a/b/hugetlb.2MB.max").read_text()) == 4 << 20
        made.delete()
        assert left_over(name) == [BASE / name]
        assert list((BASE / name).glob("*/")) == []

    view(body)


@needs_v2("hugetlb")
@pytest.mark.parametrize(
    ("resources", "pointer", "error"),
    [
        ({"memory": {"limit": 1 << 30}}, "/linux/resources/memory/limit: .*controller memory.*hugetlb", PyociError),
        ({"pids": {"limit": 5}}, "/linux/resources/pids/limit: .*controller pids", PyociError),
        ({"cpu": {"shares": 512}}, "/linux/resources/cpu/shares: .*controller cpu", PyociError),
        ({"cpu": {"cpus": "0"}}, "/linux/resources/cpu/cpus: .*controller cpuset", PyociError),
        ({"blockIO": {"weight": 100}}, "/linux/resources/blockIO/weight: .*controller io", PyociError),
        ({"unified": {"memory.max": "1"}}, "/linux/resources/unified/memory.max: .*controller memory", PyociError),
        ({"unified": {"hugetlb.nothing": "1"}}, "/linux/resources/unified/hugetlb.nothing: .*kernel", PyociError),
        ({"unified": {"cgroup.nothing": "1"}}, "/linux/resources/unified/cgroup.nothing: .*kernel", PyociError),
        ({"unified": {"../x": "1"}}, "/linux/resources/unified/..~1x", SpecError),
        ({"unified": {"cgroup.type": "nonsense"}}, "/linux/resources/unified/cgroup.type.*Invalid", SystemCallError),
        ({"network": {"classID": 5}}, "/linux/resources/network/classID", SpecError),
    ],
)
def test_what_cannot_be_done_is_said(
    name: str, resources: dict[str, object], pointer: str, error: type[Exception]
) -> None:
    """Where hugetlb is the only controller."""
    enable_hugetlb = f"echo +hugetlb | tee {BASE}/cgroup.subtree_control > {BASE}/{name}/cgroup.subtree_control"
    commands = [
        ["mount", "-t", "cgroup2", "none", str(BASE)],
        ["mkdir", "-p", f"{BASE}/{name}/root"],
        ["sh", "-c", enable_hugetlb],
        ["mount", "--bind", f"{BASE}/{name}/root", str(BASE)],
    ]

    def body() -> None:
        made = manager.new(f"/{name}", name, resources)  # type: ignore[arg-type]
        made.create()
        with pytest.raises(error, match=pointer) as caught:
            made.apply(resources)  # type: ignore[arg-type]
        assert "\n" not in str(caught.value)

    in_mount_namespace(commands, body)


def test_why_a_controller_could_not_be_enabled(name: str, view: View) -> None:
    """A parent with processes keeps its controllers to itself, or has threaded ones; then nothing below is a domain."""

    def body() -> None:
        process = Child()
        try:
            (BASE / name).mkdir()
            (BASE / name / "cgroup.procs").write_text(str(process.pid))
            with pytest.raises(PyociError, match=r"hugepageLimits/0.*enabling it in .*busy|parent has no processes"):
                make(f"/{name}/a", {"hugepageLimits": [{"pageSize": "2MB", "limit": 0}]})
        finally:
            process.end()

    view(body)


def test_threaded(name: str, view: View) -> None:
    """Below a domain that is threaded there are only threaded cgroups."""

    def body() -> None:
        (BASE / name / "first").mkdir(parents=True)
        (BASE / name / "first/cgroup.type").write_text("threaded")
        with pytest.raises(PyociError, match=r"/linux/cgroupsPath.*domain invalid.*hugepageLimits"):
            manager.new(f"/{name}/a", "a", {"hugepageLimits": [{"pageSize": "2MB", "limit": 0}]}).create()
        made = manager.new(f"/{name}/b", "b", None)
        made.create()
        assert (BASE / name / "b/cgroup.type").read_text() == "threaded\n"

    view(body)


@needs_v2("hugetlb")
def test_owner(name: str, view: View) -> None:
    def body() -> None:
        made = manager.new(f"/{name}/a", "a", None)
        made.create(owner=12345)
        assert (BASE / name / "a").stat().st_uid == 12345
        for file in Path("/sys/kernel/cgroup/delegate").read_text().split():
            if (BASE / name / "a" / file).exists():
                assert (BASE / name / "a" / file).stat().st_uid == 12345
        assert (BASE / name / "a/hugetlb.2MB.max").stat().st_uid == 0
        assert (BASE / name).stat().st_uid == 0

    view(body)


@pytest.mark.parametrize("steps", range(4))
def test_after_a_crash_anywhere(name: str, view: View, steps: int) -> None:
    def body() -> None:
        made = manager.new(f"/{name}/a/b", name, None)
        record = json.dumps(made.to_state())
        pid = os.fork()
        if pid == 0:
            import posix

            real, left = posix.mkdir, steps

            def mkdir(*args: object, **kwargs: object) -> None:
                nonlocal left
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                left -= 1
                real(*args, **kwargs)  # type: ignore[arg-type]

            posix.mkdir = mkdir
            made.create()
            os._exit(0)
        os.waitpid(pid, 0)
        manager.from_state(json.loads(record)).delete()
        assert left_over(name) == []

    view(body)


def test_mounts(name: str, view: View) -> None:
    def body() -> None:
        made = make(f"/{name}")
        private, shared = made.mounts_for_container(True), made.mounts_for_container(False)
        assert private.version == shared.version == 2
        assert private.bind_source == f"{BASE}/{name}"
        assert shared.bind_source == str(BASE)

    view(body)


def test_freezing_waits_until_all_are_stopped(name: str, view: View) -> None:
    def body() -> None:
        made = make(f"/{name}")

        def counts() -> int:
            end = time.monotonic() + 0.2
            while time.monotonic() < end:
                pass
            return 5

        process = Child(counts)
        made.add(process.pid)
        os.write(process._go, b"x")
        made.freeze()
        time.sleep(0.4)
        assert process.alive()
        made.thaw()
        assert process.wait() == 5

    view(body)


@pytest.mark.parametrize("opened", [True, False])
def test_removed_by_another_command_while_frozen(name: str, view: View, opened: bool) -> None:
    def body() -> None:
        made = make(f"/{name}")
        made.freeze()
        for path in left_over(name):
            path.rmdir()
        if not opened:
            made.close()
        with pytest.raises((SystemCallError, StateError)):
            made.thaw()
        made.thaw_if_there()
        made.kill_all()
        assert made.pids(recursive=True) == []
        assert not made.frozen()

    view(body)
