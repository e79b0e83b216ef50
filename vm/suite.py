"""`make vm-test`: the suites in a machine with cgroup v2 and in one with v1; reports and logs go to build/vm."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from pathlib import Path

from vm import checkout, session, shell
from vm.environment import CHECKOUT
from vm.host import ROOT, VmError, run, say, tail
from vm.machine import EmulatorError, Machine, booted, emulator_told_apart

PROGRAMS = "/opt/conformance"  # in the machine
TIMEOUT = 5400.0  # seconds for one suite; emulated, on a busy host, the longest takes half of that
#: What engines make cgroups with: each once.
CGROUP_MANAGER = {"v2": "systemd", "v1": "cgroupfs"}
PYTHON = f"{CHECKOUT}/.venv/bin/python"
#: Goes alone: where a unit gets or loses a v1 controller systemd moves processes of others, and removes their cgroups.
SYSTEMD_TESTS = "tests/integration/cgroups/test_systemd.py"
SUITES = ("conformance", "integration", "systemd", "engines")


class Outcome:
    """How a suite ended in a machine: its exit code and what it counted."""

    __slots__ = ("code", "counts", "mode", "seconds", "suite")

    def __init__(self, mode: str, suite: str, code: int, seconds: float, counts: dict[str, int]) -> None:
        self.mode = mode
        self.suite = suite
        self.code = code
        self.seconds = seconds
        self.counts = counts

    @property
    def red(self) -> bool:
        """A suite without tests has shown nothing."""
        return self.code != 0 or not self.counts.get("passed")

    def __str__(self) -> str:
        counts = ", ".join(f"{number} {what}" for what, number in self.counts.items())
        verdict = f"RED (exit code {self.code})" if self.red else "green"
        return f"{self.mode:3} {self.suite:12} {verdict:20} {self.seconds:6.0f} s  {counts or 'no results'}"


def suites_of(mode: str, wanted: Sequence[str]) -> list[str]:
    """The suites that are run in a machine; the OCI suite's controllers are those of cgroup v1."""
    return [name for name in SUITES if name in wanted and (name != "conformance" or mode == "v1")]


def command(suite: str, mode: str, keyword: str) -> list[str]:
    """The command that runs a suite, or pytest's choice by a keyword, and leaves its results in /results."""
    if suite == "conformance":
        report = [f"--environment=vm-{mode}", f"--json={session.RESULTS}/conformance.json"]
        options = [f"--programs={PROGRAMS}", "--runtime=/usr/local/bin/pyoci", "--seconds=1800", "--jobs=2", *report]
        return [PYTHON, "-u", "-m", "conformance", "run", *options]
    xml = f"--junitxml={session.RESULTS}/{suite}.xml"
    chosen = ["-k", keyword] if keyword else []
    pytest = [PYTHON, "-u", "-m", "pytest", xml, "-v", "--tb=short", *chosen]
    if suite == "systemd":
        return [*pytest, SYSTEMD_TESTS]
    return [*pytest, f"tests/{suite}", f"--ignore={SYSTEMD_TESTS}", "-n2", "--dist=loadfile"]


def counted(results: Path, suite: str) -> dict[str, int]:
    """How many tests passed, failed and were skipped, as the suite's report says; empty without one."""
    if suite == "conformance":
        return counted_programs(results / "conformance.json")
    report = results / f"{suite}.xml"
    if not report.exists():
        return {}
    totals = dict.fromkeys(("tests", "failures", "errors", "skipped"), 0)
    for element in ElementTree.parse(report).iter("testsuite"):
        for name in totals:
            totals[name] += int(element.get(name, 0))
    failed = totals["failures"] + totals["errors"]
    return {"passed": totals["tests"] - failed - totals["skipped"], "failed": failed, "skipped": totals["skipped"]}


def counted_programs(report: Path) -> dict[str, int]:
    """How many of the OCI suite's programs were clean; whether the rest was to be expected tells the exit code."""
    if not report.exists():
        return {}
    programs = json.loads(report.read_text())["runtimes"]["pyoci"]["programs"].values()
    clean = sum(program["verdict"] == "clean" for program in programs)
    return {"passed": clean, "not clean": len(programs) - clean}


def in_machine(machine: Machine, suite: str, results: Path, keyword: str, timeout: float) -> Outcome:
    """Run a suite with its output here and in `results`/SUITE.log, and bring its results back."""
    say(f"{machine.mode}: {suite}")
    begin = time.monotonic()
    with subprocess.Popen(["tee", str(results / f"{suite}.log")], stdin=subprocess.PIPE) as tee:
        assert tee.stdin is not None
        try:
            environment = {
                "PYOCI_ENGINES": "required",
                "PYOCI_CGROUP_MANAGER": CGROUP_MANAGER[machine.mode],
                "PYTHONUNBUFFERED": "1",
                "PYOCI_FAULTS_SLICE": "1000",  # for processors that are emulated
            }
            code = shell.execute(
                machine,
                command(suite, machine.mode, keyword),
                cwd=CHECKOUT,
                env=environment,
                timeout=timeout,
                output=tee.stdin,
            )
        except VmError as error:
            print(f"vm: {error}", file=sys.stderr)
            code = shell.CONNECTION_FAILED
        finally:
            tee.stdin.close()
    if machine.alive:
        shell.fetch(machine, session.RESULTS, results)
    return Outcome(machine.mode, suite, code, time.monotonic() - begin, counted(results, suite))


def fresh_results(mode: str) -> Path:
    """The empty directory of a mode's results, build/vm/MODE."""
    results = ROOT / "build" / "vm" / mode
    run(["rm", "-rf", results])
    results.mkdir(parents=True)
    return results


def in_suites(
    machine: Machine, wanted: Sequence[str], programs: Path | None, results: Path, keyword: str, timeout: float
) -> Iterator[Outcome]:
    """Run suites in a machine, bring its logs back to `results`, and yield how each ended.

    Raises VmError when the machine ends.
    """
    shell.execute(machine, ["sh", "-c", f"rm -rf {session.RESULTS}; mkdir {session.RESULTS}"])
    if programs:
        shell.send(machine, programs, PROGRAMS)
    try:
        for suite in wanted:
            outcome = in_machine(machine, suite, results, keyword, timeout)
            if not machine.alive:
                raise VmError(f"the machine ended in {suite}; the console's end:\n{tail(machine.console)}")
            yield outcome
        shell.execute(machine, ["sh", "-c", f"journalctl -b --no-pager >{session.RESULTS}/journal.log"])
        shell.fetch(machine, session.RESULTS, results)
    finally:
        run(["cp", machine.console, results / "console.log"])


def in_mode(
    mode: str, wanted: Sequence[str], programs: Path | None, archive: Path, keyword: str, timeout: float
) -> list[Outcome]:
    """Boot a machine and run suites in it; a machine that fails is an outcome, too, so that the next is tried."""
    results, outcomes, tries = fresh_results(mode), list[Outcome](), 2
    begin = time.monotonic()
    while len(outcomes) < len(wanted):
        try:
            with booted(mode) as machine, emulator_told_apart(machine):
                session.install(machine, archive)
                left = wanted[len(outcomes) :]
                for outcome in in_suites(machine, left, programs, results, keyword, timeout):
                    outcomes.append(outcome)
        except VmError as error:
            print(f"vm: {error}", file=sys.stderr)
            tries -= 1
            if not tries or not isinstance(error, EmulatorError):
                return [*outcomes, Outcome(mode, "machine", 125, time.monotonic() - begin, {})]
            say("that suite once more")
    return outcomes


def test(modes: Sequence[str], wanted: Sequence[str], keyword: str, timeout: float) -> int:
    """Run suites in machines of the modes; the exit code is 0 when all are green. Raises VmError."""
    archive = checkout.payload()
    outcomes = []
    for mode in modes:
        names = suites_of(mode, wanted)
        programs = conformance_programs() if "conformance" in names else None
        if names:
            outcomes += in_mode(mode, names, programs, archive, keyword, timeout)
    return verdict(outcomes)


def test_running(wanted: Sequence[str], keyword: str, timeout: float) -> int:
    """The same in the machine that was started, with the checkout that it has."""
    machine = session.current()
    names = suites_of(machine.mode, wanted)
    programs = conformance_programs() if "conformance" in names else None
    return verdict(list(in_suites(machine, names, programs, fresh_results(machine.mode), keyword, timeout)))


def verdict(outcomes: Sequence[Outcome]) -> int:
    """Print how it went; the exit code. Raises VmError if nothing was run."""
    print("", *outcomes, "", sep="\n")
    if not outcomes:
        raise VmError("no suite was to be run")
    red = sum(outcome.red for outcome in outcomes)
    print(f"{len(outcomes) - red} passed, {red} failed")
    return int(red > 0)


def conformance_programs() -> Path:
    """A tar of the OCI suite's programs, built on the host, which has Go."""
    folder, archive = ROOT / "build" / "conformance" / "programs", ROOT / "build" / "vm" / "conformance.tar"
    say("building the programs of the OCI suite")
    run([sys.executable, "-m", "conformance", "build", "--output", folder], cwd=ROOT)
    archive.parent.mkdir(parents=True, exist_ok=True)
    run(["tar", "-C", folder, "-cf", archive, "."])
    return archive
