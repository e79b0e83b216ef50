from __future__ import annotations

import subprocess
from pathlib import Path


def mount(*argv: object) -> None:
    """mount(8); what it says when it fails is in the error."""
    done = subprocess.run(["mount", *map(str, argv)], capture_output=True, text=True)
    assert done.returncode == 0, f"mount {argv}: {done.stderr}"


class HostMounts:
    """Makes mounts on the host and remembers them."""

    __slots__ = ("directory", "points")

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.points: list[Path] = []

    def tmpfs(self, name: str | Path, options: str = "mode=755", propagation: str = "private") -> Path:
        """A tmpfs on `name` in the test's directory."""
        point = self.directory / name
        point.mkdir(parents=True, exist_ok=True)
        mount("-t", "tmpfs", "-o", options, "test", point)
        self.points.append(point)
        mount(f"--make-{propagation}", point)
        return point

    def bind(self, source: Path, point: Path) -> Path:
        """A bind mount."""
        mount("--bind", source, point)
        self.points.append(point)
        return point
