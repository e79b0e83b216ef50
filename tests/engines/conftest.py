"""Fixtures of the engine suites: one private engine for each test module, driven with the runtime under test.

PYOCI            the runtime's executable; build/pyoci of the checkout if unset
PYOCI_ENGINES    "required": an engine that is not installed is an error, not a skip
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from . import support
from .containerd import Containerd
from .docker import Docker
from .podman import Podman

CHECKOUT = Path(__file__).resolve().parents[2]


def _need(program: str) -> None:
    if shutil.which(program, path=support.PATH) is None:
        if os.environ.get("PYOCI_ENGINES") == "required":
            pytest.fail(f"{program} is not installed")
        pytest.skip(f"{program} is not installed")
    if os.geteuid() != 0:
        pytest.skip("the engines are run as root")


def _directory(prefix: str) -> Path:
    """A new directory that the users of a container's user namespace can pass through."""
    path = Path(tempfile.mkdtemp(prefix=prefix))
    path.chmod(0o711)
    return path


@pytest.fixture(scope="session", autouse=True)
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
    subprocess.run([path, "--version"], check=True, capture_output=True, timeout=10)
    return str(path)


@pytest.fixture
def workdir() -> Iterator[Path]:
    """A directory with a short path: sockets below it stay under the 107 bytes of sun_path."""
    with tempfile.TemporaryDirectory(prefix="pyoci-") as path:
        yield Path(path)


@pytest.fixture(scope="module")
def podman_engine(runtime: str) -> Iterator[Podman]:
    """A private podman for the module; fails at the end if anything outlived its removal."""
    _need("podman")
    _need("conmon")
    engine = Podman(_directory("pyoci-p"), runtime)
    left: list[str] = []
    try:
        yield engine
    finally:
        left = engine.close()
    assert not left, "left behind: " + "\n".join(left)


@pytest.fixture
def podman(podman_engine: Podman) -> Iterator[Podman]:
    """The module's podman, without containers before and after the test."""
    yield podman_engine
    podman_engine.remove_all()


@pytest.fixture(scope="module")
def containerd_engine(runtime: str) -> Iterator[Containerd]:
    """A private containerd for the module; fails at the end if anything outlived its removal."""
    _need("containerd")
    _need("ctr")
    engine = Containerd(_directory("pyoci-c"), runtime)
    left: list[str] = []
    try:
        yield engine
    finally:
        left = engine.close()
    assert not left, "left behind: " + "\n".join(left)


@pytest.fixture
def containerd(containerd_engine: Containerd) -> Iterator[Containerd]:
    """The module's containerd, without containers before and after the test."""
    yield containerd_engine
    containerd_engine.remove_all()


@pytest.fixture(scope="module")
def docker_engine(runtime: str) -> Iterator[Docker]:
    """A private dockerd for the module; fails at the end if anything outlived its removal."""
    _need("dockerd")
    _need("containerd")
    engine = Docker(_directory("pyoci-d"), runtime)
    left: list[str] = []
    try:
        yield engine
    finally:
        left = engine.close()
    assert not left, "left behind: " + "\n".join(left)


@pytest.fixture
def docker(docker_engine: Docker) -> Iterator[Docker]:
    """The module's docker, without containers before and after the test."""
    yield docker_engine
    docker_engine.remove_all()
