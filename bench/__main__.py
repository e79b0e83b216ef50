"""Benchmark of container runtimes, interleaved: in each round every runtime does every command once.

    python -m bench [--runtime NAME=PROGRAM]... [--pyoci PROGRAM] [--runs N] [--quick] [--only BUNDLE] [--json FILE]

Without --runtime: build/pyoci, and runc and crun where they are installed. Needs root, busybox and a C compiler.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench import bundles, report
from bench.runtime import BenchError, Runtime, Sample, become_subreaper, build_tool, resident, wait_for_end

ROOT = Path(__file__).resolve().parent.parent
WARM_UP = 2  # rounds that are not counted


class Bench:
    """The state of one benchmark: what was measured so far."""

    __slots__ = ("folder", "memory", "samples", "serial")

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.samples: report.Samples = {}
        self.memory: dict[str, dict[str, list[int]]] = {}
        self.serial = 0

    def round(self, bundle: bundles.Bundle, runtimes: list[Runtime], counted: bool) -> None:
        """Every step once for each runtime, the runtimes in an order that chance decides for each step."""
        steps = [self.run, self.short_life, self.long_life]
        if "seccomp" in bundle.config["linux"]:
            steps.append(self.first_run)
        for step in steps:
            for runtime in random.sample(runtimes, len(runtimes)):
                self.serial += 1
                container = f"bench-{os.getpid()}-{self.serial}"
                for command, sample in step(bundle, runtime, container, counted).items():
                    if counted:
                        report.record(self.samples, bundle.name, command, runtime.name, sample)

    def run(self, bundle: bundles.Bundle, runtime: Runtime, container: str, counted: bool) -> dict[str, Sample]:
        """A container that does nothing, in the foreground."""
        bundle.configure(container, ["/bin/true"])
        runtime.containers.add(container)
        sample = runtime.measure("run", "--bundle", str(bundle.path), container)
        runtime.containers.discard(container)
        return {"run": sample}

    def first_run(self, bundle: bundles.Bundle, runtime: Runtime, container: str, counted: bool) -> dict[str, Sample]:
        """The same with a state root that knows no seccomp profile yet."""
        bundle.configure(container, ["/bin/true"])
        with tempfile.TemporaryDirectory(dir=runtime.root.parent) as root:
            sample = runtime.measure("run", "--bundle", str(bundle.path), container, root=root)
        return {"run, nothing cached": sample}

    def short_life(self, bundle: bundles.Bundle, runtime: Runtime, container: str, counted: bool) -> dict[str, Sample]:
        """The three commands an engine needs for a container that does nothing."""
        bundle.configure(container, ["/bin/true"])
        create, pid = runtime.create(container, bundle.path, self.folder / "pid")
        if counted:
            self.memory.setdefault(bundle.name, {}).setdefault(runtime.name, []).append(resident(pid))
        start = runtime.measure("start", container)
        wait_for_end(pid)
        delete = runtime.delete(container)
        total = Sample.total([create, start, delete])
        return {"create": create, "start": start, "delete": delete, "create+start+delete": total}

    def long_life(self, bundle: bundles.Bundle, runtime: Runtime, container: str, counted: bool) -> dict[str, Sample]:
        """What is done with a container that runs."""
        bundle.configure(container, ["/bin/sleep", "600"])
        _, pid = runtime.create(container, bundle.path, self.folder / "pid")
        runtime.measure("start", container)
        state = runtime.measure("state", container)
        execute = runtime.measure("exec", container, "/bin/true")
        kill = runtime.measure("kill", container, "KILL")
        wait_for_end(pid)
        runtime.delete(container)
        return {"state": state, "exec": execute, "kill": kill}


def find_runtimes(wanted: list[str], pyoci: Path) -> dict[str, str]:
    """Name and program of each runtime; raises BenchError for one that is not there."""
    if not wanted:
        wanted = [f"pyoci={pyoci}", "runc", *(["crun"] if shutil.which("crun") else [])]
    found = {}
    for item in wanted:
        name, _, program = item.partition("=")
        path = shutil.which(program or name)
        if path is None:
            raise BenchError(f"no runtime {program or name} on this machine")
        found[name] = os.path.abspath(path)
    return found


def bench(options: argparse.Namespace, folder: Path, state: Path) -> dict[str, Any]:
    """Runs the benchmark with files in `folder` and the runtimes' state in `state`."""
    tool = build_tool(folder)
    runtimes = [
        Runtime(name, program, state, tool) for name, program in find_runtimes(options.runtime, options.pyoci).items()
    ]
    cgroup = f"/{state.name}"
    job = Bench(folder)
    try:
        for name in options.only or bundles.NAMES:
            bundle = bundles.make_bundle(name, folder / name, cgroup)
            usable = [runtime for runtime in runtimes if usable_here(job, bundle, runtime)]
            for number in range(options.runs + WARM_UP):
                job.round(bundle, usable, number >= WARM_UP)
                progress(f"{name}: round {number + 1} of {options.runs + WARM_UP}")
    finally:
        progress("")
        for runtime in runtimes:
            runtime.clean_up()
        bundles.remove_cgroups(cgroup)
    baseline = "runc" if any(runtime.name == "runc" for runtime in runtimes) else runtimes[0].name
    return report.document(job.samples, job.memory, baseline)


def usable_here(job: Bench, bundle: bundles.Bundle, runtime: Runtime) -> bool:
    """Whether the runtime works on this machine. Only crun may fail to: it refuses the hybrid cgroup layout."""
    try:
        job.run(bundle, runtime, f"bench-{os.getpid()}-try", False)
    except BenchError as error:
        if runtime.name != "crun":
            raise
        print(f"left out: {error}", file=sys.stderr)
        return False
    return True


def progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="bench", description="Benchmark of container runtimes.")
    parser.add_argument("--runtime", action="append", default=[], metavar="NAME=PROGRAM", help="what to measure")
    parser.add_argument("--pyoci", type=Path, default=ROOT / "build" / "pyoci", help="the pyoci to measure")
    parser.add_argument("--runs", type=int, default=40, help="rounds that count (default 40)")
    parser.add_argument("--quick", action="store_true", help="3 rounds: does it work?")
    parser.add_argument("--only", action="append", choices=bundles.NAMES, help="one bundle only")
    parser.add_argument("--json", type=Path, default=ROOT / "build" / "bench.json", help="file for all figures")
    options = parser.parse_args(arguments)
    if options.quick:
        options.runs = 3
    if options.runs < 1:
        parser.error("--runs: at least 1")
    if os.geteuid():
        parser.error("needs root")
    become_subreaper()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # so that what was begun is undone
    try:
        # Engines keep bundles on a disk, and state on a tmpfs.
        with (
            tempfile.TemporaryDirectory(prefix="pyoci-bench-") as folder,
            tempfile.TemporaryDirectory(prefix="pyoci-bench-", dir="/run") as state,
        ):
            figures = bench(options, Path(folder), Path(state))
    except (BenchError, FileNotFoundError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    print(report.table(figures), end="")
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(figures, indent=2) + "\n")
    print(f"all figures: {options.json}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
