"""What every suite may use: the program under test, a state root and a bundle that are cleaned up."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from host_look import Host, Oddity, look
from ordinary_user import User, ordinary_user

from bench.bundles import Bundle, make_bundle

ROOT = Path(__file__).resolve().parent.parent

# A signal that is ignored where the tests are started (nohup, a shell's background) is ignored in all that they start.
for _number in (signal.SIGHUP, signal.SIGQUIT):
    signal.signal(_number, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)

#: Suites that make containers: where none can be made there is no sense in beginning.
WITH_CONTAINERS = ("integration", "engines", "performance")


@functools.cache
def oddities() -> list[Oddity]:
    """What is odd about this machine before the first test."""
    return look(Host())


def pytest_report_header() -> list[str]:
    """A line for each."""
    return [f"host: {oddity.text}" for oddity in oddities()]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Ends the session where every test with a container would fail."""
    fatal = [oddity.text for oddity in oddities() if oddity.fatal]
    suites = {
        item.path.relative_to(ROOT / "tests").parts[0] for item in session.items if item.path.is_relative_to(ROOT)
    }
    if fatal and suites.intersection(WITH_CONTAINERS):
        pytest.exit("\n".join(["no container can be tested here:", *fatal]), returncode=pytest.ExitCode.USAGE_ERROR)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Once more beside the failures, which may come from it."""
    if oddities() and terminalreporter.stats.keys() & {"failed", "error"}:
        terminalreporter.section("this machine")
        for oddity in oddities():
            terminalreporter.line(f"host: {oddity.text}")


@pytest.fixture(scope="session")
def pyoci() -> Path:
    """The launcher that `make build` writes."""
    launcher = ROOT / "build" / "pyoci"
    if not launcher.exists():
        pytest.fail("build/pyoci is missing: run `make build`")
    return launcher


@pytest.fixture(scope="session")
def user() -> Iterator[User]:
    """An ordinary user with ranges of subordinate ids."""
    if os.geteuid() != 0:
        pytest.skip("only root can make a user")
    with ordinary_user() as user:
        yield user


@pytest.fixture
def state_root(pyoci: Path) -> Iterator[Path]:
    """A state root of its own on a tmpfs; the containers that a test leaves in it are removed by force."""
    with tempfile.TemporaryDirectory(prefix="pyoci-test-", dir="/run") as folder:
        root = Path(folder)
        yield root
        for state in sorted(root.glob("*/state.json")):
            command = [str(pyoci), "--root", str(root), "delete", "--force", state.parent.name]
            subprocess.run(command, stdin=subprocess.DEVNULL, check=True, timeout=60)


@pytest.fixture
def minimal_bundle(tmp_path: Path) -> Bundle:
    """A bundle of busybox under tests/bundles/minimal.json; `configure` gives it its command."""
    return make_bundle("minimal", tmp_path / "bundle", "")
