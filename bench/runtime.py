"""One runtime under measurement: its commands, and what each cost."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

from bench.errors import BenchError

PATIENCE = 60.0  # seconds that a command, or a container, may take to end


class Sample:
    """The cost of one command, or of several in a row, and of the children that they waited for.

    wall, user, system   seconds
    rss                  KiB of resident memory at the peak
    minor, major         page faults, without and with a read from disk
    """

    __slots__ = ("major", "minor", "rss", "system", "user", "wall")

    def __init__(self, wall: float, user: float, system: float, rss: int, minor: int, major: int) -> None:
        self.wall = wall
        self.user = user
        self.system = system
        self.rss = rss
        self.minor = minor
        self.major = major

    @property
    def cpu(self) -> float:
        return self.user + self.system

    @staticmethod
    def total(samples: list[Sample]) -> Sample:
        """The cost of one command after the other."""
        return Sample(
            sum(s.wall for s in samples),
            sum(s.user for s in samples),
            sum(s.system for s in samples),
            max(s.rss for s in samples),
            sum(s.minor for s in samples),
            sum(s.major for s in samples),
        )


class Meter:
    """Runs commands under measure.c; `folder` is where it writes."""

    __slots__ = ("log", "output", "tool")

    def __init__(self, tool: Path, folder: Path) -> None:
        self.tool = tool
        self.output = folder / "measure.out"
        self.log = folder / "measure.err"

    def measure(self, command: list[str]) -> Sample:
        """The cost of the command; raises BenchError if it fails or does not end."""
        self.output.unlink(missing_ok=True)
        with self.log.open("wb") as log:
            process = subprocess.Popen(
                [self.tool, self.output, *command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )
            try:
                status = process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                raise BenchError(f"{' '.join(command)} took over {PATIENCE:.0f} s") from None
        if status:
            message = self.log.read_text(errors="replace").strip()
            raise BenchError(f"{' '.join(command)} ended with status {status}: {message}")
        wall, user, system, rss, minor, major, _ = (int(field) for field in self.output.read_text().split())
        return Sample(wall / 1e9, user / 1e6, system / 1e6, rss, minor, major)


class Runtime:
    """A runtime's program with a state root of its own."""

    __slots__ = ("meter", "name", "program", "root")

    def __init__(self, name: str, program: str, state: Path, meter: Meter) -> None:
        self.name = name
        self.program = program
        self.root = state / name
        self.root.mkdir()
        self.meter = meter

    def measure(self, *arguments: str, root: str = "") -> Sample:
        """The cost of a command, with another state root if `root`."""
        return self.meter.measure([self.program, "--root", root or str(self.root), *arguments])

    def create(self, container: str, bundle: Path, pid_file: Path) -> tuple[Sample, int]:
        """The cost of create; also the pid of the container's init."""
        sample = self.measure("create", "--bundle", str(bundle), "--pid-file", str(pid_file), container)
        return sample, int(pid_file.read_text())

    def version(self) -> str:
        """The first line of --version."""
        done = subprocess.run([self.program, "--version"], stdin=subprocess.DEVNULL, capture_output=True, text=True)
        return done.stdout.partition("\n")[0]


def wait_for_end(pid: int) -> None:
    """Reaps the container's init, for which this process, being pid 1, is the parent."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            if os.waitpid(pid, os.WNOHANG)[0] == pid:
                return
        except ChildProcessError:  # not (or not yet) a child of ours
            if not Path(f"/proc/{pid}").exists():
                return
        time.sleep(0.0005)
    raise BenchError(f"process {pid} of a container did not end within {PATIENCE:.0f} s")


def resident(pid: int) -> int:
    """VmRSS of a process in KiB (proc_pid_status(5))."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise BenchError(f"process {pid} has no VmRSS: it has ended")


def spent(pid: int) -> float:
    """Seconds of processor that a process has used, of all its threads: the first field of their schedstat."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9
