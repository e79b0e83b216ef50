"""The AppArmor profile that one of the programs wants its container to have. It forbids nothing."""

from __future__ import annotations

import subprocess
from pathlib import Path

from conformance.errors import CannotJudge

NAME = "acme_secure_profile"
_PROFILE = f"""profile {NAME} flags=(attach_disconnected,mediate_deleted) {{
  capability,
  file,
  mount,
  network,
  pivot_root,
  ptrace,
  signal,
  umount,
  unix,
}}
"""


def load() -> bool:
    """Loads the profile; False when there is already one of that name. CannotJudge when the kernel refuses it."""
    loaded = Path("/sys/kernel/security/apparmor/profiles")
    if loaded.exists() and f"{NAME} (" in loaded.read_text("utf-8"):
        return False
    _parser("--add")
    return True


def unload() -> None:
    """Removes the profile."""
    _parser("--remove")


def _parser(option: str) -> None:
    try:
        done = subprocess.run(
            ["apparmor_parser", option, "--skip-cache"], input=_PROFILE, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        raise CannotJudge("apparmor_parser is not installed, but AppArmor is active") from None
    if done.returncode:
        raise CannotJudge(f"apparmor_parser {option}: {done.stderr.strip()}")
