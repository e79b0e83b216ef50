from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from containers import Pyoci
from host_mounts import HostMounts


@pytest.fixture
def host(pyoci: Pyoci, directory: Path) -> Iterator[HostMounts]:
    """Mounts of the host, in `directory`; unmounted before it is looked whether the runtime left any."""
    mounts = HostMounts(directory)
    yield mounts
    for point in reversed(mounts.points):
        subprocess.run(["umount", "-R", "-l", point], check=False, capture_output=True)
