"""A Debian virtual machine to try pyoci in.

    python -m vm tree [--output DIR [--pyoci]]     a Debian root filesystem; prints or fills a directory
    python -m vm build                             everything that is cached: tree, environment, image, checkout
    python -m vm run [options] -- COMMAND...       boot, install this checkout, run, bring results back, end
    python -m vm test                              the suites in machines with cgroup v2 and v1; see build/vm
    python -m vm start, sync, put, exec, fetch, shell, status, stop     a machine that stays for a while

See docs/vm.md.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from vm import checkout, environment, session, suite, tree
from vm.host import ROOT, VmError
from vm.image import image
from vm.machine import MODES, booted


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """The command line, read."""
    parser = argparse.ArgumentParser(prog="python -m vm", description="A Debian virtual machine to try pyoci in.")
    commands = parser.add_subparsers(dest="verb", required=True)

    def verb(name: str, text: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=text, description=text)

    one = verb("tree", "Print the path of a Debian root filesystem, which belongs to the cache, or make a copy of it.")
    one.add_argument("--output", type=Path, metavar="DIR", help="a new directory for a copy of one's own")
    one.add_argument("--pyoci", action="store_true", help="with pyoci built and installed in the copy")
    verb("build", "Make what the cache does not have: tree, environment, image, checkout.")
    one = verb("run", "Boot a machine, install this checkout, run a command in it, bring its results back, end it.")
    booting(one)
    one.add_argument("--results", type=Path, metavar="DIR", help="where /results goes (build/vm/results)")
    commanding(one)
    one = verb("test", "Run the suites in machines with cgroup v2 and v1; results and logs go to build/vm.")
    one.add_argument("--cgroup", choices=sorted(MODES), action="append", help="only in this machine")
    one.add_argument("--running", action="store_true", help="in the machine that was started, with what it has")
    one.add_argument("--suite", choices=suite.SUITES, action="append", help="only this suite")
    one.add_argument("-k", default="", metavar="KEYWORD", help="only tests that pytest chooses by it")
    one.add_argument("--timeout", type=float, default=suite.TIMEOUT, metavar="SECONDS", help="for each suite")
    one = verb("start", "Boot a machine with this checkout, which stays until it is stopped.")
    booting(one)
    one.add_argument("--for", dest="keep", type=float, default=3, metavar="HOURS", help="it ends by itself (3)")
    one = verb("exec", "Run a command in the machine that was started.")
    commanding(one)
    verb("sync", "Build this checkout and install it in the machine that was started.")
    one = verb("put", "Copy files of this checkout into the machine that was started, without a build.")
    one.add_argument("files", nargs="+", metavar="FILE")
    one = verb("fetch", "Bring a directory of the machine that was started to the host.")
    one.add_argument("directory")
    one.add_argument("target", type=Path)
    one = verb("shell", "A terminal in the machine that was started, or else in a new one that ends with the terminal.")
    booting(one)
    one.add_argument("--user", default="root")
    verb("status", "Tell which machine runs.")
    verb("stop", "End the machine that was started.")
    return parser.parse_args(argv)


def booting(parser: argparse.ArgumentParser) -> None:
    """Options of commands that boot a machine."""
    parser.add_argument("--cgroup", choices=sorted(MODES), default="v2", help="v2 alone, or v1 with all controllers")
    parser.add_argument("--bare", action="store_true", help="without the checkout")


def commanding(parser: argparse.ArgumentParser) -> None:
    """Options of commands that run one in the machine."""
    parser.add_argument("--timeout", type=float, metavar="SECONDS", help="give up after that long")
    parser.add_argument("--user", default="root", help="root or alice, who has subordinate ids and a systemd of hers")
    parser.add_argument("--cwd", default=environment.CHECKOUT, metavar="DIR", help=f"({environment.CHECKOUT})")
    parser.add_argument("command", nargs="+", metavar="COMMAND")


def run(options: argparse.Namespace) -> int:
    """The verb `run`."""
    archive = None if options.bare else checkout.payload()
    results = options.results or ROOT / "build" / "vm" / "results"
    with booted(options.cgroup) as machine:
        if archive:
            session.install(machine, archive)
        try:
            return session.execute(machine, options)
        finally:
            session.bring(machine, results)


def shell(options: argparse.Namespace) -> int:
    """The verb `shell`."""
    if session.running():
        return session.login(session.current(), options.user)
    archive = None if options.bare else checkout.payload()
    with booted(options.cgroup) as machine:
        if archive:
            session.install(machine, archive)
        return session.login(machine, options.user)


def act(options: argparse.Namespace) -> int:
    """Do what the command line asks for; returns the exit code. Raises VmError."""
    match options.verb:
        case "tree" if options.output:
            checkout.copy_tree(options.output.absolute(), install=options.pyoci)
        case "tree":
            print(tree.tree())
        case "build":
            print(image(), checkout.payload(), sep="\n")
        case "run":
            return run(options)
        case "test":
            suites = options.suite or suite.SUITES
            if options.running:
                return suite.test_running(suites, options.k, options.timeout)
            return suite.test(options.cgroup or ["v2", "v1"], suites, options.k, options.timeout)
        case "start":
            session.start(options.cgroup, options.keep * 3600, None if options.bare else checkout.payload())
        case "exec":
            return session.execute(session.current(), options)
        case "sync":
            session.install(session.current(), checkout.payload())
        case "put":
            session.put(session.current(), options.files)
        case "fetch":
            session.bring(session.current(), options.target, options.directory)
        case "shell":
            return shell(options)
        case "status":
            print(session.status())
        case "stop":
            session.stop()
    return 0


def main(argv: Sequence[str]) -> int:
    """Exit code: the command's own; 125 for what went wrong with the machine."""
    # SIGTERM and SIGHUP end the machine just as SIGINT does.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        return act(arguments(argv))
    except VmError as error:
        print(f"vm: {error}", file=sys.stderr)
        return 125
    except KeyboardInterrupt:
        print("vm: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
