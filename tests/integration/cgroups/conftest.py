from __future__ import annotations

import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cgroup_support import Child, destroy

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
def disk(directory: Path) -> Iterator[Path]:
    """A block device of 16 MiB."""
    image = directory / "disk"
    image.write_bytes(bytes(16 << 20))
    attach = ["losetup", "--find", "--show", str(image)]
    device = subprocess.run(attach, check=True, capture_output=True, text=True).stdout.strip()
    yield Path(device)
    subprocess.run(["losetup", "--detach", device], check=True)
