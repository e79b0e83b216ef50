"""Talking to a machine: commands, with their streams and exit codes, and files, all through ssh."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from vm.host import VmError, tail
from vm.image import login_key
from vm.machine import Machine

CONNECTION_FAILED = 255  # ssh's own code


def ssh(machine: Machine, user: str = "root", *, terminal: bool = False) -> list[str]:
    """The command line of ssh, to which a command for the machine's shell may be appended."""
    options = {
        "UserKnownHostsFile": machine.folder / "known_hosts",
        "HostKeyAlias": "pyoci-vm",
        "StrictHostKeyChecking": "yes",
        "BatchMode": "yes",
        "IdentitiesOnly": "yes",
        "ConnectTimeout": 60,
        "ServerAliveInterval": 30,
        "ServerAliveCountMax": 10,
        "LogLevel": "ERROR",
        "ControlPath": machine.folder / f"control-{user}",
        # the cheapest for an emulated processor
        "Ciphers": "aes128-gcm@openssh.com,chacha20-poly1305@openssh.com",
    }
    argv = ["ssh", "-F", "none", "-i", str(login_key()), "-p", str(machine.port), "-tt" if terminal else "-T"]
    for name, value in options.items():
        argv += ["-o", f"{name}={value}"]
    return [*argv, f"{user}@127.0.0.1"]


def connect(machine: Machine, user: str = "root") -> None:
    """Log in once; the commands that come share that login, which spares each some seconds. Ends with the machine."""
    path = machine.folder / f"control-{user}"
    line = ssh(machine, user)
    log = machine.folder / "ssh.log"
    with log.open("ab") as file:  # the connection stays; it must not hold a pipe of ours open
        code = subprocess.call(
            [line[0], "-M", "-N", "-f", *line[1:]], stdin=subprocess.DEVNULL, stdout=file, stderr=file
        )
    if code or not path.exists():
        raise VmError(f"no login as {user}: {tail(log)}\nthe console's end:\n{tail(machine.console)}")


def remote(argv: Sequence[str], cwd: str, env: Mapping[str, str]) -> str:
    """The line for the machine's shell that runs a command in a directory with more in its environment."""
    settings = [f"{name}={value}" for name, value in env.items()]
    return f"cd {shlex.quote(cwd)} && exec env {shlex.join([*settings, *argv])}"


def execute(
    machine: Machine,
    argv: Sequence[str],
    *,
    user: str = "root",
    cwd: str = "/",
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
    terminal: bool = False,
    interactive: bool = False,
    output: IO[bytes] | None = None,
) -> int:
    """Run a command in the machine with this process' output, or `output` for it, and return its exit code.

    Standard input is empty unless `interactive`. Raises VmError if the machine went away or `timeout`
    seconds passed; the command may then still run.
    """
    if not (machine.folder / f"control-{user}").exists():
        connect(machine, user)
    line = [*ssh(machine, user, terminal=terminal), remote(argv, cwd, env or {})]
    try:
        stdin = None if interactive else subprocess.DEVNULL
        code = subprocess.call(line, stdin=stdin, stdout=output, stderr=output, timeout=timeout)
    except subprocess.TimeoutExpired:
        raise VmError(f"not done after {timeout:.0f} s: {shlex.join(argv)}") from None
    if code == CONNECTION_FAILED and not machine.alive:
        raise VmError(f"the machine ended; its console's end:\n{tail(machine.console)}")
    return code


def send(machine: Machine, archive: Path, directory: str) -> None:
    """Unpack a tar of the host in a directory of the machine."""
    with archive.open("rb") as file:
        script = f"mkdir -p {shlex.quote(directory)} && tar -C {shlex.quote(directory)} -x --no-same-owner -f -"
        done = subprocess.run([*ssh(machine), script], stdin=file, capture_output=True, text=True)
    if done.returncode:
        raise VmError(f"nothing could be unpacked in {directory} of the machine: {done.stderr.strip()}")


def fetch(machine: Machine, directory: str, target: Path) -> None:
    """Bring the contents of a directory of the machine into one of the host; what is no file or directory stays."""
    target.mkdir(parents=True, exist_ok=True)
    pack = f"mkdir -p {shlex.quote(directory)} && tar -C {shlex.quote(directory)} -c -f - ."
    # Ownership, modes and links of the machine are none of the host's: it need not be trusted.
    unpack = [
        "tar",
        "-C",
        str(target),
        "-x",
        "--no-same-owner",
        "--no-same-permissions",
        "--no-overwrite-dir",
        "-f",
        "-",
    ]
    with subprocess.Popen([*ssh(machine), pack], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as sender:
        unpacked = subprocess.call(unpack, stdin=sender.stdout)
    if sender.returncode or unpacked:
        raise VmError(f"{directory} of the machine could not be brought to {target}")
