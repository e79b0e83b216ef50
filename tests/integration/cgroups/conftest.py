from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cgroup_support import Child, destroy
from containers import CGROUP_ROOT, Pyoci

from oci_runtime.linux.cgroups import manager
from oci_runtime.linux.cgroups.manager import Manager


@pytest.fixture
def name() -> Iterator[str]:
    """A container id that is nobody else's; its cgroups are removed afterwards."""
    name = f"pyoci-test-{uuid.uuid4().hex[:12]}"
    yield name
    destroy(name)


@pytest.fixture
def child() -> Iterator[Callable[..., Child]]:
    """Makes waiting processes, and ends them."""
    children: list[Child] = []

    def make(body: Callable[[], int] | None = None) -> Child:
        children.append(Child(body))
        return children[-1]

    yield make
    for each in children:
        each.end()


@pytest.fixture
def created(name: str) -> Iterator[Callable[..., Manager]]:
    """Makes the cgroups of a container at /NAME, with resources."""
    managers: list[Manager] = []

    def make(resources: object = None, path: str | None = None) -> Manager:
        made = manager.new(path or f"/{name}", name, resources)  # type: ignore[arg-type]
        managers.append(made)
        made.create()
        made.apply(resources)  # type: ignore[arg-type]
        return made

    yield make
    for each in managers:
        each.close()


@pytest.fixture
def pyoci_v2(directory: Path, pyoci: Pyoci) -> Pyoci:
    """The runtime in a mount namespace where /sys/fs/cgroup is a cgroup2; `pyoci` cleans up."""
    script = directory / "pyoci-v2"
    command = f'mount -t cgroup2 none {CGROUP_ROOT} && exec {pyoci.executable} "$@"'
    script.write_text(f"#!/bin/sh\nexec unshare -m --propagation private sh -c '{command}' sh \"$@\"\n")
    script.chmod(0o755)
    pyoci.executable = str(script)
    return pyoci
