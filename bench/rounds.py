"""The commands of a container's life, measured in rounds: in each, every runtime does every command once."""

from __future__ import annotations

import random
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.bundles import Bundle
from bench.figures import Samples, record
from bench.runtime import Runtime, Sample, resident, spent, wait_for_end

WARM_UP = 2  # rounds that are not counted
COMMANDS = ("run", "create", "start", "delete", "create+start+delete", "state", "exec", "kill", "run, nothing cached")


class Place:
    """Where containers are made: a folder on a disk, one on a tmpfs, and names that nobody had before."""

    __slots__ = ("folder", "serial", "state")

    def __init__(self, folder: Path, state: Path) -> None:
        self.folder = folder
        self.state = state
        self.serial = 0

    @property
    def pid_file(self) -> Path:
        return self.folder / "pid"

    def name(self) -> str:
        """A new container's."""
        self.serial += 1
        return f"bench-{self.serial}"


class Waiting:
    """What the inits of created containers were like, by runtime: KiB of resident memory, seconds of processor."""

    __slots__ = ("cpu", "rss")

    def __init__(self) -> None:
        self.rss: dict[str, list[int]] = {}
        self.cpu: dict[str, list[float]] = {}

    def look_at(self, runtime: str, pid: int) -> None:
        self.rss.setdefault(runtime, []).append(resident(pid))
        self.cpu.setdefault(runtime, []).append(spent(pid))

    def summary(self, names: list[str]) -> dict[str, dict[str, float]]:
        """The medians of each runtime, in KiB and ms."""
        return {
            name: {"rss_kib": statistics.median(self.rss[name]), "cpu_ms": statistics.median(self.cpu[name]) * 1000}
            for name in names
        }


def shuffled(runtimes: list[Runtime]) -> list[Runtime]:
    return random.sample(runtimes, len(runtimes))


def run(place: Place, bundle: Bundle, runtime: Runtime) -> Sample:
    """A container that does nothing, in the foreground."""
    container = place.name()
    bundle.configure(container, ["/bin/true"])
    return runtime.measure("run", "--bundle", str(bundle.path), container)


def first_run(place: Place, bundle: Bundle, runtime: Runtime) -> Sample:
    """The same with a state root that knows no seccomp profile yet."""
    container = place.name()
    bundle.configure(container, ["/bin/true"])
    with tempfile.TemporaryDirectory(dir=place.state) as root:
        return runtime.measure("run", "--bundle", str(bundle.path), container, root=root)


def short_life(
    place: Place, bundle: Bundle, runtime: Runtime, waiting: Waiting | None = None
) -> Iterator[tuple[str, Sample]]:
    """The three commands an engine needs for a container that does nothing."""
    container = place.name()
    bundle.configure(container, ["/bin/true"])
    create, pid = runtime.create(container, bundle.path, place.pid_file)
    if waiting:
        waiting.look_at(runtime.name, pid)
    start = runtime.measure("start", container)
    wait_for_end(pid)
    delete = runtime.measure("delete", container)
    yield "create", create
    yield "start", start
    yield "delete", delete
    yield "create+start+delete", Sample.total([create, start, delete])


def long_life(place: Place, bundle: Bundle, runtime: Runtime) -> Iterator[tuple[str, Sample]]:
    """What is done with a container that runs."""
    container = place.name()
    bundle.configure(container, ["/bin/sleep", "600"])
    _, pid = runtime.create(container, bundle.path, place.pid_file)
    runtime.measure("start", container)
    yield "state", runtime.measure("state", container)
    yield "exec", runtime.measure("exec", container, "/bin/true")
    yield "kill", runtime.measure("kill", container, "KILL")
    wait_for_end(pid)
    runtime.measure("delete", container)


def measure_bundle(
    place: Place, bundle: Bundle, runtimes: list[Runtime], samples: Samples, waiting: Waiting
) -> Iterator[int]:
    """Round after round, without end: yields how many are counted, before each. The runtimes' order is left to chance
    anew for each step."""
    has_filter = "seccomp" in bundle.config["linux"]
    number = -WARM_UP
    while True:
        yield max(number, 0)
        found: list[tuple[str, str, Sample]] = []
        found += [(runtime.name, "run", run(place, bundle, runtime)) for runtime in shuffled(runtimes)]
        for runtime in shuffled(runtimes):
            counted = waiting if number >= 0 else None
            found += [(runtime.name, *item) for item in short_life(place, bundle, runtime, counted)]
        for runtime in shuffled(runtimes):
            found += [(runtime.name, *item) for item in long_life(place, bundle, runtime)]
        if has_filter:
            found += [
                (runtime.name, "run, nothing cached", first_run(place, bundle, runtime))
                for runtime in shuffled(runtimes)
            ]
        if number >= 0:
            for name, command, sample in found:
                record(samples, command, name, sample)
        number += 1
