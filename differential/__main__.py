"""python3 -m differential run|replay: see README.md."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import time
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

from differential import cases, known, rules, run
from differential.cases import Case
from differential.compare import Difference
from differential.draw import draw_cases
from differential.errors import CannotCompare
from differential.places import CHECKOUT, PACKAGE
from differential.reduce import reduce

KEPT = PACKAGE / "examples"
FOUND = CHECKOUT / "build" / "differential" / "found"
#: Cases of a view after which a rule that was of no use is suspect.
ENOUGH = 1000


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="differential", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--pyoci", default=str(CHECKOUT / "build" / "pyoci"), metavar="PATH")
    common.add_argument("--peer", action="append", default=[], metavar="PATH", help="runc and crun, where installed")
    verb = verbs.add_parser("run", parents=[common], help="kept and drawn cases; exit 1 on what no rule explains")
    verb.add_argument("--examples", type=int, default=300, help="cases to draw for each view (%(default)s)")
    verb.add_argument("--seed", type=int, default=1, help="of what is drawn (%(default)s)")
    verb.add_argument("--view", action="append", choices=cases.VIEWS, help="only this one")
    verb.add_argument("--tries", type=int, default=100, help="to make a case smaller (%(default)s)")
    verb = verbs.add_parser("replay", parents=[common], help="run cases, or config.json, of files; all differences")
    verb.add_argument("files", nargs="+", type=Path, metavar="FILE")
    return parser.parse_args()


def _runtimes(arguments: argparse.Namespace) -> list[run.Runtime]:
    peers = arguments.peer or [name for name in ("runc", "crun") if shutil.which(name)]
    if not peers:
        raise CannotCompare("there is nothing to compare with: install runc, or name one with --peer")
    return [run.Runtime(run.OURS, str(Path(arguments.pyoci).resolve()), ()), *map(run.find_runtime, peers)]


def _run(arguments: argparse.Namespace) -> int:
    runtimes = _runtimes(arguments)
    begin = time.monotonic()
    kept = [cases.read(path) for path in sorted(KEPT.glob("*.json"))]
    views: dict[str, Iterable[Case]] = {
        view: chain([case for case in kept if case.view == view], draw_cases(view, arguments.seed, arguments.examples))
        for view in arguments.view or cases.VIEWS
    }

    def told(case: Case, new: list[Difference], seconds: float) -> None:
        text = ", ".join(sorted({each.signature for each in new})) or "alike"
        print(f"{time.monotonic() - begin:7.1f} s  {case.name} ({seconds:.1f} s): {text}", file=sys.stderr, flush=True)

    findings = run.compare(views, runtimes, told)
    firsts: dict[str, Difference] = {}
    for each in findings.unexplained:
        firsts.setdefault(each.signature, each)
    for difference in firsts.values():
        _show(difference, runtimes, arguments)
    print(f"seed {arguments.seed}: {findings.cases} cases with {', '.join(each.label for each in runtimes)}")
    print("rules used: " + ", ".join(f"{name} {count}" for name, count in sorted(findings.uses.items())))
    versions = {each.name: each.version for each in runtimes}
    if unused := rules.stale(known.RULES, versions, findings.uses):
        enough = arguments.examples >= ENOUGH and not arguments.view
        print(f"rules without use{', stale?' if enough else ''}: {', '.join(unused)}")
    print(f"{len(findings.unexplained)} differences of {len(firsts)} kinds without a rule")
    return int(bool(firsts))


def _show(difference: Difference, runtimes: list[run.Runtime], arguments: argparse.Namespace) -> None:
    """A difference, and a file with a small case that has it."""
    small = difference.case
    if arguments.tries:
        with run.Bench(small.view, runtimes) as bench:
            small = reduce(small, lambda case: difference.signature in bench.signatures(case), arguments.tries)
    FOUND.mkdir(parents=True, exist_ok=True)
    name = "".join(letter if letter.isalnum() else "-" for letter in difference.signature).strip("-")
    file = FOUND / f"{name}.json"
    file.write_text(small.text(), "utf-8")
    print(f"\n{difference.case.name}: {difference.text()}\nmake it again with: python -m differential replay {file}\n")
    print(small.text(), flush=True)


def _replay(arguments: argparse.Namespace) -> int:
    runtimes = _runtimes(arguments)
    versions = {each.name: each.version for each in runtimes}
    unexplained = 0
    for file in arguments.files:
        case = cases.read(file)
        with run.Bench(case.view, runtimes) as bench:
            for each in bench.differences(case):
                names = rules.explain(each, versions, known.RULES)
                unexplained += not names
                print(f"{case.name}: {', '.join(sorted(names)) or 'NO RULE'}: {each.text()}")
    print(f"{unexplained} differences without a rule")
    return int(bool(unexplained))


def main() -> int:
    """The exit status: 0 when rules explain everything, 1 when not, 2 when nothing could be compared."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    arguments = _arguments()
    try:
        return _run(arguments) if arguments.verb == "run" else _replay(arguments)
    except CannotCompare as reason:
        print(f"differential: {reason}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
