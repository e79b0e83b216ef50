"""Where things are: the same for every runtime, so that what they report is alike."""

from __future__ import annotations

import subprocess
from pathlib import Path

from differential.errors import CannotCompare

PACKAGE = Path(__file__).resolve().parent
CHECKOUT = PACKAGE.parent
#: A tmpfs of each worker's own mount namespace; what it holds is made anew for each run of a runtime.
WORK = Path("/run/pyoci-differential")
#: Another, with what stays: namespaces to be joined.
KEPT = Path("/run/pyoci-differential-kept")
BUNDLE = WORK / "bundle"
ROOTFS = BUNDLE / "rootfs"
STATE = WORK / "root"
OUT = WORK / "out"
SOURCES = WORK / "sources"
PROBE = WORK / "probe"
#: Bound to OUT in containers whose hooks report from within.
OUT_INSIDE = "/hook-out"
#: Ids of containers, and the first word of every cgroupsPath: what is in a cgroup of such a name is ours to remove.
NAME = "pyoci-differential"


def container(view: str) -> str:
    """The container's id; of the view, since two views share the v2 tree."""
    return f"{NAME}-{view}"


def build_probe(folder: Path) -> Path:
    """The static program that reports, compiled unless it is newer than its sources; raises CannotCompare."""
    sources = [PACKAGE / "probe.c", PACKAGE / "report.c"]
    program = folder / "probe"
    newest = max(source.stat().st_mtime for source in (*sources, PACKAGE / "probe.h"))
    if not program.exists() or program.stat().st_mtime < newest:
        folder.mkdir(parents=True, exist_ok=True)
        made = folder / "probe.new"
        done = subprocess.run(
            ["gcc", "-static", "-O1", "-Wall", "-Wextra", "-o", made, *sources], capture_output=True, text=True
        )
        if done.returncode:
            raise CannotCompare(f"the probe does not compile: {done.stderr.strip().splitlines()[0]}")
        made.rename(program)
    return program
