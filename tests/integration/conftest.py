"""Fixtures for tests with real containers. The classes, and what they offer, are in containers.py.

    def test_hostname(bundle: Bundle, pyoci: Pyoci) -> None:
        bundle.config["hostname"] = "box"
        assert pyoci.run(bundle.args("hostname")).out == "box\\n"

directory    a new directory with a short path (sockets fit below it), passable for users of a user namespace
bundle       a Bundle in it: config.json as the dict bundle.config, a root filesystem with busybox; made anew each test
new_bundle   makes further bundles
pyoci        a Pyoci, the runtime with a state root in `directory`. pyoci.run(bundle) runs to the end and gives the exit
             code and output; pyoci.create(bundle) and pyoci.run_detached(bundle) give a Container with start(), exec(),
             kill(), wait(), expect(text), state, status, pid, output; pyoci("list", …) is any command
pyoci_v2     the same, on a host of cgroup v2 alone
pyoci_noexec the same, where no memory files are executed; in a pid namespace, by the pids of which it goes

After each test all containers are deleted by force, and the test fails if a process, cgroup or mount is left.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from containers import CGROUP_ROOT, Bundle, Pyoci
from memfd_noexec import memfd_noexec


@pytest.fixture
def directory() -> Iterator[Path]:
    """A new directory."""
    path = Path(tempfile.mkdtemp(prefix="pyoci-"))
    path.chmod(0o755)
    yield path
    inside = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if f" {path}/" in line]
    assert not inside, f"not removed, since there are mounts in it: {inside}"
    shutil.rmtree(path)


@pytest.fixture
def new_bundle(directory: Path) -> Callable[[str], Bundle]:
    """Makes a bundle by the name given."""
    return lambda name: Bundle(directory / name)


@pytest.fixture
def bundle(directory: Path) -> Bundle:
    """A bundle."""
    return Bundle(directory / "bundle")


@pytest.fixture
def pyoci(directory: Path) -> Iterator[Pyoci]:
    """The runtime; it is an error if something is left when its containers have been deleted."""
    if os.geteuid() != 0:
        pytest.skip("these containers are run as root")
    runtime = Pyoci(directory)
    assert os.access(runtime.executable, os.X_OK), f"no runtime at {runtime.executable}: build it, or name one in PYOCI"
    yield runtime
    left = runtime.close()
    assert not left, "left behind: " + "\n".join(left)


@pytest.fixture
def pyoci_v2(directory: Path, pyoci: Pyoci) -> Pyoci:
    """The runtime in a mount namespace where /sys/fs/cgroup is a cgroup2; `pyoci` cleans up."""
    script = directory / "pyoci-v2"
    command = f'mount -t cgroup2 none {CGROUP_ROOT} && exec {pyoci.executable} "$@"'
    script.write_text(f"#!/bin/sh\nexec unshare -m --propagation private sh -c '{command}' sh \"$@\"\n")
    script.chmod(0o755)
    pyoci.executable = str(script)
    return pyoci


@pytest.fixture
def pyoci_noexec(directory: Path, pyoci: Pyoci) -> Iterator[Pyoci]:
    """The runtime in a pid namespace with vm.memfd_noexec=2."""
    usual = pyoci.executable
    with memfd_noexec() as enter:
        script = directory / "pyoci-noexec"
        script.write_text(f'#!/bin/sh\nexec {" ".join(enter)} {usual} "$@"\n')
        script.chmod(0o755)
        pyoci.executable = str(script)
        yield pyoci
        left = pyoci.close()
        pyoci.executable = usual
    assert not left, "left behind: " + "\n".join(left)
