"""python -m faults: every command with every fault at every system call. docs/faults.md."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from pathlib import Path

from faults import calls, expectations, injector, place, run, table
from faults.calls import Case
from faults.errors import CannotInject

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "faults"


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="faults", description="Fault injection into the commands of pyoci.")
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help="only these: " + ", ".join(run.BY_NAME))
    parser.add_argument("--fault", action="append", help=f"an errno, or KILL (all of {', '.join(calls.FAULTS)})")
    parser.add_argument("--case", action="append", help="one case only, as the table names it")
    parser.add_argument("--slice", type=int, default=1, metavar="N", help="one of N cases, always the same")
    parser.add_argument("--children", action="store_true", help="the calls of init, too, not only the runtime's own")
    parser.add_argument("--jobs", type=int, default=4, help="at a time (%(default)s)")
    parser.add_argument("--runtime", type=Path, help="a pyoci (one that is built here)")
    parser.add_argument("--json", type=Path, help="file that all results are written to")
    options = parser.parse_args(arguments)
    for name in options.scenarios:
        if name not in run.BY_NAME:
            parser.error(f"there is no scenario {name}")
    if os.geteuid():
        parser.error("needs root")
    return options


def chosen(options: argparse.Namespace, runtime: Path, program: Path) -> list[Case]:
    """The cases that are wanted."""
    names = options.scenarios or list(run.BY_NAME)
    if options.case:
        names = list(dict.fromkeys(case.partition(":")[0] for case in options.case))
    recorded = run.record(runtime, program, names)
    found: list[Case] = []
    for name in names:
        of_it = [call for call in recorded[name] if options.children or call.process == 0]
        found += calls.cases(name, of_it, options.fault or calls.FAULTS)
    if options.case:
        return [case for case in found if case.key in options.case]
    return calls.slice_of(found, options.slice)


def main(arguments: list[str]) -> int:
    """The exit status: 0 when nothing is bad that is not allowed, 1 otherwise, 2 when it could not be tried."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    options = parse(arguments)
    try:
        program = injector.build(BUILD / "inject")
        runtime = options.runtime or place.build_runtime(ROOT, BUILD / "pyoci")
        cases = chosen(options, runtime.resolve(), program)
        progress = run.Progress(len(cases))
        results = run.trials(runtime.resolve(), program, cases, options.jobs, lambda result: progress.told(*result))
    except CannotInject as reason:
        print(f"faults: {reason}", file=sys.stderr)
        return 2
    if options.json:
        rows = [{"case": case.key, "call": str(case.call), "verdicts": verdicts} for case, verdicts in results]
        options.json.write_text(json.dumps(rows, indent=1) + "\n")
    entries = expectations.load()
    print(table.text(results, entries))
    bad = table.surprises(results, entries)
    if bad:
        print("\nNot as it should be:", *bad, sep="\n  ")
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
