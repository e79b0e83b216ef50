"""Fault injection (faults/): a part of what `make faults` tries, and what it has found before, each by name."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from faults import injector, place

ROOT = Path(__file__).resolve().parents[3]
#: One of so many cases is tried.
SLICE = os.environ.get("PYOCI_FAULTS_SLICE") or "50"
TRY = """
import json, sys
from pathlib import Path
from faults import run
from faults.calls import Case
from faults.place import Place
from faults.trial import Trials
runtime, program, scenario, process, name, path, nth, fault = sys.argv[1:]
place = Place(Path(runtime))
try:
    trials = Trials(place, run.BY_NAME[scenario], Path(program))
    own = [call for call in trials.record() if call.process == int(process)]
    calls = [call for call in own if call.name == name and path in call.path]
    print(json.dumps(trials.one(Case(scenario, calls[int(nth)], fault))))
finally:
    place.close()
"""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="these containers are run as root")


class Programs(NamedTuple):
    """The injector, and a pyoci that does not look for its sources."""

    injector: Path
    runtime: Path


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Programs:
    folder = tmp_path_factory.mktemp("faults")
    return Programs(injector.build(folder / "inject"), place.build_runtime(ROOT, folder / "pyoci"))


def test_a_slice(programs: Programs) -> None:
    command = [sys.executable, "-m", "faults", "--slice", SLICE, "--runtime", str(programs.runtime)]
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize(
    ("scenario", "call", "path", "nth", "fault"),
    [
        # who could not look at the process took it for one that had ended
        ("state", "openat", "/stat", 0, "EMFILE"),
        ("state", "openat", "/stat", 0, "ENOMEM"),
        ("delete", "openat", "/stat", 0, "EMFILE"),
        # a descriptor that was asked for its flags was taken for a closed one, and /dev/null put in its place
        ("state", "fcntl", "", 1, "EIO"),
        # a library of the interpreter's
        ("state", "openat", "_json", 0, "EMFILE"),
        # the last that a create does is to give descriptors back: it failed when it was done
        ("create", "close", "", -1, "EIO"),
        ("create", "close", "", -2, "EINTR"),
        # the pid file's unnamed beginning stayed
        ("create", "renameat", "", 0, "ENOSPC"),
        # a limit that was not known was restored as 0, and nothing could be undone
        ("create", "prlimit64", "", 0, "EIO"),
        # past the point of no return
        ("start", "unlinkat", "start.sock", 0, "EIO"),
        ("start", "openat", "state.json~", 0, "ENOSPC"),
        ("start", "renameat", "state.json~", 0, "EIO"),
        # hooks that could not be read were not run, and the container went on
        ("start-user", "openat", "config.json", 0, "EIO"),
        # a record that could not be read again made `delete` wait for itself
        ("delete-force", "openat", "state.json", 1, "EIO"),
        # what could not be told of the freezer was a failure to kill
        ("kill", "openat", "/sys/fs/cgroup/freezer", 0, "EIO"),
        # what cannot be removed at the end is no reason to lose the process's exit code
        ("run", "unlinkat", "", -1, "EIO"),
        # the file that could not be closed, which may lack what was written, stayed
        ("spec", "close", "", -1, "EIO"),
    ],
)
def test_found_before(programs: Programs, scenario: str, call: str, path: str, nth: int, fault: str) -> None:
    judge(programs, scenario, 0, call, path, nth, fault)


@pytest.mark.parametrize("nth", range(4))
def test_a_descriptor_that_init_would_miss(programs: Programs, nth: int) -> None:
    """It said that it was ready, and create that all was done; then it could not listen for `start`."""
    judge(programs, "create-engine", 1, "fcntl", "", nth, "EMFILE")


def judge(programs: Programs, scenario: str, process: int, call: str, path: str, nth: int, fault: str) -> None:
    command = [sys.executable, "-c", TRY, str(programs.runtime), str(programs.injector)]
    command += [scenario, str(process), call, path, str(nth), fault]
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr
