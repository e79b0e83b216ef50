"""Measures, as pid 1 of the place that enter.sh made: `python -m bench.worker FOLDER`.

FOLDER/job.json says what, FOLDER/result.json gets the figures. Nothing is cleaned up here: containers, mounts and state
end with this process, cgroups are removed by who started it.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from signal import SIGINT
from typing import Any

from bench import bundles, machine, rounds, slopes
from bench.errors import BenchError
from bench.figures import Points, Samples, compare, fit, record, summary
from bench.runtime import Meter, Runtime

LONG = 10  # rounds: a part with fewer is not worth a line


class Worker:
    """One job: what is measured, and with what."""

    __slots__ = ("job", "meter", "place", "progress", "runtimes")

    def __init__(self, folder: Path) -> None:
        self.job: dict[str, Any] = json.loads((folder / "job.json").read_text())
        self.progress = Progress()
        state = folder / "state"
        self.place = rounds.Place(folder, state)
        self.meter = Meter(folder / "measure", state)
        programs: dict[str, str] = self.job["runtimes"]
        self.runtimes = [Runtime(name, program, state, self.meter) for name, program in programs.items()]

    def bundle(self, name: str, label: str) -> bundles.Bundle:
        bundle = bundles.make_bundle(name, self.place.folder / label, self.job["cgroup"])
        gone = bundles.fit_controllers(bundle.config)
        if gone:
            say(f"{name}: no cgroup controller here for {', '.join(gone)}: left out for every runtime")
        return bundle

    def work(self) -> dict[str, Any]:
        began, load = time.time(), os.getloadavg()[0]
        self.leave_out_what_refuses()
        result: dict[str, Any] = {"bundles": {}, "waiting_init": {}, "slopes": {}}
        floors: Samples = {}
        for name in self.job["bundles"]:
            figures, waiting = self.measure_commands(name, floors)
            result["bundles"][name] = figures
            result["waiting_init"][name] = waiting
        result["floors"] = {name: summary(samples["floor"]) for name, samples in floors.items()}
        for name in self.job["slopes"]:
            result["slopes"][name] = self.measure_slope(name)
        self.progress.end()
        result["machine"] = machine.describe(self.runtimes)
        result["machine"] |= {"began": int(began), "seconds": round(time.time() - began)}
        result["machine"]["load"] = [load, os.getloadavg()[0]]
        return result

    def leave_out_what_refuses(self) -> None:
        """Only crun may, and only a hybrid cgroup layout."""
        bundle = self.bundle("minimal", "trial")
        for runtime in list(self.runtimes):
            try:
                rounds.run(self.place, bundle, runtime)
            except BenchError as error:
                if runtime.name != "crun" or machine.cgroups() != "hybrid":
                    raise
                say(f"left out: {error}")
                self.runtimes.remove(runtime)

    def measure_commands(self, name: str, floors: Samples) -> tuple[dict[str, Any], dict[str, Any]]:
        """The figures of each command, and those of the waiting inits."""
        bundle = self.bundle(name, name)
        samples: Samples = {}
        waiting = rounds.Waiting()
        wanted: int = self.job["runs"]
        for done in rounds.measure_bundle(self.place, bundle, self.runtimes, samples, waiting):
            self.progress.show(f"{name} bundle", done, wanted)
            if done == wanted:
                break
            self.measure_floors(floors)
        order = [command for command in rounds.COMMANDS if command in samples]
        return {command: compare(samples[command], self.names()) for command in order}, waiting.summary(self.names())

    def measure_floors(self, floors: Samples) -> None:
        """What to compare with: a static program that does nothing, and the start of the ordinary interpreter."""
        busybox = str(self.place.folder / "trial" / "rootfs" / "bin" / "busybox")
        record(floors, "process", "floor", self.meter.measure([busybox, "true"]))
        found = machine.interpreter(self.runtimes)
        if found:
            command = [found, "-I", "-S", "-c", "import posix; posix._exit(0)"]
            record(floors, "interpreter", "floor", self.meter.measure(command))

    def measure_slope(self, name: str) -> dict[str, Any]:
        bundle = self.bundle("minimal", f"slope-{name}")
        points: Points = {}
        wanted: int = self.job["slope_runs"]
        if name == slopes.EXISTING[0]:
            unit, values = slopes.EXISTING[1], self.scaled(slopes.EXISTING[2])
            for exist in slopes.measure_existing(self.place, bundle, self.runtimes, values, wanted, points):
                self.progress.show(f"slope per {unit}", exist, values[-1])
        else:
            slope = next(slope for slope in slopes.CONFIGURED if slope.name == name)
            unit, values = slope.unit, self.scaled(slope.values)
            for done in slopes.measure_configured(self.place, bundle, self.runtimes, slope, values, points):
                self.progress.show(f"slope per {unit}", done, wanted)
                if done == wanted:
                    break
        return {
            "unit": unit,
            "commands": {step: {name: fit(found[name]) for name in self.names()} for step, found in points.items()},
        }

    def names(self) -> list[str]:
        return [runtime.name for runtime in self.runtimes]

    def scaled(self, values: tuple[int, ...]) -> tuple[int, ...]:
        """With --quick it is a question of whether it works."""
        return (0, 2) if self.job["quick"] else values


class Progress:
    """How far it has come: a line that the next one replaces; in a log, a line for each part that takes long."""

    __slots__ = ("part", "watched")

    def __init__(self) -> None:
        self.part = ""
        self.watched = sys.stderr.isatty()

    def show(self, part: str, done: int, of: int) -> None:
        if self.watched:
            print(f"\r\033[K{part}: {done} of {of}", end="\r", file=sys.stderr, flush=True)
        elif part != self.part and of >= LONG:
            say(part)
        self.part = part

    def end(self) -> None:
        if self.watched:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


def main(arguments: list[str]) -> int:
    folder = Path(arguments[0])
    try:
        result = Worker(folder).work()
    except (BenchError, FileNotFoundError) as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        return 128 + SIGINT
    (folder / "result.json").write_text(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
