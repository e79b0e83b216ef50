"""`delete --force` while another command has the container's lock."""

from __future__ import annotations

import fcntl
import os
from concurrent.futures import ThreadPoolExecutor

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
