"""What was measured on: named with every figure, since none means anything without."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

from bench.runtime import Runtime


def describe(runtimes: list[Runtime]) -> dict[str, Any]:
    """The machine as the runtimes see it."""
    return {
        "processor": processor(),
        "processors": os.cpu_count(),
        "memory_mib": memory(),
        "kernel": f"{os.uname().sysname} {os.uname().release} {os.uname().machine}",
        "system": system(),
        "cgroups": cgroups(),
        "versions": {runtime.name: runtime.version() for runtime in runtimes},
        "interpreter": interpreter_version(runtimes),
    }


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return os.uname().machine


def memory() -> int:
    """MiB of memory in all."""
    first = Path("/proc/meminfo").read_text().splitlines()[0]
    return int(first.split()[1]) // 1024


def system() -> str:
    """The name of the distribution (os-release(5))."""
    for line in Path("/etc/os-release").read_text().splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip('"')
    return "unknown"


def cgroups() -> str:
    """The layout of the cgroup hierarchies and the controllers of v2."""
    try:
        controllers = Path("/sys/fs/cgroup/cgroup.controllers").read_text().split()
    except FileNotFoundError:
        return "hybrid" if Path("/sys/fs/cgroup/unified").exists() else "v1"
    return f"v2 with {', '.join(controllers)}" if controllers else "v2 without controllers"


def interpreter(runtimes: list[Runtime]) -> str:
    """The ordinary Python that pyoci is to be compared with: the one that its launcher names in its first line, or the
    system's, where the launcher is a program of its own. "" without pyoci."""
    for runtime in runtimes:
        if runtime.name == "pyoci":
            with open(runtime.program, "rb") as file:
                first = file.readline(256)
            return first[2:].split()[0].decode() if first.startswith(b"#!") else "/usr/bin/python3"
    return ""


def interpreter_version(runtimes: list[Runtime]) -> str:
    """What it says of itself."""
    found = interpreter(runtimes)
    if not found:
        return ""
    done = subprocess.run([found, "--version"], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    return done.stdout.strip()
