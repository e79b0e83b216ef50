"""All faults, by several workers at a time, each with a place of its own."""

from __future__ import annotations

import multiprocessing
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from faults.calls import Call, Case
from faults.errors import CannotInject
from faults.place import Place
from faults.scenarios import ALL
from faults.trial import Trials

BY_NAME = {scenario.name: scenario for scenario in ALL}
#: Cases that a worker gets at a time, of one scenario.
BATCH = 40

Result = tuple[Case, list[tuple[str, str]]]


def record(runtime: Path, injector: Path, names: Sequence[str]) -> dict[str, list[Call]]:
    """The calls of each scenario."""
    return dict(_spread(_record, [(name,) for name in names], runtime, injector, 1))


def _record(place: Place, injector: Path, name: str) -> tuple[str, list[Call]]:
    return name, Trials(place, BY_NAME[name], injector).record()


def trials(
    runtime: Path, injector: Path, cases: Sequence[Case], jobs: int, told: Callable[[Result], None]
) -> list[Result]:
    """What came of each; `told` hears of it when it is there."""
    found: list[Result] = []
    for results in _spread(_trials, [(batch,) for batch in _batches(cases)], runtime, injector, jobs):
        for result in results:
            told(result)
            found.append(result)
    return found


def _batches(cases: Sequence[Case]) -> Iterator[list[Case]]:
    for name in dict.fromkeys(case.scenario for case in cases):
        of_it = [case for case in cases if case.scenario == name]
        for first in range(0, len(of_it), BATCH):
            yield of_it[first : first + BATCH]


def _trials(place: Place, injector: Path, cases: list[Case]) -> list[Result]:
    scenario = Trials(place, BY_NAME[cases[0].scenario], injector)
    try:
        return [(case, scenario.one(case)) for case in cases]
    finally:
        scenario.close()


def _spread(
    work: Callable[..., Any], jobs: list[tuple[Any, ...]], runtime: Path, injector: Path, count: int
) -> Iterator[Any]:
    """What `work` returns for each job, in no order. The workers end with us, and clean up."""
    context = multiprocessing.get_context("fork")
    todo, done = context.SimpleQueue(), context.SimpleQueue()
    for place in range(len(jobs)):  # the jobs themselves are more than a pipe takes
        todo.put(place)
    for _ in range(count):
        todo.put(None)
    workers = [
        context.Process(target=_worker, args=(work, jobs, todo, done, runtime, injector))
        for _ in range(min(count, len(jobs)))
    ]
    for worker in workers:
        worker.start()
    try:
        for _ in jobs:
            failed, result = done.get()
            if failed:
                raise CannotInject(result)
            yield result
    finally:
        for worker in workers:
            if worker.is_alive():
                worker.terminate()
        for worker in workers:
            worker.join()


def _worker(
    work: Callable[..., Any], jobs: list[tuple[Any, ...]], todo: Any, done: Any, runtime: Path, injector: Path
) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    place = Place(runtime)
    try:
        while (job := todo.get()) is not None:
            try:
                done.put((False, work(place, injector, *jobs[job])))
            except Exception:
                done.put((True, traceback.format_exc()))
                return
    finally:
        place.close()


class Progress:
    """A line on standard error for what is bad, and from time to time how far it is."""

    __slots__ = ("_all", "_began", "_count", "_last", "bad")

    def __init__(self, count: int) -> None:
        self._all = count
        self._count = 0
        self._began = self._last = time.monotonic()
        self.bad = 0

    def told(self, case: Case, verdicts: list[tuple[str, str]]) -> None:
        self._count += 1
        for verdict, what in verdicts:
            self.bad += 1
            print(f"{verdict:8} {case.key} {case.call.name} {case.call.path}: {what}", file=sys.stderr, flush=True)
        now = time.monotonic()
        if now - self._last > 10:
            self._last = now
            print(f"{now - self._began:6.0f} s  {self._count} of {self._all}", file=sys.stderr, flush=True)
