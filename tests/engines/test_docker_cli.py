"""What podman and docker do alike, beyond the features that ctr has too."""

from __future__ import annotations

import pytest

from . import limits
from .docker_cli import DockerCli
from .engine import Options


@pytest.fixture(params=["podman", "docker"])
def cli(request: pytest.FixtureRequest) -> DockerCli:
    """Each in turn."""
    found: DockerCli = request.getfixturevalue(request.param)
    return found


def test_logs_of_both_streams_and_the_state_at_the_end(cli: DockerCli) -> None:
    cli.start("--name", "first", command=("sh", "-c", "echo one; echo two >&2; exit 5"))
    assert cli("wait", "first").stdout == "5\n"
    logs = cli("logs", "first")
    assert (logs.stdout, logs.stderr) == ("one\n", "two\n")
    state = cli.inspect("first")["State"]
    assert (state["Status"], state["ExitCode"], state["Running"], state["OOMKilled"]) == ("exited", 5, False, False)


@pytest.mark.usefixtures("memory_limits")
def test_limits_are_changed(cli: DockerCli) -> None:
    cli.detached("first", options=Options(memory=64 << 20, pids=33, words=("--cpu-quota", "50000")))
    pid = cli.pid("first")
    assert (limits.memory_limit(pid), limits.cpu_quota(pid), limits.process_limit(pid)) == (64 << 20, 50000, 33)
    swap = ("--memory-swap", "96m") if cli.name == "docker" else ()
    cli("update", "--memory", "48m", *swap, "--cpu-quota", "30000", "first")
    assert (limits.memory_limit(pid), limits.cpu_quota(pid)) == (48 << 20, 30000)
