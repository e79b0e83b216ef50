"""Where no memory files are executed (sysctl vm.memfd_noexec=2) init is something else that nobody can write to."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from containers import Bundle, Container, Pyoci
from memfd_noexec import pid_on_the_host


def test_a_life(bundle: Bundle, pyoci_noexec: Pyoci) -> None:
    container = pyoci_noexec.create(bundle.shell("echo started; sleep 1000"))
    assert container.status == "created"
    assert container.start().expect("started").status == "running"
    assert container.exec("echo", "hi").out == "hi\n"
    container.kill()
    container.wait().delete()


@pytest.mark.parametrize("kind", ["new", "joined", "with others"])
def test_user_namespaces(new_bundle: Callable[[str], Bundle], pyoci_noexec: Pyoci, kind: str) -> None:
    first = new_bundle("first").user_namespace()
    if kind == "new":
        assert pyoci_noexec.run(first.args("id", "-u")).out == "0\n"
        return
    container = pyoci_noexec.run_detached(first.args("sleep", "1000"))
    assert container.exec("id", "-u").out == "0\n"
    second = new_bundle("second").user_namespace()
    del second.linux["uidMappings"], second.linux["gidMappings"]
    second.namespace("user", f"/proc/{container.pid}/ns/user")
    if kind == "with others":
        second.namespace("pid", f"/proc/{container.pid}/ns/pid")
    assert pyoci_noexec.run(second.args("id", "-u")).out == "0\n"


@pytest.fixture
def created(bundle: Bundle, pyoci_noexec: Pyoci) -> Container:
    return pyoci_noexec.create(bundle.args("true"))


def test_nobody_writes_to_init(created: Container, pyoci_noexec: Pyoci) -> None:
    """CVE-2019-5736: neither while it is executed nor afterwards, not even root of the host.

    Fails with a tmpfs that is not made read-only, sys_program_in_tmpfs() (shim.c).
    """
    enter = Path(pyoci_noexec.executable).read_text().splitlines()[1].removeprefix("exec ").split()
    pid = pid_on_the_host(enter, created.pid)
    exe = f"/proc/{pid}/exe"
    assert os.readlink(exe) == "/memfd:pyoci-init"
    init = os.open(exe, os.O_PATH)
    try:
        created.start().wait()
        again = f"/proc/self/fd/{init}"
        for change in (
            lambda: os.open(again, os.O_WRONLY),
            lambda: os.chmod(again, 0o777),
            lambda: os.chown(again, 1, 1),
            lambda: os.truncate(again, 0),
        ):
            with pytest.raises(OSError, match="Read-only file system"):
                change()
    finally:
        os.close(init)
