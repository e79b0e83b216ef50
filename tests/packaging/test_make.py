"""`make build`, started by several at once."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
NOT_SOURCES = (".git", ".venv", ".hypothesis", "*_cache", "vm", "results")


def test_two_builds_at_once(tmp_path: Path) -> None:
    """In one checkout; without the lock one of them finds what the other one is making."""
    copy = tmp_path / "copy"
    shutil.copytree(CHECKOUT, copy, symlinks=True, ignore=shutil.ignore_patterns(*NOT_SOURCES))
    command = ["make", f"VENV={CHECKOUT / '.venv'}", "build"]
    builds = [
        subprocess.Popen(command, cwd=copy, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for _ in range(3)
    ]
    said = [build.communicate()[0].decode(errors="replace") for build in builds]
    assert [build.returncode for build in builds] == [0, 0, 0], "\n".join(said)
    assert subprocess.run([copy / "build" / "pyoci", "--version"], stdout=subprocess.DEVNULL).returncode == 0
