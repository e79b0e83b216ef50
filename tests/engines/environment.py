"""Where the engine tests run: facts that docs/engines.md puts beside their results."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from . import processes
from .cleanup import CGROUP_ROOT
from .engine import CGROUP_MANAGER, Engine


def cgroup_version() -> str:
    """v2 if that is mounted alone, v1 or v1 hybrid, where resources are limited by v1."""
    if (CGROUP_ROOT / "cgroup.controllers").exists():
        return "v2"
    return "v1 hybrid" if (CGROUP_ROOT / "unified" / "cgroup.procs").exists() else "v1"


def missing_memory_limits() -> str:
    """Why engines can limit no memory here, or "". They look for it in version 1 unless version 2 is alone."""
    # systemd makes the directory also for what it then cannot mount.
    if cgroup_version() == "v2" or (CGROUP_ROOT / "memory" / "cgroup.procs").exists():
        return ""
    return "this kernel has no memory controller of cgroup v1, and the engines do not use that of a hybrid tree's v2"


def _init() -> str:
    return "systemd" if Path("/run/systemd/system").is_dir() else "no systemd"  # sd_booted(3)


def _apparmor() -> str:
    switch = Path("/sys/module/apparmor/parameters/enabled")
    return "AppArmor" if switch.exists() and switch.read_text().startswith("Y") else "no AppArmor"


def facts(runtime: str, engines: Iterable[type[Engine]]) -> dict[str, str]:
    """The environment's name, its system, and the versions of the runtime and of each engine that is installed."""
    said = subprocess.run([runtime, "--version"], capture_output=True, text=True, check=True, timeout=60).stdout
    driver = " and its cgroup driver" if CGROUP_MANAGER == "systemd" else ""
    found = {
        "environment": f"cgroup {cgroup_version()}, {_init()}{driver}",
        "system": platform.freedesktop_os_release()["PRETTY_NAME"],
        "kernel": os.uname().release,
        "security": _apparmor(),
        "cgroup manager": CGROUP_MANAGER,
        "runtime": said.splitlines()[0].replace(" version", ""),
    }
    for kind in engines:
        if all(shutil.which(program, path=processes.PATH) for program in kind.programs):
            found |= {f"version {program}": version for program, version in kind.versions().items()}
    return found
