"""Fixtures of the engine suites: one private engine of each kind for the session, driven with the runtime under test.

PYOCI                   the runtime's executable; build/pyoci of the checkout if unset
PYOCI_ENGINES           "required": an engine that is not installed or cannot run is an error, not a skip
PYOCI_CGROUP_MANAGER    what the engines make cgroups with: "cgroupfs", or "systemd"

    def test_x(engine: Engine) -> None:       once for each engine, with the verbs of engine.py
    def test_y(podman: Podman) -> None:       this one only
    @pytest.mark.feature("run")               a row of docs/engines.md; the docstring says what it means

The junit file that ``--junitxml`` writes has all that docs/engines.md needs: the properties feature, engine and shows
with each test of a feature, and the facts of environment.py.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from . import environment, processes
from .containerd import Containerd
from .docker import Docker
from .engine import Engine
from .podman import Podman

CHECKOUT = Path(__file__).resolve().parents[2]
ENGINES: tuple[type[Engine], ...] = (Containerd, Podman, Docker)


def pytest_configure(config: pytest.Config) -> None:
    """Tell pytest of the marker."""
    config.addinivalue_line("markers", "feature(name): the test fills a row of docs/engines.md")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Note in the junit file which cell of the table a test fills, even if its engine does not start."""
    for item in items:
        marker = item.get_closest_marker("feature")
        if marker and isinstance(item, pytest.Function):
            engine = item.callspec.params["engine"]
            shows = " ".join((item.function.__doc__ or "").split())
            item.user_properties += [("feature", marker.args[0]), ("engine", engine), ("shows", shows)]


def _cannot_run(reason: str) -> None:
    if os.environ.get("PYOCI_ENGINES") == "required":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="package", autouse=True)
def _terminated_means_interrupted() -> Iterator[None]:
    """SIGTERM runs the fixtures' clean-up like SIGINT does: a killed session must not leave containers."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="session")
def runtime() -> str:
    """Absolute path of the runtime under test."""
    path = Path(os.environ.get("PYOCI") or CHECKOUT / "build" / "pyoci").resolve()
    if not os.access(path, os.X_OK):
        pytest.fail(f"no runtime at {path}: build it, or name one in PYOCI")
    subprocess.run([path, "--version"], check=True, capture_output=True, timeout=60)
    return str(path)


@pytest.fixture(scope="session")
def _facts(runtime: str) -> list[tuple[str, str]]:
    """Where this runs, and with what."""
    return [(f"fact {name}", value) for name, value in environment.facts(runtime, ENGINES).items()]


@pytest.fixture(autouse=True)
def _with_facts(request: pytest.FixtureRequest, _facts: list[tuple[str, str]]) -> None:
    """Put them into the junit file; with a test, for a worker of xdist knows nothing of the suite."""
    if request.node.get_closest_marker("feature"):
        request.node.user_properties += _facts


@pytest.fixture
def workdir() -> Iterator[Path]:
    """A directory with a short path: sockets below it stay under the 107 bytes of sun_path.

    The engines' fixtures ask for it too, so that it outlives the containers that write to it.
    """
    with tempfile.TemporaryDirectory(prefix="pyoci-") as path:
        yield Path(path)


@pytest.fixture
def memory_limits() -> None:
    """For a test that limits memory: where no engine can do that it does not apply."""
    reason = environment.missing_memory_limits()
    if reason:
        pytest.skip(f"n/a: {reason}")


def _private(kind: type[Engine], runtime: str) -> Iterator[Engine]:
    """An engine of its own; fails at the end if anything outlived its removal."""
    for program in kind.programs:
        if shutil.which(program, path=processes.PATH) is None:
            _cannot_run(f"{program} is not installed")
    if os.geteuid() != 0:
        _cannot_run("the engines are run as root")
    directory = Path(tempfile.mkdtemp(prefix=f"pyoci-{kind.name[0]}"))
    directory.chmod(0o711)  # the users of a container's user namespace pass through
    engine = kind(directory, runtime)
    left: list[str] = []
    try:
        yield engine
    finally:
        left = engine.close()
    assert not left, "left behind: " + "\n".join(left)


@pytest.fixture(scope="package")
def podman_engine(runtime: str) -> Iterator[Engine]:
    """The podman of all tests here, which ends with them: other tests look for what is left behind."""
    yield from _private(Podman, runtime)


@pytest.fixture(scope="package")
def containerd_engine(runtime: str) -> Iterator[Engine]:
    """The containerd of all tests here, which ends with them: other tests look for what is left behind."""
    yield from _private(Containerd, runtime)


@pytest.fixture(scope="package")
def docker_engine(runtime: str) -> Iterator[Engine]:
    """The docker of all tests here, which ends with them: other tests look for what is left behind."""
    yield from _private(Docker, runtime)


@pytest.fixture
def podman(podman_engine: Podman, workdir: Path) -> Iterator[Podman]:
    """podman, without containers before and after the test."""
    yield podman_engine
    podman_engine.remove_all()


@pytest.fixture
def pod(podman: Podman, memory_limits: None) -> Iterator[str]:
    """A pod of podman's whose containers share all namespaces that can be shared; it is not started yet.

    On hosts with cgroup v1 podman makes one only where that has all controllers, memory among them.
    """
    infra = ("--infra-image", podman.image, "--infra-command", "/bin/sleep 1000")
    podman("pod", "create", "--name", "pod", "--share", "net,ipc,uts,pid", *infra)
    yield "pod"
    podman("pod", "rm", "-fa", "-t", "0")


@pytest.fixture
def containerd(containerd_engine: Containerd, workdir: Path) -> Iterator[Containerd]:
    """containerd, without containers before and after the test."""
    yield containerd_engine
    containerd_engine.remove_all()


@pytest.fixture
def docker(docker_engine: Docker, workdir: Path) -> Iterator[Docker]:
    """docker, without containers before and after the test."""
    yield docker_engine
    docker_engine.remove_all()


@pytest.fixture(params=[kind.name for kind in ENGINES])
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each engine in turn. Where one has no such feature, that is proved and the test skipped as not applicable."""
    found: Engine = request.getfixturevalue(request.param)
    marker = request.node.get_closest_marker("feature")
    lack = found.lacks.get(marker.args[0]) if marker else None
    if lack:
        said = found(*lack.command).stdout
        assert not re.search(lack.pattern, said, re.MULTILINE), f"{lack.reason}? It says:\n{said}"
        pytest.skip(f"n/a: {lack.reason}")
    return found
