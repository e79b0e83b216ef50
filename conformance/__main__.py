"""python3 -m conformance build|run|page: see README.md."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

from conformance import build, expectations, page, results, run, table
from conformance.errors import CannotJudge

TYPE_CHECKING = False
if TYPE_CHECKING:
    from conformance.results import Results

PROGRAMS = build.HERE.parent / "build" / "conformance" / "programs"
KEPT = build.HERE / "results"
PAGE = build.HERE.parent / "docs" / "conformance.md"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="conformance", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verb = verbs.add_parser("build", help="build the programs with Go")
    verb.add_argument("--output", type=Path, default=PROGRAMS, help="directory that they are put in (%(default)s)")
    verb = verbs.add_parser("run", help="run the programs; exit 1 when a result is not the expected one")
    verb.add_argument("programs", nargs="*", metavar="PROGRAM", help="only these; all of them without any")
    verb.add_argument("--programs", dest="directory", type=Path, default=PROGRAMS, help="where they are (%(default)s)")
    verb.add_argument("--runtime", required=True, metavar="[NAME=]PATH", help="the runtime that is judged")
    verb.add_argument("--peer", action="append", default=[], metavar="[NAME=]PATH", help="one to compare it with")
    verb.add_argument("--installed-peers", action="store_true", help="runc, crun and youki, those that are installed")
    verb.add_argument("--environment", default="native", help="the name that the results get (%(default)s)")
    verb.add_argument("--json", type=Path, help="file that the results are written to")
    verb.add_argument("--jobs", type=int, default=4, help="programs at a time (%(default)s)")
    verb.add_argument("--seconds", type=float, default=60, help="that a program may take (%(default)s)")
    verb = verbs.add_parser("page", help="make the page of the kept results")
    verb.add_argument("results", nargs="*", type=Path, help=f"files (all of {KEPT})")
    verb.add_argument("--output", type=Path, default=PAGE, help="the page (%(default)s)")
    return parser.parse_args()


def _peers(arguments: argparse.Namespace, judged: str) -> list[tuple[str, str]]:
    found = [run.find_runtime(each) for each in arguments.peer]
    if arguments.installed_peers:
        for name in ("runc", "crun", "youki"):
            try:
                found.append(run.find_runtime(name))
            except CannotJudge as absent:
                print(f"no column for {name}: {absent}", file=sys.stderr)
    return [(name, path) for name, path in found if os.path.realpath(path) != os.path.realpath(judged)]


def _run(arguments: argparse.Namespace) -> int:
    name, path = run.find_runtime(arguments.runtime)
    found = run.judge(
        arguments.directory.resolve(),
        arguments.programs,
        [(name, path), *_peers(arguments, path)],
        arguments.environment,
        arguments.jobs,
        arguments.seconds,
    )
    if arguments.json:
        results.save(arguments.json, found)
    return _verdict(found, name, build.programs(arguments.directory))


def _verdict(found: Results, name: str, known: list[str]) -> int:
    """What was expected is known of pyoci alone; of any other runtime whatever fails is a failure."""
    outcomes = found["runtimes"][name]["programs"]
    entries = expectations.load() if name == "pyoci" else {}
    print(table.text(found, entries if name == "pyoci" else None))
    surprises = expectations.surprises(outcomes, entries, found["facts"])
    surprises += [f"expected.json names {each}, which is no program" for each in expectations.unknown(known, entries)]
    if surprises:
        print("\nNot as expected:" if name == "pyoci" else "\nFailures:")
        print("\n".join(f"  {each}" for each in surprises))
    passed = sum(outcome["verdict"] == "clean" for outcome in outcomes.values())
    print(f"\n{passed} passed, {len(outcomes) - passed} failed")
    return int(bool(surprises))


def _page(arguments: argparse.Namespace) -> int:
    files = arguments.results or sorted(KEPT.glob("*.json"))
    if not files:
        raise CannotJudge(f"there are no results in {KEPT}")
    arguments.output.write_text(page.markdown([results.load(file) for file in files], expectations.load()), "utf-8")
    return 0


def main() -> int:
    """The exit status: 0 as expected, 1 not as expected, 2 when it could not be judged."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    arguments = _arguments()
    try:
        if arguments.verb == "build":
            print(f"{build.build(arguments.output)} programs in {arguments.output}")
            return 0
        return _run(arguments) if arguments.verb == "run" else _page(arguments)
    except CannotJudge as reason:
        print(f"conformance: {reason}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
