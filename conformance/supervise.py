"""Runs one validation program, and leaves nothing of it: `python3 -m conformance.supervise`, used by run.py.

    supervise PROGRAMS NAME RUNTIME SECONDS

prints a JSON object: "exit" (the status, or minus the signal that ended it), "timed_out", "seconds", "stdout" and
"stderr".

The program gets what a machine would give it, but in a mount namespace of its own: mounts are shared, as systemd has
them, and /run is empty, so that the runtime's state and the bundles are gone with the namespace. Containers that are
left are deleted by the runtime, then every process that descends from the program is killed, and their cgroups are
removed.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from conformance import cgroups, kernel

HELPER = "runtimetest"
ROOTFS = "rootfs-amd64.tar.gz"
_GRACE = 20.0  # seconds that tidying up may take
_AWAITED = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT}


def main(argv: list[str]) -> int:
    programs, name, runtime, seconds = Path(argv[0]), argv[1], argv[2], float(argv[3])
    signal.pthread_sigmask(signal.SIG_BLOCK, _AWAITED)
    kernel.end_with_parent(signal.SIGTERM)
    kernel.adopt_orphans()
    work = _private_machine(programs)
    try:
        result = _run(programs / name, work, runtime, seconds)
    finally:
        _delete_containers(runtime)
        _end_descendants()
    print(json.dumps(result))
    return 0


def _private_machine(programs: Path) -> Path:
    """The working directory, as the programs want it."""
    kernel.new_mount_namespace()
    kernel.mount("", "/", flags=kernel.MS_REC | kernel.MS_PRIVATE)
    kernel.mount("", "/", flags=kernel.MS_REC | kernel.MS_SHARED)
    kernel.mount("run", "/run", "tmpfs", data="mode=755")
    work = Path("/run/conformance")
    work.mkdir()
    for file in (HELPER, ROOTFS):
        shutil.copy(programs / file, work / file)
    (work / "tmp").mkdir(mode=0o755)
    return work


def _run(program: Path, work: Path, runtime: str, seconds: float) -> dict[str, object]:
    environment = {"PATH": os.environ["PATH"], "RUNTIME": runtime, "TMPDIR": str(work / "tmp")}
    begin = time.monotonic()
    with (work / "stdout").open("wb") as stdout, (work / "stderr").open("wb") as stderr:
        child = subprocess.Popen(
            [program],
            cwd=work,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            preexec_fn=_unblock_signals,
        )
        status = _wait(child.pid, begin + seconds)
        timed_out = status is None
        if timed_out:
            child.kill()
            status = _wait(child.pid, time.monotonic() + _GRACE)
    child.returncode = 0  # it has been waited for
    return {
        "exit": None if status is None else os.waitstatus_to_exitcode(status),
        "timed_out": timed_out,
        "seconds": round(time.monotonic() - begin, 3),
        "stdout": (work / "stdout").read_text("utf-8", "replace"),
        "stderr": (work / "stderr").read_text("utf-8", "replace"),
    }


def _unblock_signals() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _AWAITED)


def _wait(pid: int, deadline: float) -> int | None:
    """The status of `pid`, or None when it has not ended by the deadline or this process is to end.

    Whatever else ends is waited for too, as init does: a process that nobody waits for would look alive.
    """
    while True:
        while (ended := _reap()) is not None:
            if ended[0] == pid:
                return ended[1]
        left = deadline - time.monotonic()
        if left <= 0:
            return None
        got = signal.sigtimedwait(_AWAITED, left)
        if got and got.si_signo != signal.SIGCHLD:
            return None


def _reap() -> tuple[int, int] | None:
    """Pid and status of a child that has ended; None without one."""
    try:
        pid, status = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return None
    return (pid, status) if pid else None


def _command(argv: list[str]) -> str:
    """What a command of the runtime printed; it is killed when it hangs."""
    output = Path("/run/conformance/output")
    with output.open("wb") as stdout:
        null = subprocess.DEVNULL
        child = subprocess.Popen(argv, stdin=null, stdout=stdout, stderr=null, preexec_fn=_unblock_signals)
        if _wait(child.pid, time.monotonic() + _GRACE) is None:
            child.kill()
    child.returncode = 0
    return output.read_text("utf-8", "replace")


def _delete_containers(runtime: str) -> None:
    for container in _command([runtime, "list", "-q"]).split():
        _command([runtime, "delete", "--force", container])


def _descendants() -> list[int]:
    """All of them, by the parents that /proc names."""
    parents: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                fields = Path(f"/proc/{entry}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
            except OSError:
                continue
            parents.setdefault(int(fields[1]), []).append(int(entry))
    found: list[int] = []
    wanted = [os.getpid()]
    while wanted:
        children = parents.get(wanted.pop(), [])
        found += children
        wanted += children
    return found


def _end_descendants() -> None:
    own = cgroups.of_process(os.getpid())
    left: set[str] = set()
    deadline = time.monotonic() + _GRACE
    while (alive := _descendants()) and time.monotonic() < deadline:
        for pid in alive:
            left |= cgroups.of_process(pid)
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        signal.sigtimedwait({signal.SIGCHLD}, 0.05)
        while _reap():
            pass
    for directory in left - own:
        cgroups.remove(directory)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
