"""A machine that outlives the command that started it, and what is done in one."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path

from vm import shell
from vm.checkout import LIST
from vm.environment import CHECKOUT
from vm.host import ROOT, VmError, cache_directory, run, say, scratch
from vm.image import GUEST
from vm.machine import Machine, boot

MOVE_FILES = GUEST / "move_files.py"
RESULTS = "/results"  # what a command leaves there comes back to the host


def record() -> Path:
    """The file that tells of the machine that was started."""
    return cache_directory() / "session.json"


def read() -> Machine | None:
    """The machine that was started and still runs."""
    try:
        data = json.loads(record().read_text())
    except FileNotFoundError:
        return None
    machine = Machine(Path(data["folder"]), data["mode"], data["pid"], data["port"])
    return machine if machine.alive and machine.started == data["started"] else None


def running() -> bool:
    """Whether a machine was started and still runs."""
    return read() is not None


def current() -> Machine:
    """The machine that was started. Raises VmError if none runs."""
    machine = read()
    if machine is None:
        raise VmError("no machine runs; `python -m vm start` starts one")
    return machine


def start(mode: str, seconds: float, archive: Path | None) -> None:
    """Start a machine that ends by itself after `seconds`. Raises VmError if one runs."""
    machine = read()
    if machine is not None:
        raise VmError(f"{describe(machine)} runs already; `python -m vm stop` ends it")
    machine = boot(mode, keep=seconds)
    try:
        data = {"folder": str(machine.folder), "mode": mode, "pid": machine.pid, "port": machine.port}
        temporary = record().with_suffix(f".{os.getpid()}")
        temporary.write_text(json.dumps({**data, "started": machine.started}))
        temporary.rename(record())
        if archive:
            install(machine, archive)
    except BaseException:
        machine.end()
        raise


def stop() -> None:
    """End the machine that was started; nothing happens if none runs."""
    machine = read()
    if machine is not None:
        machine.end()
        record().unlink(missing_ok=True)


def describe(machine: Machine) -> str:
    """A machine in a few words."""
    return f"a machine with cgroup {machine.mode} (pid {machine.pid}, ssh port {machine.port})"


def status() -> str:
    """What `python -m vm status` says."""
    machine = read()
    return describe(machine) if machine else "no machine was started"


def install(machine: Machine, archive: Path) -> None:
    """Replace the checkout and the installed pyoci of a machine, file by file, for somebody may be using them."""
    say("copying the checkout into the machine")
    previous = f"{LIST}.old"
    if shell.execute(machine, ["sh", "-c", f"touch {LIST} && cp {LIST} {previous}"]) != 0:
        raise VmError("the machine's list of the checkout's files could not be kept")
    unpack(machine, archive, "/")
    prune = f"LC_ALL=C comm -23 {previous} {LIST} | tr '\\n' '\\0' | xargs -0r rm -f --"
    if shell.execute(machine, ["sh", "-c", prune]) != 0:
        raise VmError("files that the checkout has no more could not be removed from the machine")


def unpack(machine: Machine, archive: Path, directory: str) -> None:
    """Unpack a tar over a directory of the machine: a file is there as it was or as it is to be, never half of it."""
    staging = "/opt/arriving"
    if shell.execute(machine, ["rm", "-rf", staging]) != 0:
        raise VmError(f"{staging} could not be removed from the machine")
    shell.send(machine, archive, staging)
    if shell.execute(machine, ["python3", "-c", MOVE_FILES.read_text(), staging, directory]) != 0:
        raise VmError(f"the files could not be moved to {directory} of the machine")


def put(machine: Machine, names: Sequence[str]) -> None:
    """Copy files and folders of the checkout into the machine, without a build. Raises VmError for any outside."""
    for name in names:
        if not (ROOT / name).resolve().is_relative_to(ROOT):
            raise VmError(f"{name} is not in the checkout")
    with scratch("put") as folder:
        archive = folder / "files.tar"
        run(["tar", "-C", ROOT, "--exclude=__pycache__", "-cf", archive, *names])
        unpack(machine, archive, CHECKOUT)


def execute(machine: Machine, options: argparse.Namespace) -> int:
    """Run the command of the command line; its exit code."""
    return shell.execute(
        machine,
        options.command,
        user=options.user,
        cwd=options.cwd,
        env={"PYOCI_ENGINES": "required", "PYOCI_RESULTS": RESULTS},
        timeout=options.timeout,
    )


def bring(machine: Machine, target: Path, directory: str = RESULTS) -> None:
    """Bring a directory of the machine to the host, if the machine is still there."""
    if machine.alive:
        shell.fetch(machine, directory, target)


def login(machine: Machine, user: str) -> int:
    """A terminal in the machine; the exit code of its shell."""
    return shell.execute(machine, ["bash", "-l"], user=user, cwd=CHECKOUT, terminal=True, interactive=True)
