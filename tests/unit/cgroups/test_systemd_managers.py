"""Which systemd root of a user namespace asks: the one in there with him, else that of the user he is outside."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from oci_runtime.linux.cgroups import systemd_bus

CODE = "from oci_runtime.linux.cgroups.systemd_bus import is_system_ours; print(is_system_ours())"
NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-ec"]
SOCKET = "mkdir /run/systemd; : > /run/systemd/private"


def test_root_of_the_host_has_the_systems_anyway() -> None:
    assert not systemd_bus.is_system_ours()


@pytest.mark.parametrize(
    ("prepare", "answer"),
    [
        (SOCKET, True),
        (f"{SOCKET}; mount --bind $FOREIGN /run/systemd/private", False),  # of who is not in the namespace
        ("true", False),
    ],
)
def test_root_of_a_user_namespace(tmp_path: Path, prepare: str, answer: bool) -> None:
    foreign = tmp_path / "socket"
    foreign.touch()
    os.chown(foreign, 1000, 1000)
    command = [*NAMESPACE, f'mount -t tmpfs none /run; {prepare}; exec "$@"', "sh", sys.executable, "-c", CODE]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, timeout=60, env={**os.environ, "FOREIGN": str(foreign)}
    )
    assert done.stdout == f"{answer}\n"
