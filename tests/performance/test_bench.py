"""`make bench` works, and leaves nothing: no test asserts a time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench import page
from bench.bundles import cgroup_mounts
from bench.places import PREFIX

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "bench", "--quick", "--place", "native"]


def left_by(pid: int) -> list[Path]:
    """The folders and cgroups of the benchmark that has, or had, this pid."""
    places = [Path("/var/tmp"), Path("/run"), *cgroup_mounts()]
    return [path for place in places for path in place.glob(f"{PREFIX}{pid}*")]


def ended(process: subprocess.Popen[str], patience: float = 400) -> tuple[int, str]:
    """Exit status and all output."""
    output, _ = process.communicate(timeout=patience)
    return process.returncode, output


def start(*arguments: object) -> subprocess.Popen[str]:
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of figures that a quick run writes."""
    path = tmp_path_factory.mktemp("bench") / "figures.json"
    process = start("--json", path)
    status, output = ended(process)
    assert status == 0, output
    assert "create+start+delete" in output
    assert "us per existing container" in output
    assert not left_by(process.pid)
    return path


def test_every_command_is_measured(figures: Path) -> None:
    native = json.loads(figures.read_text())["places"]["native"]
    assert set(native["bundles"]) == {"minimal", "engine"}
    commands = {"run", "create", "start", "delete", "create+start+delete", "state", "exec", "kill"}
    assert commands <= set(native["bundles"]["engine"])
    for figure in native["bundles"]["engine"]["run"].values():
        assert figure["runs"] == 2
        assert min(figure["wall_ms"], figure["cpu_ms"], figure["peak_rss_kib"], figure["minor_faults"]) > 0
    assert {"pyoci", "runc"} <= set(native["machine"]["versions"])
    assert set(native["floors"]) == {"process", "interpreter"}
    assert set(native["slopes"]) == {"mounts", "tmpfs", "seccomp", "hooks", "existing"}
    assert set(native["slopes"]["existing"]["commands"]["list"]["pyoci"]["medians_ms"]) == {"0", "2"}


def test_the_page_shows_every_plot(figures: Path, tmp_path: Path) -> None:
    assert page.main([str(figures), str(tmp_path)]) == 0
    text = (tmp_path / "performance.md").read_text()
    plots = sorted(path.name for path in (tmp_path / "performance").iterdir())
    assert "native-engine-wall.svg" in plots
    assert sorted(part.partition(")")[0] for part in text.split("](performance/")[1:]) == plots
    for name in plots:
        root = ElementTree.fromstring((tmp_path / "performance" / name).read_text())
        texts = ["".join(element.itertext()) for element in root.iter() if element.tag.endswith("}text")]
        assert any(unit in " ".join(texts) for unit in ("(ms)", "(KiB)", "faults")), name
        assert {"pyoci", "runc"} <= set(texts), name


def test_a_page_is_replaced_only_by_a_whole_run(tmp_path: Path) -> None:
    status, output = ended(
        start("--only", "minimal", "--slope", "none", "--json", tmp_path / "figures.json", "--page", tmp_path / "docs")
    )
    assert status == 0, output
    assert "not a whole run" in output
    assert not (tmp_path / "docs").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_is_interrupted_leaves_nothing(number: signal.Signals, tmp_path: Path) -> None:
    process = start("--json", tmp_path / "figures.json", "--slope-runs", 1)
    deadline = time.monotonic() + 200
    while not any(left_by_cgroup(process.pid)):
        assert process.poll() is None, ended(process)
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, number)
    status, output = ended(process)
    assert status == 128 + number, output
    assert "Traceback" not in output
    assert not left_by(process.pid)


def left_by_cgroup(pid: int) -> list[Path]:
    """The containers' cgroups of the benchmark."""
    return [path for mount in cgroup_mounts() for path in mount.glob(f"{PREFIX}{pid}/*") if path.is_dir()]


def test_what_a_killed_one_left_is_swept_up_by_the_next(tmp_path: Path) -> None:
    process = start("--json", tmp_path / "figures.json")
    deadline = time.monotonic() + 200
    while not left_by_cgroup(process.pid):
        assert process.poll() is None, ended(process)
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)  # not its children: they must end by themselves
    ended(process)
    assert left_by(process.pid)
    status, output = ended(start("--only", "minimal", "--slope", "none", "--json", tmp_path / "figures.json"))
    assert status == 0, output
    assert not left_by(process.pid)


def test_a_runtime_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    status, output = ended(start("--runtime", "nothing", "--json", tmp_path / "figures.json"))
    assert (status, output) == (1, "bench: no runtime nothing on this machine\n")


def test_a_runtime_that_fails_is_one_line(tmp_path: Path) -> None:
    status, output = ended(start("--runtime", "false=/bin/false", "--json", tmp_path / "figures.json"))
    assert status == 1
    assert "/bin/false --root /mnt/state/false run" in output
    assert "Traceback" not in output
