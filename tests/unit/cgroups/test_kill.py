"""Signals to all processes of a container: to none that has come to have the pid of one."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator

import pytest

from oci_runtime.linux.cgroups import kill


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen(["sleep", "60"])
    yield child
    child.kill()
    child.wait()


def test_members_get_the_signal(process: subprocess.Popen[bytes]) -> None:
    kill.send(lambda: [process.pid], signal.SIGTERM)
    assert process.wait(timeout=10) == -signal.SIGTERM


def test_who_has_the_pid_but_is_no_member_gets_none(process: subprocess.Popen[bytes]) -> None:
    """It was one when the list was read; by the time of the signal the pid is another's."""
    lists = iter([[process.pid], []])
    kill.send(lambda: next(lists), signal.SIGKILL)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=0.2)


def test_who_has_ended_is_passed_over(process: subprocess.Popen[bytes]) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    kill.send(lambda: [ended.pid, process.pid], signal.SIGTERM)
    assert process.wait(timeout=10) == -signal.SIGTERM


def test_more_than_there_may_be_descriptors() -> None:
    children = [subprocess.Popen(["sleep", "60"]) for _ in range(300)]
    try:
        before = os.listdir("/proc/self/fd")
        kill.send(lambda: [child.pid for child in children], signal.SIGTERM)
        assert [child.wait(timeout=10) for child in children] == [-signal.SIGTERM] * 300
        assert os.listdir("/proc/self/fd") == before
    finally:
        for child in children:
            child.kill()
            child.wait()
