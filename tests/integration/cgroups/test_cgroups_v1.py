"""cgroup v1 as this host has it, with a v2 tree beside it."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cgroup_support import (
    BASE,
    Child,
    clone_into,
    destroy,
    hierarchies,
    in_mount_namespace,
    left_over,
    needs_v1,
    run_inside,
    v1_has,
    v1_only,
)
from containers import cgroups_of

from oci_runtime._shim import lib
from oci_runtime.errors import PyociError, SpecError, StateError, SystemCallError, UsageError
from oci_runtime.linux.cgroups import manager
from oci_runtime.linux.cgroups.manager import Manager

pytestmark = v1_only

Make = Callable[..., Manager]
MakeChild = Callable[..., Child]


def restored(made: Manager) -> Manager:
    return manager.from_state(json.loads(json.dumps(made.to_state())))


def value(controller: str, name: str, file: str) -> str:
    return (BASE / controller / name / file).read_text().strip()


class TestPlace:
    def test_new_touches_nothing(self, name: str) -> None:
        made = manager.new(f"/{name}", name, None)
        assert left_over(name) == []
        assert not made.exists()
        made.close()

    def test_absolute_path_starts_at_every_mount(self, name: str, created: Make) -> None:
        created()
        assert {path.parent for path in left_over(name)} == set(hierarchies())

    def test_default_is_below_the_runtimes_own_cgroup(self, name: str) -> None:
        made = manager.new(None, name, None)
        made.create()
        own = cgroups_of(os.getpid())
        assert made.path("pids") == os.path.normpath(f"{BASE}/pids/{own['pids']}/{name}")
        assert Path(made.path("pids")).is_dir()
        made.delete()
        assert left_over(name) == []

    def test_relative_path_is_below_the_runtimes_own_cgroup(self, name: str) -> None:
        made = manager.new(f"a/{name}", name, None)
        own = cgroups_of(os.getpid())
        assert made.path("pids") == os.path.normpath(f"{BASE}/pids/{own['pids']}/a/{name}")
        made.close()

    @pytest.mark.parametrize("path", ["/../../../NAME", "/x/../../NAME", "/./NAME//", "/NAME/y/.."])
    def test_path_cannot_leave_the_hierarchy(self, name: str, path: str) -> None:
        made = manager.new(path.replace("NAME", name), name, None)
        assert made.path("pids") == f"{BASE}/pids/{name}"
        made.close()

    @pytest.mark.parametrize("path", ["/", "/..", "/a\0b", "/a\nb"])
    def test_impossible_paths(self, name: str, path: str) -> None:
        with pytest.raises(SpecError, match="/linux/cgroupsPath"):
            manager.new(path, name, None)

    def test_recorded_path_cannot_leave_the_hierarchy(self) -> None:
        record = {"driver": "cgroupfs", "cgroups": [[1, "pids", "/sys/fs/cgroup/pids", "../../../tmp/x", 0]]}
        with pytest.raises(PyociError, match="invalid"):
            manager.from_state(record)

    def test_recorded_mount_that_is_no_cgroup_filesystem(self, tmp_path: Path) -> None:
        (tmp_path / "x").mkdir()
        record = {"driver": "cgroupfs", "cgroups": [[1, "pids", str(tmp_path), "x", 0]]}
        with pytest.raises(PyociError, match="not a cgroup filesystem"):
            manager.from_state(record).delete()
        assert (tmp_path / "x").is_dir()

    def test_unknown_driver(self, name: str) -> None:
        with pytest.raises(PyociError, match="driver"):
            manager.new(None, name, None, driver="other")


class TestRefusal:
    def test_cgroup_with_a_process(self, name: str, created: Make, child: MakeChild) -> None:
        created().add(child().pid)
        with pytest.raises(StateError, match="not empty"):
            manager.new(f"/{name}", name, None)

    def test_process_in_one_hierarchy_below(self, name: str, child: MakeChild) -> None:
        below = BASE / "pids" / name / "below"
        below.mkdir(parents=True)
        (below / "cgroup.procs").write_text(str(child().pid))
        with pytest.raises(StateError, match="not empty"):
            manager.new(f"/{name}", name, None)

    def test_frozen(self, name: str, created: Make) -> None:
        created().freeze()
        with pytest.raises(StateError, match="frozen"):
            manager.new(f"/{name}", name, None)

    def test_frozen_parent(self, name: str, created: Make) -> None:
        created().freeze()
        with pytest.raises(StateError, match="frozen"):
            manager.new(f"/{name}/below", name, None)

    def test_empty_one_is_taken(self, name: str, created: Make) -> None:
        created()
        again = manager.new(f"/{name}", name, None)
        again.create()
        again.delete()
        assert left_over(name) == []


class TestUnprivileged:
    def test_errors_are_ours(self, name: str, created: Make, child: MakeChild) -> None:
        """What a user may not do is said in one line, and never escapes as an exception of Python's."""
        privileged, process = created(path=f"/{name}/a"), child()
        privileged.add(process.pid)
        record = privileged.to_state()

        def body() -> int:
            os.setgroups([])
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
            made = manager.new(f"/{name}/b", name, None)
            with pytest.raises(SystemCallError, match=r"cannot create.*/linux/cgroupsPath.*Permission"):
                made.create()
            made.delete()
            theirs = manager.from_state(record)
            assert theirs.pids() == [process.pid]
            forbidden: list[Callable[[], object]] = [
                theirs.kill_all,
                theirs.freeze,
                theirs.delete,
                theirs.tasks_fds,
                lambda: theirs.signal_all(signal.SIGTERM),
                lambda: theirs.add(os.getpid()),
                lambda: theirs.apply({"pids": {"limit": 5}}),
            ]
            for action in forbidden:
                with pytest.raises(SystemCallError, match=r"Permission|permitted"):
                    action()
            return 0

        assert Child(body).run() == 0
        assert process.alive()


class TestProcesses:
    def test_add(self, name: str, created: Make, child: MakeChild) -> None:
        made, process = created(), child()
        made.add(process.pid)
        assert set(cgroups_of(process.pid).values()) == {f"/{name}"}
        assert made.pids() == restored(made).pids() == [process.pid]

    def test_process_that_joins_by_itself(self, name: str, created: Make) -> None:
        made = created()
        tasks, tree = made.tasks_fds(), made.v2_dir_fd()
        assert tree is not None
        out, into = os.pipe()

        def body() -> int:
            for fd in tasks:
                os.write(fd, b"0")
            os.write(into, Path("/proc/self/cgroup").read_bytes())
            return 0

        pid = clone_into(tree, body)
        assert os.waitpid(pid, 0)[1] == 0
        found = {line.split(":", 2)[2] for line in os.read(out, 65536).decode().splitlines()}
        for fd in (out, into, *tasks):
            os.close(fd)
        assert found == {f"/{name}"}

    def test_joining_from_a_user_namespace(self, name: str, created: Make) -> None:
        """What counts is who opened the files, not what the process has become since."""
        tasks = created().tasks_fds()

        def body() -> int:
            assert lib.sys_unshare(0x10000000) == 0  # CLONE_NEWUSER
            for fd in tasks:
                os.write(fd, b"0")
            return 0 if cgroups_of(os.getpid())["pids"] == f"/{name}" else 1

        assert Child(body).run() == 0
        for fd in tasks:
            os.close(fd)

    def test_joining_alone_is_fast(self, created: Make) -> None:
        """What tasks_fds() is for: no RCU grace period, which takes milliseconds."""
        tasks = created().tasks_fds()
        out, into = os.pipe()

        def body() -> int:
            start = time.perf_counter()
            for fd in tasks:
                os.write(fd, b"0")
            os.write(into, str(time.perf_counter() - start).encode())
            return 0

        fastest = 1.0
        for _ in range(5):
            time.sleep(0.1)  # in which the effect of an earlier grace period passes
            Child(body).run()
            fastest = min(fastest, float(os.read(out, 100)))
        for fd in (out, into, *tasks):
            os.close(fd)
        assert fastest < 0.002

    def test_pids_of_child_cgroups(self, name: str, created: Make, child: MakeChild) -> None:
        made, one, two = created(), child(), child()
        made.add(one.pid)
        below = BASE / "devices" / name / "a" / "b"
        below.mkdir(parents=True)
        (below / "cgroup.procs").write_text(str(two.pid))
        assert made.pids(recursive=False) == [one.pid]
        assert made.pids(recursive=True) == sorted([one.pid, two.pid])

    def test_freeze_and_thaw(self, created: Make, child: MakeChild) -> None:
        made, process = created(), child(lambda: 7)
        made.add(process.pid)
        assert not made.frozen()
        made.freeze()
        assert restored(made).frozen()
        os.write(process._go, b"x")
        time.sleep(0.05)
        assert process.alive()
        made.thaw()
        assert not made.frozen()
        assert process.wait() == 7

    def test_kill_all(self, created: Make, child: MakeChild) -> None:
        made, processes = created(), [child() for _ in range(3)]
        for process in processes:
            made.add(process.pid)
        restored(made).kill_all()
        assert [process.wait() for process in processes] == [-signal.SIGKILL] * 3

    def test_kill_all_of_a_frozen_one(self, created: Make, child: MakeChild) -> None:
        made, process = created(), child()
        made.add(process.pid)
        made.freeze()
        restored(made).kill_all()
        assert process.wait() == -signal.SIGKILL
        made.delete()

    def test_kill_all_of_what_is_frozen_below(self, name: str, created: Make, child: MakeChild) -> None:
        """A container that may write to its freezer freezes some of its own."""
        made, process = created(), child()
        made.add(process.pid)
        below = BASE / "freezer" / name / "a" / "b"
        below.mkdir(parents=True)
        (below / "cgroup.procs").write_text(str(process.pid))
        (below / "freezer.state").write_text("FROZEN")
        restored(made).kill_all()
        assert process.wait() == -signal.SIGKILL
        made.delete()

    def test_kill_all_reaches_a_process_that_is_only_in_v1(self, name: str, created: Make, child: MakeChild) -> None:
        made, process, other = created(), child(), child()
        for process_ in (process, other):
            made.add(process_.pid)
        (BASE / "unified/cgroup.procs").write_text(str(process.pid))
        restored(made).kill_all()
        assert process.wait() == other.wait() == -signal.SIGKILL

    def test_signal_all(self, created: Make, child: MakeChild) -> None:
        made, process = created(), child()
        made.add(process.pid)
        made.signal_all(signal.SIGTERM)
        assert process.wait() == -signal.SIGTERM

    def test_signal_all_leaves_a_frozen_one_frozen(self, created: Make, child: MakeChild) -> None:
        made, process = created(), child()
        made.add(process.pid)
        made.freeze()
        made.signal_all(signal.SIGTERM)
        assert made.frozen()
        assert process.alive()
        made.thaw()
        assert process.wait() == -signal.SIGTERM

    @pytest.mark.parametrize("opened", [True, False])
    def test_removed_by_another_command_while_frozen(self, name: str, created: Make, opened: bool) -> None:
        """There is nothing to thaw or kill any more, whether it was opened before or is to be opened now."""
        made = created()
        made.freeze()
        made.pids(recursive=True)
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

    def test_fork_bomb_dies(self, created: Make, child: MakeChild) -> None:
        made = created({"pids": {"limit": 30}, "devices": [{"allow": True, "access": "rwm"}]})

        def bomb() -> int:
            while True:
                try:
                    os.fork()
                except OSError:
                    time.sleep(0.001)

        process = child(bomb)
        made.add(process.pid)
        os.write(process._go, b"x")
        time.sleep(0.2)
        assert len(made.pids()) > 5
        restored(made).kill_all()
        assert process.wait() == -signal.SIGKILL
        made.delete()

    def test_nothing_there(self, created: Make, child: MakeChild) -> None:
        made = created()
        made.delete()
        gone = restored(made)
        assert not gone.exists()
        assert gone.pids() == []
        assert not gone.frozen()
        gone.kill_all()
        gone.signal_all(signal.SIGTERM)
        gone.delete()
        with pytest.raises(StateError):
            gone.add(child().pid)


class TestExec:
    def test_without_arguments(self, name: str, created: Make, child: MakeChild) -> None:
        made, process = created(), child()
        restored(made).join_exec(process.pid)
        assert set(cgroups_of(process.pid).values()) == {f"/{name}"}

    @pytest.mark.parametrize("lost", ["systemd", "unified"])
    def test_where_the_container_has_no_cgroup(self, name: str, created: Make, child: MakeChild, lost: str) -> None:
        """create() does without hierarchies that limit nothing, so exec does. Of others it takes init's cgroup."""
        made, init = created(), child()
        made.add(init.pid)
        for hierarchy in (lost, "pids"):
            (BASE / hierarchy / f"{name}-other").mkdir()
            (BASE / hierarchy / f"{name}-other/cgroup.procs").write_text(str(init.pid))
            (BASE / hierarchy / name).rmdir()

        def body() -> None:
            later = restored(made)
            later.follow(init.pid)
            fds = later.tasks_fds()
            assert len(fds) == len(hierarchies()) - 1 - (lost == "systemd")
            for fd in fds:
                os.close(fd)

        try:
            in_mount_namespace([["mount", "-o", "remount,bind,ro", str(BASE / lost)]], body)
            later = restored(made)
            later.follow(init.pid)
            process = child()
            later.join_exec(process.pid, None, init.pid)
            assert cgroups_of(process.pid) == cgroups_of(init.pid)
            later.close()
        finally:
            destroy(f"{name}-other")

    def test_nobody_follows_who_is_gone(self, name: str, created: Make, child: MakeChild) -> None:
        made = created()
        (BASE / "devices" / name).rmdir()
        at_the_root = child()
        (BASE / "devices/cgroup.procs").write_text(str(at_the_root.pid))
        with pytest.raises(SystemCallError, match=r"devices.* is gone, and that of process"):
            restored(made).follow(2**22)
        with pytest.raises(SystemCallError, match=r"devices.* is gone"):
            restored(made).follow(at_the_root.pid)  # where all devices may be used

    def test_one_controller(self, name: str, created: Make, child: MakeChild) -> None:
        made, process = created(), child()
        (BASE / "pids" / name / "below").mkdir()
        made.join_exec(process.pid, {"pids": "below"})
        found = cgroups_of(process.pid)
        assert found.pop("pids") == f"/{name}/below"
        assert set(found.values()) == {f"/{name}"}

    def test_all_controllers_by_itself(self, name: str, created: Make) -> None:
        made = created()
        for root in hierarchies():
            (root / name / "below").mkdir()
        for file in ("cpuset.cpus", "cpuset.mems") if v1_has("cpuset") else ():
            (BASE / "cpuset" / name / "below" / file).write_text(value("cpuset", name, file))
        tasks, tree = made.tasks_fds({"": "below"}), made.v2_dir_fd({"": "/below"})
        assert tree is not None
        out, into = os.pipe()

        def body() -> int:
            for fd in tasks:
                os.write(fd, b"0")
            os.write(into, Path("/proc/self/cgroup").read_bytes())
            return 0

        pid = clone_into(tree, body)
        assert os.waitpid(pid, 0)[1] == 0
        found = {line.split(":", 2)[2] for line in os.read(out, 65536).decode().splitlines()}
        for fd in (out, into, tree, *tasks):
            os.close(fd)
        assert found == {f"/{name}/below"}

    @pytest.mark.parametrize("paths", [{"pids": "../x"}, {"": "../x"}, {"nothing": "x"}])
    def test_wrong_paths(self, created: Make, child: MakeChild, paths: dict[str, str]) -> None:
        process = child()
        with pytest.raises(UsageError, match="--cgroup"):
            created().join_exec(process.pid, paths)

    def test_cgroup_that_does_not_exist(self, created: Make, child: MakeChild) -> None:
        process = child()
        before = cgroups_of(process.pid)
        with pytest.raises(SystemCallError, match="nowhere"):
            created().join_exec(process.pid, {"pids": "nowhere"})
        assert cgroups_of(process.pid) == before


class TestDelete:
    def test_leaves_nothing_and_can_be_repeated(self, name: str, created: Make) -> None:
        made = restored(created())
        made.delete()
        assert left_over(name) == []
        made.delete()

    def test_child_cgroups(self, name: str, created: Make) -> None:
        made = created()
        for root in hierarchies():
            for below in ("a/b/c", "a/d", "e"):
                (root / name / below).mkdir(parents=True)
        restored(made).delete()
        assert left_over(name) == []

    def test_deeper_than_the_interpreter_can_recurse_and_a_path_can_be_long(self, name: str, created: Make) -> None:
        made = created()
        here = os.open(BASE / "systemd" / name, os.O_RDONLY)
        for _ in range(2500):
            os.mkdir("dd", dir_fd=here)
            below = os.open("dd", os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
        os.close(here)
        restored(made).delete()
        assert left_over(name) == []

    def test_waits_for_the_dying(self, created: Make, name: str, child: MakeChild) -> None:
        made = created()

        def big() -> int:
            memory = bytearray(200 << 20)
            memory[::4096] = b"x" * len(memory[::4096])
            signal.pause()
            return 0

        process = child(big)
        made.add(process.pid)
        os.write(process._go, b"x")
        time.sleep(0.2)
        made.kill_all()
        made.delete()
        assert left_over(name) == []

    def test_gives_up_on_the_living(self, name: str, created: Make, child: MakeChild) -> None:
        made, process = created(), child()
        made.add(process.pid)
        cpu = time.process_time()
        with pytest.raises(PyociError, match=str(process.pid)):
            made.delete(timeout=0.5)
        assert time.process_time() - cpu < 0.25, "it must not spin"
        assert process.alive()

    def test_ancestors_made_for_it_go_and_others_stay(self, name: str) -> None:
        (BASE / "pids" / name).mkdir()
        made = manager.new(f"/{name}/a/b", name, None)
        made.create()
        restored(made).delete()
        assert left_over(name) == [BASE / "pids" / name]
        assert list((BASE / "pids" / name).glob("*/")) == []

    @pytest.mark.parametrize("below", ["a", "a/b/c"])
    def test_ancestor_that_others_remove_before_create(self, name: str, below: str) -> None:
        for root in hierarchies():
            (root / name).mkdir()
        made = manager.new(f"/{name}/{below}", name, None)
        for root in hierarchies():
            (root / name).rmdir()
        made.create()
        assert all((root / name / below).is_dir() for root in hierarchies())
        made.delete()

    def test_ancestor_that_others_make_before_create(self, name: str) -> None:
        made = manager.new(f"/{name}/a/b", name, None)
        for root in hierarchies():
            (root / name).mkdir()
        made.create()
        made.delete()
        assert left_over("a") == []

    def test_ancestor_in_use_by_others_stays(self, name: str) -> None:
        made = manager.new(f"/{name}/a", name, None)
        made.create()
        other = manager.new(f"/{name}/b", name, None)
        other.create()
        made.delete()
        assert other.exists()
        other.delete()
        assert len(left_over(name)) == len(hierarchies())  # b found them in place

    @pytest.mark.parametrize("steps", range(0, 31, 3))
    def test_after_a_crash_anywhere(self, name: str, steps: int) -> None:
        """create() is killed after so many cgroups; what was recorded before finds them all."""
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
        made.close()
        manager.from_state(json.loads(record)).delete()
        assert left_over(name) == []


class TestLimits:
    def test_pids(self, created: Make) -> None:
        made = created({"pids": {"limit": 3}})

        def forks() -> int:
            for count in range(10):
                try:
                    if os.fork() == 0:
                        time.sleep(0.3)
                        os._exit(0)
                except BlockingIOError:  # EAGAIN
                    return count
            return 50

        assert run_inside(made, forks) == 2
        made.kill_all()

    @pytest.mark.parametrize(("limit", "written"), [(-1, "max"), (0, "1"), (7, "7")])
    def test_pids_values(self, name: str, created: Make, limit: int, written: str) -> None:
        created({"pids": {"limit": limit}})
        assert value("pids", name, "pids.max") == written

    @needs_v1("memory")
    def test_memory(self, created: Make) -> None:
        made = created({"memory": {"limit": 32 << 20, "swap": 32 << 20}})

        def eats(megabytes: int) -> int:
            memory = bytearray(megabytes << 20)
            memory[::4096] = b"x" * len(memory[::4096])
            return 0

        assert run_inside(made, lambda: eats(4)) == 0
        assert made.oom_kills() == 0
        assert run_inside(made, lambda: eats(100)) == -signal.SIGKILL
        assert restored(made).oom_kills() == 1

    @needs_v1("memory")
    def test_memory_files(self, name: str, created: Make) -> None:
        mib = 1 << 20
        created(
            {
                "memory": {
                    "limit": 64 * mib, "swap": 96 * mib, "reservation": 32 * mib, "swappiness": 10,
                    "disableOOMKiller": True, "useHierarchy": True, "kernelTCP": 16 * mib, "checkBeforeUpdate": True,
                }
            }
        )  # fmt: skip
        assert int(value("memory", name, "memory.limit_in_bytes")) == 64 * mib
        assert int(value("memory", name, "memory.memsw.limit_in_bytes")) == 96 * mib
        assert int(value("memory", name, "memory.soft_limit_in_bytes")) == 32 * mib
        assert int(value("memory", name, "memory.kmem.tcp.limit_in_bytes")) == 16 * mib
        assert value("memory", name, "memory.swappiness") == "10"
        assert "oom_kill_disable 1" in value("memory", name, "memory.oom_control")

    @needs_v1("memory")
    @pytest.mark.parametrize(
        ("limit", "swap"), [(32, 64), (256, 512), (64, 64), (512, 1024), (16, 16), (-1, -1), (100, -1), (-1, None)]
    )
    def test_memory_update_in_either_direction(self, name: str, created: Make, limit: int, swap: int | None) -> None:
        made = created({"memory": {"limit": 64 << 20, "swap": 128 << 20}})

        def size(number: int) -> int:
            return number if number < 0 else number << 20

        memory = {"limit": size(limit)} | ({} if swap is None else {"swap": size(swap)})
        made.apply({"memory": memory}, devices=False)  # type: ignore[arg-type]

        def matches(file: str, number: int) -> bool:
            found = int(value("memory", name, file))
            return found > 1 << 60 if number < 0 else found == number << 20

        assert matches("memory.limit_in_bytes", limit)
        assert matches("memory.memsw.limit_in_bytes", limit if swap is None else swap)

    @needs_v1("memory")
    def test_memory_below_usage(self, created: Make, child: MakeChild) -> None:
        made = created()
        memory = bytearray(0)

        def eats() -> int:
            nonlocal memory
            memory = bytearray(64 << 20)
            memory[::4096] = b"x" * len(memory[::4096])
            signal.pause()
            return 0

        process = child(eats)
        made.add(process.pid)
        os.write(process._go, b"x")
        time.sleep(0.3)
        with pytest.raises(SystemCallError, match=r"current usage \d+.*/linux/resources/memory/limit.*busy"):
            made.apply({"memory": {"limit": 8 << 20}}, devices=False)

    def test_cpu_files(self, name: str, created: Make) -> None:
        cpu = {"shares": 512, "quota": 50000, "period": 200000, "burst": 10000}
        created({"cpu": cpu})
        assert value("cpu", name, "cpu.shares") == "512"
        assert value("cpu", name, "cpu.cfs_quota_us") == "50000"
        assert value("cpu", name, "cpu.cfs_period_us") == "200000"
        assert value("cpu", name, "cpu.cfs_burst_us") == "10000"

    @needs_v1("cpuset")
    def test_cpuset_files(self, name: str, created: Make) -> None:
        created({"cpu": {"cpus": "0", "mems": "0"}})
        assert value("cpuset", name, "cpuset.cpus") == "0"
        assert value("cpuset", name, "cpuset.mems") == "0"

    def test_cpu_idle(self, name: str, created: Make) -> None:
        made = created({"cpu": {"shares": 700, "idle": 1}})
        assert value("cpu", name, "cpu.idle") == "1"
        made.apply({"cpu": {"shares": 800, "idle": 0}}, devices=False)
        assert value("cpu", name, "cpu.idle") == "0"
        assert value("cpu", name, "cpu.shares") == "800"

    def test_cpu_period_and_quota_bound_each_other(self, name: str, created: Make) -> None:
        made = created({"cpu": {"quota": 900000, "period": 1000000}})
        below = manager.new(f"/{name}/below", name, None)
        below.create()
        below.apply({"cpu": {"quota": 800000, "period": 1000000}}, devices=False)
        below.apply({"cpu": {"quota": 4000, "period": 5000}}, devices=False)
        assert value("cpu", f"{name}/below", "cpu.cfs_period_us") == "5000"
        assert made.exists()

    @pytest.mark.skipif(not (BASE / "cpu/cpu.rt_runtime_us").exists(), reason="a kernel without CONFIG_RT_GROUP_SCHED")
    def test_realtime(self, name: str, created: Make) -> None:
        made = created({"cpu": {"realtimeRuntime": 10000, "realtimePeriod": 500000}})
        assert value("cpu", name, "cpu.rt_runtime_us") == "10000"
        assert value("cpu", name, "cpu.rt_period_us") == "500000"

        def realtime() -> int:
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
            return 0

        assert run_inside(made, realtime) == 0

    def test_cpuset_bites(self, created: Make) -> None:
        made = created({"cpu": {"cpus": "1"}})
        assert run_inside(made, lambda: 0 if os.sched_getaffinity(0) == {1} else 1) == 0

    @needs_v1("cpuset")
    def test_cpuset_is_inherited(self, name: str, created: Make) -> None:
        created(path=f"/{name}/a/b")
        for path in (name, f"{name}/a", f"{name}/a/b"):
            assert value("cpuset", path, "cpuset.cpus") == value("cpuset", "", "cpuset.cpus")
            assert value("cpuset", path, "cpuset.mems") == value("cpuset", "", "cpuset.mems")

    @needs_v1("cpuset")
    def test_cpuset_of_parents_left_empty_by_others(self, name: str, created: Make) -> None:
        (BASE / "cpuset" / name / "a").mkdir(parents=True)
        made = created(path=f"/{name}/a/b")
        assert run_inside(made, lambda: 0) == 0

    def test_blkio_files(self, name: str, created: Make) -> None:
        number = Path("/sys/block").iterdir()
        device = next((disk / "dev").read_text().strip() for disk in number if (disk / "dev").exists())
        major, minor = map(int, device.split(":"))
        rate = {"major": major, "minor": minor, "rate": 1048576}
        made = created({"blockIO": {"throttleReadBpsDevice": [rate], "throttleWriteIOPSDevice": [rate]}})
        if (BASE / "blkio" / name / "blkio.bfq.weight").exists():
            made.apply({"blockIO": {"weight": 300}}, devices=False)
            assert "300" in value("blkio", name, "blkio.bfq.weight")
        else:
            with pytest.raises(PyociError, match=r"/blockIO/weight: this kernel has no blkio\.bfq\.weight"):
                made.apply({"blockIO": {"weight": 300}}, devices=False)
        assert value("blkio", name, "blkio.throttle.read_bps_device") == f"{device} 1048576"
        assert value("blkio", name, "blkio.throttle.write_iops_device") == f"{device} 1048576"
        made.apply({"blockIO": {"throttleReadBpsDevice": [rate | {"rate": 0}]}}, devices=False)  # type: ignore[arg-type]
        assert value("blkio", name, "blkio.throttle.read_bps_device") == ""

    @pytest.mark.skipif(v1_has("hugetlb"), reason="this host has hugetlb in v1")
    def test_hugetlb_in_the_v2_tree(self, name: str, created: Make) -> None:
        created({"hugepageLimits": [{"pageSize": "2MB", "limit": 4 << 20}]})
        assert int(value("unified", name, "hugetlb.2MB.max")) == 4 << 20
        assert int(value("unified", name, "hugetlb.2MB.rsvd.max")) == 4 << 20

    @pytest.mark.parametrize(
        ("resources", "pointer"),
        [
            ({"unified": {"memory.max": "1"}}, "/linux/resources/unified"),
            ({"rdma": {"mlx": {"hcaHandles": 3}}}, "/linux/resources/rdma/mlx"),
            ({"blockIO": {"leafWeight": 100}}, "/linux/resources/blockIO/leafWeight"),
            ({"hugepageLimits": [{"pageSize": "3MB", "limit": 1}]}, "/linux/resources/hugepageLimits/0"),
            ({"cpu": {"shares": 1}}, "/linux/resources/cpu/shares"),
            ({"cpu": {"realtimeRuntime": 99999999}}, "/linux/resources/cpu/realtimeRuntime"),
            ({"memory": {"swappiness": 101}}, "/linux/resources/memory/swappiness"),
            ({"memory": {"limit": 64 << 20, "swap": 32 << 20}}, "/linux/resources/memory/swap"),
            ({"memory": {"useHierarchy": False}}, "/linux/resources/memory/useHierarchy"),
            ({"devices": [{"allow": True, "type": "x", "access": "r"}]}, "/linux/resources/devices/0/type"),
            ({"devices": [{"allow": True}]}, "/linux/resources/devices/0/access"),
        ],
    )
    def test_what_cannot_be_done_is_said(
        self, name: str, created: Make, resources: dict[str, object], pointer: str
    ) -> None:
        made = created()
        with pytest.raises(PyociError) as caught:
            made.apply(resources)  # type: ignore[arg-type]
        assert pointer in str(caught.value)
        assert "\n" not in str(caught.value)

    @pytest.mark.skipif(v1_has("net_cls"), reason="this host has net_cls and net_prio")
    @pytest.mark.parametrize(
        ("network", "pointer"),
        [({"classID": 5}, "classID"), ({"priorities": [{"name": "lo", "priority": 1}]}, "priorities/0")],
    )
    def test_a_controller_that_is_not_there(self, created: Make, network: dict[str, object], pointer: str) -> None:
        with pytest.raises(PyociError, match=f"^/linux/resources/network/{pointer}: .*net_(cls|prio)"):
            created({"network": network})

    @needs_v1("cpuset")
    def test_cpus_that_do_not_exist(self, name: str) -> None:
        made = manager.new(f"/{name}", name, {"cpu": {"cpus": "1000"}})
        with pytest.raises(SystemCallError, match="/linux/resources/cpu/cpus"):
            made.create()
        made.delete()
        assert left_over(name) == []


class TestMounts:
    def test_bind(self, name: str, created: Make) -> None:
        mounts = created().mounts_for_container(private_namespace=False)
        assert mounts.version == 1
        assert {m.name: m.source for m in mounts.hierarchies} == {
            path.name: f"{path}/{name}" for path in hierarchies() if path.name != "unified"
        }
        together = {m.name: tuple(m.name.split(",")) for m in mounts.hierarchies if "," in m.name}
        assert all(m.data == "" and m.links == together.get(m.name, ()) for m in mounts.hierarchies)

    def test_private(self, created: Make) -> None:
        mounts = {m.name: m for m in created().mounts_for_container(private_namespace=True).hierarchies}
        assert (mounts["systemd"].source, mounts["systemd"].data) == ("systemd", "name=systemd")
        assert (mounts["pids"].source, mounts["pids"].data) == ("cgroup", "pids")
