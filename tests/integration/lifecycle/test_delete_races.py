"""`delete --force`, and what could keep a container from ending: another command with its lock, its own freezer."""

from __future__ import annotations

import fcntl
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from containers import Bundle, Pyoci, wait_for

from oci_runtime.lifecycle import delete
from oci_runtime.linux.processes import start_time, wait_for_end


def test_death_is_waited_for_with_the_lock(bundle: Bundle, pyoci: Pyoci, monkeypatch: pytest.MonkeyPatch) -> None:
    """`pause` has the lock, and has frozen the process (cgroup v1) between its SIGKILL and its end."""
    container = pyoci.run_detached(bundle.args("sleep", "100"))
    pid = container.pid
    lock = os.open(pyoci.root / container.id, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    locked = True

    def ends(pidfd: int, timeout: float) -> bool:
        return not locked and wait_for_end(pidfd, timeout)

    monkeypatch.setattr(delete, "wait_for_end", ends)
    with ThreadPoolExecutor(1) as threads:
        done = threads.submit(delete.delete, str(pyoci.root), container.id, True)
        try:
            wait_for(lambda: not start_time(pid))
        finally:
            locked = False
            os.close(lock)
        done.result()
    assert not (pyoci.root / container.id).exists()


def test_with_commands_that_pause(bundle: Bundle, pyoci: Pyoci) -> None:
    for _ in range(10):
        container = pyoci.run_detached(bundle.args("sleep", "100"))
        pausing = pyoci.spawn("pause", container.id)
        container.delete(force=True)
        pausing.wait(60)
        assert not (pyoci.root / container.id).exists()


FREEZER = Path("/sys/fs/cgroup/freezer")
FREEZE = """
cd /sys/fs/cgroup/freezer
mkdir own
sleep 100 &
echo $! > own/cgroup.procs
echo FROZEN > own/freezer.state
echo ready
sleep 100
"""


@pytest.mark.skipif(not os.path.ismount(FREEZER), reason="needs the freezer of cgroup v1")
@pytest.mark.parametrize("command", ["delete", "kill"])
def test_a_container_that_freezes_its_own(bundle: Bundle, pyoci: Pyoci, command: str) -> None:
    """What is frozen does not die, and the init of a pid namespace not before all in it have."""
    bundle.mount("/sys/fs/cgroup", "cgroup", "cgroup", ["rw"]).capabilities("CAP_SYS_ADMIN")
    container = pyoci.run_detached(bundle.shell(FREEZE)).expect("ready")
    if command == "kill":
        container.kill()
        container.wait()
    container.delete(force=command == "delete")
    assert not (pyoci.root / container.id).exists()
