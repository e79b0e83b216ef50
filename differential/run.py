"""Runs cases with all runtimes, a worker for each view, and sorts what is different by the rules."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from differential import known, rules
from differential.cases import Case
from differential.compare import Difference, differences
from differential.errors import CannotCompare
from differential.places import CHECKOUT, KEPT, WORK, build_probe

_LOCK = "/run/lock/pyoci-differential"
OURS = "pyoci"
_BUILT = CHECKOUT / "build" / "differential"


class Runtime:
    """`name` is runc or crun, `version` a tuple of numbers; crun runs only where cgroup v2 is alone."""

    __slots__ = ("name", "path", "version")

    def __init__(self, name: str, path: str, version: tuple[int, ...]) -> None:
        self.name = name
        self.path = path
        self.version = version

    @property
    def label(self) -> str:
        """Name and version."""
        return f"{self.name} {'.'.join(map(str, self.version))}".strip()

    def fits(self, view: str) -> bool:
        """Whether it can run in this view."""
        return self.name != "crun" or view == "v2" or not os.path.isdir("/sys/fs/cgroup/unified")


def find_runtime(text: str) -> Runtime:
    """A runtime by path or command; raises CannotCompare when there is none."""
    path = shutil.which(text)
    if not path:
        raise CannotCompare(f"there is no runtime {text}")
    done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    first = (done.stdout.splitlines() or [""])[0].split()
    if len(first) < 3:
        raise CannotCompare(f"{path} --version says {done.stdout!r}")
    numbers = first[-1].split("-")[0].split("+")[0].split(".")
    return Runtime(first[0], os.path.abspath(path), tuple(int(each) for each in numbers[:3] if each.isdigit()))


class Worker:
    """The process in which a view's cases run."""

    __slots__ = ("_child", "runtimes", "view")

    def __init__(self, view: str, runtimes: list[Runtime], probe: Path) -> None:
        self.view = view
        self.runtimes = [each for each in runtimes if each.fits(view)]
        busybox = shutil.which("busybox")
        if not busybox:
            raise CannotCompare("no busybox on this machine: install busybox-static")
        # Nothing that a runtime kills by mistake is anybody else's.
        alone = ["unshare", "--pid", "--fork", "--kill-child=KILL"]
        self._child = subprocess.Popen(
            [*alone, sys.executable, "-m", "differential.worker", view, str(probe), busybox],
            cwd=CHECKOUT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def observe(self, case: Case) -> dict[str, Any]:
        """What each runtime did, by its name; raises CannotCompare when the worker fails."""
        assert self._child.stdin
        assert self._child.stdout
        request = {"case": case.document(), "runtimes": [[each.name, each.path] for each in self.runtimes]}
        try:
            self._child.stdin.write(json.dumps(request) + "\n")
            self._child.stdin.flush()
            answer = self._child.stdout.readline()
        except OSError:
            answer = ""
        if not answer:
            raise CannotCompare(f"the worker failed at {case.name}; its error is above:\n{case.text()}")
        found: dict[str, Any] = json.loads(answer)
        return found

    def close(self) -> None:
        """Ends it."""
        assert self._child.stdin
        self._child.stdin.close()
        self._child.wait()


class Lock:
    """One run at a time: they would meet in their cgroups."""

    __slots__ = ("_file",)

    def __enter__(self) -> Lock:
        if os.geteuid():
            raise CannotCompare("only root can run these containers")
        os.makedirs(os.path.dirname(_LOCK), exist_ok=True)
        self._file = os.open(_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX)
        return self

    def __exit__(self, *_: object) -> None:
        for place in (WORK, KEPT):  # where the workers' mounts were
            try:
                place.rmdir()
            except OSError:
                pass
        os.close(self._file)


class Findings:
    """`unexplained` differences, the `uses` of rules by their id, how many cases there were."""

    __slots__ = ("cases", "unexplained", "uses")

    def __init__(self) -> None:
        self.cases = 0
        self.unexplained: list[Difference] = []
        self.uses: Counter[str] = Counter()

    def add(self, case: Case, found: dict[str, Any], runtimes: list[Runtime]) -> list[Difference]:
        """Sorts one case's differences; returns those that no rule explains."""
        new = []
        versions = {each.name: each.version for each in runtimes}
        for each in differences(case, found, OURS):
            names = rules.explain(each, versions, known.RULES)
            if names:
                self.uses.update(names)
            else:
                new.append(each)
        self.cases += 1
        self.unexplained += new
        return new


class Bench:
    """One worker, for cases that are tried one after the other."""

    __slots__ = ("_lock", "_worker")

    def __init__(self, view: str, runtimes: list[Runtime]) -> None:
        self._lock = Lock()
        self._lock.__enter__()
        self._worker = Worker(view, runtimes, build_probe(_BUILT))

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *_: object) -> None:
        self._worker.close()
        self._lock.__exit__()

    def differences(self, case: Case) -> list[Difference]:
        """All of them, explained or not."""
        return differences(case, self._worker.observe(case), OURS)

    def signatures(self, case: Case) -> set[str]:
        """Of those that no rule explains."""
        versions = {each.name: each.version for each in self._worker.runtimes}
        found = self.differences(case)
        return {each.signature for each in found if not rules.explain(each, versions, known.RULES)}


def compare(
    views: dict[str, Iterable[Case]],
    runtimes: list[Runtime],
    told: Callable[[Case, list[Difference], float], None],
) -> Findings:
    """Runs all cases, the views beside each other; `told` hears of each case with what is unexplained in it."""
    findings = Findings()
    lock = threading.Lock()
    failures: list[CannotCompare] = []
    probe = build_probe(_BUILT)

    def labour(view: str, cases: Iterable[Case]) -> None:
        worker = Worker(view, runtimes, probe)
        try:
            for case in cases:
                if failures:
                    return
                begin = time.monotonic()
                found = worker.observe(case)
                with lock:
                    told(case, findings.add(case, found, worker.runtimes), time.monotonic() - begin)
        except CannotCompare as failure:
            failures.append(failure)
        finally:
            worker.close()

    with Lock():
        threads = [threading.Thread(target=labour, args=each) for each in views.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if failures:
        raise failures[0]
    return findings
