"""Benchmark of container runtimes, interleaved: in each round every runtime does every command once.

    python -m bench [--place native|tree]... [--runs N] [--quick] [--only BUNDLE]... [--slope NAME]... [--page FOLDER]

It measures in two places: on this machine as it is, pyoci beside runc; and in a Debian tree that is entered with cgroup
v2 alone, where crun works as well. Each is a mount and pid namespace of its own, so that nothing outlives it. Needs
root, a C compiler, busybox and util-linux; for the tree also mmdebstrap.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench import bundles, places, report, slopes
from bench.errors import BenchError

ROOT = places.ROOT


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description="Benchmark of container runtimes.")
    parser.add_argument("--place", action="append", choices=places.NAMES, help="one place only")
    parser.add_argument("--runtime", action="append", default=[], metavar="NAME=PROGRAM", help="what to measure")
    parser.add_argument("--pyoci", type=Path, default=ROOT / "build" / "pyoci", help="the pyoci to measure natively")
    parser.add_argument("--runs", type=int, default=50, help="rounds of the commands that count (default 50)")
    parser.add_argument("--slope-runs", type=int, default=15, help="rounds of the slopes that count (default 15)")
    parser.add_argument("--quick", action="store_true", help="2 rounds, slopes of two points: does it work?")
    parser.add_argument("--only", action="append", choices=bundles.NAMES, help="one bundle only")
    parser.add_argument("--slope", action="append", choices=(*slopes.NAMES, "none"), help="one slope only, or none")
    parser.add_argument("--page", type=Path, help="folder to write performance.md and its plots to, of a whole run")
    parser.add_argument("--json", type=Path, default=ROOT / "build" / "bench.json", help="file for all figures")
    options = parser.parse_args(arguments)
    if options.quick:
        options.runs, options.slope_runs = 2, 1
    if options.runs < 1 or options.slope_runs < 1:
        parser.error("--runs, --slope-runs: at least 1")
    if os.geteuid():
        parser.error("needs root")
    return options


def find_runtimes(options: argparse.Namespace) -> dict[str, str]:
    """Name and program of each runtime of this machine; raises BenchError for one that is not there."""
    wanted = options.runtime or [f"pyoci={options.pyoci}", "runc", *(["crun"] if shutil.which("crun") else [])]
    found = {}
    for item in wanted:
        name, _, program = item.partition("=")
        path = shutil.which(program or name)
        if path is None:
            raise BenchError(f"no runtime {program or name} on this machine")
        found[name] = os.path.abspath(path)
    return found


def bench(options: argparse.Namespace) -> dict[str, Any]:
    """All figures, by place; the file gets those of each place as soon as they are there."""
    result: dict[str, Any] = {"commit": commit(), "places": {}}
    for place in options.place or places.NAMES:
        job = {
            "place": place,
            "runs": options.runs,
            "slope_runs": options.slope_runs,
            "quick": options.quick,
            "bundles": options.only or list(bundles.NAMES),
            "slopes": [name for name in options.slope or slopes.NAMES if name != "none"],
        }
        with places.scratch() as folder:
            tree, installed = None, folder
            if place == places.TREE:
                (folder / "install").mkdir()
                tree, installed = places.make_tree(folder / "install")
                job["runtimes"] = {
                    "pyoci": places.IN_TREE,
                    "runc": in_tree(tree, "runc"),
                    "crun": in_tree(tree, "crun"),
                }
            else:
                job["runtimes"] = find_runtimes(options)
            (folder / "bench").mkdir()
            result["places"][place] = places.measure(job, tree, folder / "bench", installed)
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    return result


def in_tree(tree: Path, name: str) -> str:
    """The path of a program as the tree has it."""
    for folder in ("/usr/bin", "/usr/sbin"):
        if os.path.lexists(f"{tree}{folder}/{name}"):
            return f"{folder}/{name}"
    raise BenchError(f"no {name} in {tree}")


def commit() -> str:
    """What git says is checked out, "+" if it was changed since; "" outside a repository."""
    git = ["git", "-C", str(ROOT), "describe", "--always", "--dirty=+", "--abbrev=12"]
    return subprocess.run(git, stdin=subprocess.DEVNULL, capture_output=True, text=True).stdout.strip()


def write_page(options: argparse.Namespace, figures: dict[str, Any]) -> None:
    """The page for people, unless it would replace a better one."""
    if options.quick or options.place or options.only or options.slope:
        print(f"{options.page}: left as it is, since this was not a whole run")
        return
    from bench import page  # loads the library that plots

    page.write(figures, options.page)
    print(f"written: {options.page / page.NAME}.md")


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, places.end_by_exception)
    try:
        places.sweep()
        figures = bench(options)
    except (BenchError, FileNotFoundError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
    print(report.table(figures), end="")
    print(f"all figures: {options.json}")
    if options.page:
        write_page(options, figures)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
