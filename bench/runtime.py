"""One runtime under measurement: its commands, and what each cost."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
PATIENCE = 30.0  # seconds that a command, or a container, may take to end


class BenchError(Exception):
    """A command failed, or something is missing on this machine."""


class Sample:
    """The cost of one command, or of several in a row: seconds, seconds of processor, KiB at the peak."""

    __slots__ = ("cpu", "rss", "wall")

    def __init__(self, wall: float, cpu: float, rss: float) -> None:
        self.wall = wall
        self.cpu = cpu
        self.rss = rss

    @staticmethod
    def total(samples: list[Sample]) -> Sample:
        """The cost of one command after the other."""
        return Sample(sum(s.wall for s in samples), sum(s.cpu for s in samples), max(s.rss for s in samples))


class Runtime:
    """A runtime's program with a state root of its own."""

    __slots__ = ("containers", "log", "name", "output", "program", "root", "tool")

    def __init__(self, name: str, program: str, folder: Path, tool: Path) -> None:
        self.name = name
        self.program = program
        self.root = folder / name
        self.root.mkdir()
        self.output = folder / f"{name}.samples"
        self.log = folder / f"{name}.stderr"
        self.tool = tool
        self.containers: set[str] = set()

    def command(self, *arguments: str, root: str = "") -> list[str]:
        return [self.program, "--root", root or str(self.root), *arguments]

    def measure(self, *arguments: str, root: str = "") -> Sample:
        """Runs the command, with another state root if `root`, and returns its cost; raises BenchError if it fails."""
        self.output.unlink(missing_ok=True)
        with self.log.open("wb") as log:
            process = subprocess.Popen(
                [self.tool, self.output, *self.command(*arguments, root=root)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )
            try:
                status = process.wait(PATIENCE)
            except BaseException as error:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                if isinstance(error, subprocess.TimeoutExpired):
                    raise BenchError(f"{self.name} {' '.join(arguments)} took over {PATIENCE:.0f} s") from None
                raise
        if status:
            message = self.log.read_text(errors="replace").strip()
            raise BenchError(f"{self.name} {' '.join(arguments)} ended with status {status}: {message}")
        wall, user, system, rss, _ = (int(field) for field in self.output.read_text().split())
        return Sample(wall / 1e9, (user + system) / 1e6, rss)

    def create(self, container: str, bundle: Path, pid_file: Path) -> tuple[Sample, int]:
        """Measures create; also returns the pid of the container's init."""
        self.containers.add(container)
        sample = self.measure("create", "--bundle", str(bundle), "--pid-file", str(pid_file), container)
        return sample, int(pid_file.read_text())

    def delete(self, container: str) -> Sample:
        sample = self.measure("delete", container)
        self.containers.discard(container)
        return sample

    def clean_up(self) -> None:
        """Removes what a failure left."""
        for container in sorted(self.containers):
            subprocess.run(self.command("delete", "--force", container), stdin=subprocess.DEVNULL, capture_output=True)


def wait_for_end(pid: int) -> None:
    """Reaps the container's init: this process is its subreaper."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            if os.waitpid(pid, os.WNOHANG)[0] == pid:
                return
        except ChildProcessError:  # not (or not yet) a child of ours
            if not Path(f"/proc/{pid}").exists():
                return
        time.sleep(0.0005)
    os.kill(pid, signal.SIGKILL)
    raise BenchError(f"process {pid} of a container did not end within {PATIENCE:.0f} s")


def resident(pid: int) -> int:
    """VmRSS of a process in KiB (proc_pid_status(5))."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise BenchError(f"process {pid} has no VmRSS: it has ended")


def become_subreaper() -> None:
    """Lets orphans become children of this process: prctl(2), PR_SET_CHILD_SUBREAPER."""
    import ctypes

    if ctypes.CDLL(None, use_errno=True).prctl(36, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def build_tool(folder: Path) -> Path:
    """Compiles measure.c; raises BenchError without a compiler."""
    compiler = os.environ.get("CC") or shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise BenchError("no C compiler to build bench/measure.c with")
    tool = folder / "measure"
    flags = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror"]
    subprocess.run([compiler, *flags, "-o", tool, HERE / "measure.c"], check=True, stdout=sys.stderr)
    return tool
