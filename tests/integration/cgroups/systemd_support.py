"""What systemd says of units, for tests where it is pid 1."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

BOOTED = Path("/run/systemd/system")
IS_V2 = Path("/sys/fs/cgroup/cgroup.controllers").exists()


def systemctl(*argv: str, check: bool = True, manager: Sequence[str] = ()) -> str:
    """Standard output of systemctl; `manager` are words before its own, and options that name another manager."""
    done = subprocess.run(
        [*manager, "systemctl", *argv],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert not check or done.returncode == 0, f"systemctl {argv}: {done.stdout}{done.stderr}"
    return done.stdout


def show(unit: str, *names: str, manager: Sequence[str] = ()) -> dict[str, str]:
    """Properties of a unit as `systemctl show` prints them."""
    user = ["--user"] if manager else []
    text = systemctl(*user, "show", f"--property={','.join(names)}", "--", unit, manager=manager)
    return dict(line.split("=", 1) for line in text.splitlines())


def units(part: str) -> list[str]:
    """Every unit that systemd has loaded whose name has `part` in it."""
    listed = systemctl("list-units", "--all", "--plain", "--no-legend", "--full").splitlines()
    return [words[0] for words in map(str.split, listed) if words and part in words[0]]
