"""Processes by pid: what cannot be looked at has not ended."""

from __future__ import annotations

import errno
import os
import posix
import resource
from collections.abc import Callable

import pytest

from oci_runtime.errors import PyociError
from oci_runtime.linux import processes


def refuse(number: int) -> Callable[..., int]:
    def refused(*_: object, **__: object) -> int:
        raise OSError(number, os.strerror(number))

    return refused


@pytest.mark.parametrize("call", ["open", "read"])
@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENOMEM, errno.EIO, errno.EACCES])
def test_who_cannot_look_says_so(monkeypatch: pytest.MonkeyPatch, call: str, number: int) -> None:
    started = processes.start_time(os.getpid())
    monkeypatch.setattr(posix, call, refuse(number))
    with pytest.raises(PyociError, match=rf"cannot read /proc/{os.getpid()}/stat: "):
        processes.is_alive(os.getpid(), started)


@pytest.mark.parametrize("call", ["open", "read"])
@pytest.mark.parametrize("number", [errno.ENOENT, errno.ESRCH])
def test_who_is_not_there_has_ended(monkeypatch: pytest.MonkeyPatch, call: str, number: int) -> None:
    started = processes.start_time(os.getpid())
    monkeypatch.setattr(posix, call, refuse(number))
    assert not processes.is_alive(os.getpid(), started)


def test_a_pidfd_that_cannot_be_had() -> None:
    started = processes.start_time(os.getpid())
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, before[1]))
    try:
        with pytest.raises(PyociError, match="cannot get hold of process"):
            processes.open_process(os.getpid(), started)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
