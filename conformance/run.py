"""Runs the programs, several at a time, under each runtime."""

from __future__ import annotations

import fcntl
import json
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from conformance import apparmor, build, cgroups, facts
from conformance.errors import CannotJudge
from conformance.results import outcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conformance.results import Outcome, Results, Runtime

_HERE = Path(__file__).resolve().parent
_LOCK = "/run/lock/pyoci-conformance"
# They all use the same cgroup.
_ALONE = re.compile(r"linux_cgroups_|delete_(only_create_)?resources$")
# Those that wait for something that does not come, begun first.
_SLOW = ("delete", "pidfile", "kill")
_MORE_TIME = 60.0  # seconds, for tidying up


class Judge:
    """A run of `programs` of a directory, at most `jobs` at a time, each at most `seconds`."""

    __slots__ = ("_children", "_stopped", "directory", "jobs", "programs", "seconds")

    def __init__(self, directory: Path, programs: list[str], jobs: int, seconds: float) -> None:
        self.directory = directory
        self.programs = programs
        self.jobs = jobs
        self.seconds = seconds
        self._children: set[subprocess.Popen[str]] = set()
        self._stopped = False

    def run(self, runtime: str, told: Callable[[str, Outcome], None]) -> dict[str, Outcome]:
        """The outcomes under the runtime at the path; `told` hears of each when it is there."""
        found: dict[str, Outcome] = {}
        lock = threading.Lock()
        work: queue.SimpleQueue[list[str]] = queue.SimpleQueue()
        for chain in self._chains():
            work.put(chain)

        def labour() -> None:
            for name in _names(work):
                if self._stopped:
                    return
                judged = outcome(self._one(name, runtime))
                with lock:
                    found[name] = judged
                    told(name, judged)

        threads = [threading.Thread(target=labour) for _ in range(self.jobs)]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                thread.join()
        except BaseException:
            self._stop(threads)
            raise
        if len(found) != len(self.programs):
            raise CannotJudge("a program could not be run; the error is above")
        return {name: found[name] for name in sorted(found)}

    def _chains(self) -> Iterator[list[str]]:
        """The programs in an order that ends soonest; a chain is run one after the other."""
        alone = [name for name in self.programs if _ALONE.match(name)]
        others = [name for name in self.programs if name not in alone]
        slow = [[name] for name in others if name in _SLOW]
        if alone:
            slow.insert(1, alone)
        yield from slow
        yield from ([name] for name in others if name not in _SLOW)

    def _one(self, name: str, runtime: str) -> dict[str, object]:
        argv = [sys.executable, "-m", "conformance.supervise", str(self.directory), name, runtime, str(self.seconds)]
        child = subprocess.Popen(
            argv, cwd=_HERE.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
        )
        self._children.add(child)
        try:
            stdout, stderr = child.communicate(timeout=self.seconds + _MORE_TIME)
        except subprocess.TimeoutExpired:
            child.kill()
            stdout, stderr = child.communicate()
        self._children.discard(child)
        if child.returncode or not stdout:
            sys.stderr.write(stderr)
            raise CannotJudge(f"the supervisor of {name} failed: {stderr.strip().splitlines()[-1:]}")
        ran: dict[str, object] = json.loads(stdout)
        return ran

    def _stop(self, threads: list[threading.Thread]) -> None:
        """Ends what runs, which tidies up."""
        self._stopped = True
        for child in list(self._children):
            child.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join()


def _names(work: queue.SimpleQueue[list[str]]) -> Iterator[str]:
    while True:
        try:
            yield from work.get_nowait()
        except queue.Empty:
            return


def find_runtime(text: str) -> tuple[str, str]:
    """Name and absolute path of a runtime given as [NAME=]PATH or as a command. CannotJudge when there is none."""
    name, _, path = text.rpartition("=")
    found = shutil.which(path)
    if not found:
        raise CannotJudge(f"there is no runtime {path}")
    found = os.path.abspath(found)
    return name or os.path.basename(found), found


def version_of(path: str) -> str:
    """The first line of what --version prints."""
    done = subprocess.run([path, "--version"], capture_output=True, text=True, check=False, timeout=20)
    return (done.stdout.strip() or "unknown").splitlines()[0]


class Machine:
    """The machine while programs run: one run at a time, an AppArmor profile, and no cgroups left behind."""

    __slots__ = ("_before", "_lock", "_profile")

    def __enter__(self) -> Machine:
        if os.geteuid():
            raise CannotJudge("only root can run containers as the programs want them")
        os.makedirs(os.path.dirname(_LOCK), exist_ok=True)
        self._lock = os.open(_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._before = cgroups.of_containers()
        self._profile = facts.has_apparmor() and apparmor.load()
        return self

    def __exit__(self, *_: object) -> None:
        if self._profile:
            apparmor.unload()
        for directory in cgroups.of_containers() - self._before:
            if not cgroups.remove(directory):
                print(f"the cgroup {directory} is left, processes are in it", file=sys.stderr)
        os.close(self._lock)


def judge(
    directory: Path, only: list[str], runtimes: list[tuple[str, str]], environment: str, jobs: int, seconds: float
) -> Results:
    """Runs all programs, or `only` these, under (name, path) of each runtime, and shows the progress on stderr."""
    known = build.programs(directory)
    if strangers := sorted(set(only) - set(known)):
        raise CannotJudge(f"there is no program {', '.join(strangers)}")
    programs = [name for name in known if not only or name in only]
    machine = os.uname()
    results: Results = {
        "suite": build.suite(directory),
        "environment": environment,
        "facts": facts.machine(),
        "machine": f"Linux {machine.release} {machine.machine}",
        "runtimes": {},
    }
    with Machine():
        for name, path in runtimes:
            results["runtimes"][name] = _judge_runtime(Judge(directory, programs, jobs, seconds), name, path)
    return results


def _judge_runtime(judge: Judge, name: str, path: str) -> Runtime:
    begin = time.monotonic()

    def told(program: str, judged: Outcome) -> None:
        print(f"{time.monotonic() - begin:6.1f} s  {name}: {program}: {judged['verdict']}", file=sys.stderr, flush=True)

    return {"version": version_of(path), "programs": judge.run(path, told)}
