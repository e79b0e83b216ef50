"""One program, run as the judge runs it: what it gets, and that nothing of it stays. Needs root, no Go."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from conformance import build, cgroups
from conformance.supervise import HELPER, ROOTFS

ROOT = Path(__file__).parents[3]
RUNTIME = """#!/bin/sh
# list -q: what was created; delete --force ID
case $1 in
    list) ls /run/fake ;;
    delete) rm /run/fake/$3 && echo "$3" >> {log} ;;
esac
"""


class Suite:
    """A folder of programs, and a runtime that only remembers."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.log = path / "deleted"
        for name in (HELPER, ROOTFS, build.ABOUT):
            (path / name).write_text(name)
        self.runtime = self.script("runtime", RUNTIME.format(log=self.log))

    def script(self, name: str, text: str) -> Path:
        script = self.path / name
        script.write_text(text)
        script.chmod(0o755)
        return script

    def run(self, text: str, seconds: float = 20) -> dict[str, Any]:
        self.script("program", "#!/bin/sh\n" + text)
        argv = [
            sys.executable,
            "-m",
            "conformance.supervise",
            str(self.path),
            "program",
            str(self.runtime),
            str(seconds),
        ]
        done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        result: dict[str, Any] = json.loads(done.stdout)
        return result


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    return Suite(tmp_path)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_what_a_program_gets(suite: Suite) -> None:
    result = suite.run(f"cat {HELPER} {ROOTFS}; echo; echo $RUNTIME; echo $TMPDIR; ls /run; echo no >&2; exit 3")
    assert result["stdout"].split() == [HELPER + ROOTFS, str(suite.runtime), "/run/conformance/tmp", "conformance"]
    assert (result["exit"], result["stderr"], result["timed_out"]) == (3, "no\n", False)


def test_mounts_are_its_own(suite: Suite) -> None:
    result = suite.run("mount -t tmpfs marked-by-test /mnt && grep -c marked-by-test /proc/self/mountinfo")
    assert result["stdout"] == "1\n"
    assert "marked-by-test" not in Path("/proc/self/mountinfo").read_text()
    assert not Path("/run/conformance").exists()


def test_processes_end_with_it(suite: Suite) -> None:
    result = suite.run("setsid sleep 1000 & echo $!; (setsid sh -c 'trap \"\" TERM; sleep 1000 & wait' & echo $!)")
    pids = [int(word) for word in result["stdout"].split()]
    assert len(pids) == 2
    assert not any(alive(pid) for pid in pids)


def test_containers_are_deleted(suite: Suite) -> None:
    suite.run("mkdir /run/fake && touch /run/fake/one /run/fake/two")
    assert sorted(suite.log.read_text().split()) == ["one", "two"]


def test_cgroups_of_its_processes_are_removed(suite: Suite) -> None:
    hierarchy = next(each for each in cgroups.mounted() if each.version == 2 or "pids" in each.controllers)
    cgroup = Path(hierarchy.path, f"pyoci-test-{os.getpid()}")
    suite.run(f"mkdir {cgroup} && sleep 1000 & sleep 0.1; echo $! > {cgroup}/cgroup.procs")
    assert not cgroup.exists()


def test_time_is_limited(suite: Suite) -> None:
    begin = time.monotonic()
    result = suite.run("echo ok 1; exec sleep 1000", seconds=0.5)
    assert (result["timed_out"], result["exit"], result["stdout"]) == (True, -9, "ok 1\n")
    assert time.monotonic() - begin < 30


def test_a_signal_is_told(suite: Suite) -> None:
    assert suite.run("kill -SEGV $$")["exit"] == -11


MOUNTINFO = """22 27 0:21 / /proc rw - proc proc rw
30 27 0:25 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct
31 27 0:26 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
32 27 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate
"""


def test_hierarchies() -> None:
    found = [(each.path, each.version, each.controllers) for each in cgroups.hierarchies(MOUNTINFO)]
    assert found == [
        ("/sys/fs/cgroup/cpu,cpuacct", 1, ("cpu", "cpuacct")),
        ("/sys/fs/cgroup/systemd", 1, ("name=systemd",)),
        ("/sys/fs/cgroup/unified", 2, ()),
    ]


@pytest.mark.parametrize(
    ("argv", "reason"),
    [
        (["run", "--runtime", "/no/runtime"], "there is no runtime /no/runtime"),
        (["run", "--runtime", "sh", "--programs", "/nowhere"], "`python3 -m conformance build` makes them"),
        (["build"], "go is not installed"),
    ],
)
def test_a_judge_that_cannot_run_says_why(argv: list[str], reason: str, tmp_path: Path) -> None:
    environment = {"PATH": str(tmp_path)} if argv == ["build"] else None
    command = [sys.executable, "-m", "conformance", *argv]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 2
    assert reason in done.stderr
    assert len(done.stderr.splitlines()) == 1
