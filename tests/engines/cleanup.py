"""Finds and removes what an engine, or the runtime under it, has left behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

CGROUP_ROOT = Path("/sys/fs/cgroup")


def mounts_under(directory: Path, process: str = "self") -> list[str]:
    """Mount points below `directory` in the mount namespace of a process, deepest first."""
    points = (line.split()[4] for line in Path(f"/proc/{process}/mountinfo").read_text().splitlines())
    return sorted((p for p in points if p.startswith(f"{directory}/")), key=len, reverse=True)


def processes_naming(directory: Path) -> list[int]:
    """Processes whose command line names `directory`, which is unique to one engine of one test session."""
    needle, found = str(directory).encode(), []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if needle in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
            except OSError:  # it ended meanwhile
                continue
    return found


def cgroups_named(name: str) -> list[Path]:
    """The directories called `name` at the top of each cgroup hierarchy."""
    tops = [CGROUP_ROOT, *(entry for entry in CGROUP_ROOT.iterdir() if entry.is_dir() and not entry.is_symlink())]
    return [top / name for top in tops if (top / name).is_dir()]


def remove_cgroup(top: Path) -> list[Path]:
    """Kill what is in the cgroup `top` and remove it; returns the sub-cgroups that were still there."""
    found = (Path(base) / name for base, names, _ in os.walk(top) for name in names)
    below = sorted(found, key=lambda path: -len(path.parts))
    for group in [*below, top]:
        deadline = time.monotonic() + 5
        while group.exists():
            try:
                for pid in (group / "cgroup.procs").read_text().split():
                    os.kill(int(pid), signal.SIGKILL)
                group.rmdir()
            except OSError:  # of a process or a cgroup that is on its way out, too
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
    return below


def sweep(directory: Path, cgroup: str) -> list[str]:
    """Remove every process, mount, cgroup and file that belongs to `directory` and `cgroup`; says what there was.

    A cgroup called NAME.slice is a slice of systemd's.
    """
    found = []
    for pid in processes_naming(directory):
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            os.kill(pid, signal.SIGKILL)
        except (ProcessLookupError, FileNotFoundError):
            continue
        found.append(f"process {pid}: {command}")
    for top in cgroups_named(cgroup):
        found += [f"cgroup {path}" for path in remove_cgroup(top)]
    if cgroup.endswith(".slice"):
        subprocess.run(["systemctl", "stop", cgroup], check=True)
    for point in mounts_under(directory):
        found.append(f"mount {point}")
        subprocess.run(["umount", "-l", point], check=True)
    shutil.rmtree(directory, ignore_errors=False)
    return found


def state_files(root: Path) -> list[str]:
    """The records of containers that an OCI runtime still has under its state root."""
    if not root.is_dir():
        return []
    return [str(path) for path in root.rglob("*") if path.name == "state.json"]
