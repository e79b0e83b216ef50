"""The engines' own view of cgroups: what they make beside the host's hierarchies of version 1 is theirs alone."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from .cleanup import CGROUP_ROOT
from .podman import Podman


@pytest.mark.skipif(not os.path.ismount(CGROUP_ROOT / "unified"), reason="version 2 alone has no place beside it")
def test_what_podman_makes_beside_the_hierarchies_is_its_own(podman: Podman) -> None:
    """Without the view it stays on the host, and podman takes it for a controller from then on."""
    made = CGROUP_ROOT / "not_a_controller"
    subprocess.run(podman.inside("mkdir", str(made)), check=True)
    try:
        assert not made.exists()
        shown = subprocess.run(podman.inside("ls", str(CGROUP_ROOT)), check=True, capture_output=True, text=True).stdout
        hierarchies = {entry.name for entry in CGROUP_ROOT.iterdir() if entry.is_symlink() or os.path.ismount(entry)}
        assert set(shown.split()) == hierarchies | {made.name}
        assert (
            podman.sh("cat /proc/self/cgroup | wc -l") == f"{len(Path('/proc/self/cgroup').read_text().splitlines())}"
        )
    finally:
        subprocess.run(podman.inside("rmdir", str(made)), check=True)
