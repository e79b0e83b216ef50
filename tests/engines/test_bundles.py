"""The bundles that engines write, taken live and run unchanged by hand; and what the engines ask of a runtime."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from . import capture, cleanup, processes
from .containerd import Containerd
from .engine import Options
from .podman import Podman

SCRIPT = "echo hello; id -u; touch /tmp/x && echo wrote; tty; exit 12"


def _behind(argv: list[str], option: str, recorder: Path) -> list[str]:
    """The command line with the recorder in the place of the runtime."""
    place = argv.index(option) + 1
    return [*argv[:place], str(recorder), *argv[place + 1 :]]


@pytest.mark.parametrize(
    "options",
    [
        pytest.param([], id="default"),
        pytest.param(["--uidmap", "0:100000:5000", "--gidmap", "0:100000:5000"], id="user namespace"),
        pytest.param(["--read-only", "--cap-drop", "all", "--memory", "64m", "--cgroupns", "private"], id="confined"),
        pytest.param(["--privileged"], id="privileged"),
        pytest.param(["--network", "host", "--pid", "host", "--ipc", "host", "--uts", "host"], id="host namespaces"),
    ],
)
def test_a_bundle_of_podman_s(podman: Podman, workdir: Path, options: list[str]) -> None:
    workdir.chmod(0o711)
    recorder = capture.make_recorder(workdir, str(podman.script), name="pyoci", by_hand=podman.runtime)
    argv = podman.argv("run", "--rm", *options, podman.image, "sh", "-c", SCRIPT)
    argv = _behind(argv, "--runtime", recorder)
    by_podman = processes.run(argv, podman.env, podman.cwd, check=False)
    assert by_podman.returncode == 12, by_podman.stderr
    by_hand = capture.runs_by_hand(workdir)
    assert [(run.code, run.output) for run in by_hand] == [(12, "hello\n0\nwrote\nnot a tty\n")]
    assert by_podman.stdout == by_hand[0].output
    assert cleanup.state_files(workdir) == []


def test_a_bundle_of_podman_s_with_a_terminal(podman: Podman, workdir: Path) -> None:
    recorder = capture.make_recorder(workdir, str(podman.script), name="pyoci", by_hand=podman.runtime)
    argv = podman.argv("run", "--rm", "-it", podman.image, "sh", "-c", SCRIPT)
    argv = _behind(argv, "--runtime", recorder)
    terminal = processes.Terminal(argv, podman.env)
    assert terminal.wait() == 12, terminal.output
    by_hand = capture.runs_by_hand(workdir)
    assert [(run.code, run.output) for run in by_hand] == [(12, "hello\n0\nwrote\n/dev/pts/0\n")]


def test_a_bundle_of_a_pod_s_member(podman: Podman, pod: str, workdir: Path) -> None:
    podman("pod", "start", pod)
    recorder = capture.make_recorder(workdir, str(podman.script), name="pyoci", by_hand=podman.runtime)
    argv = podman.argv("run", "--rm", "--pod", pod, podman.image, "sh", "-c", "tr '\\0' ' ' </proc/1/cmdline; exit 13")
    argv = _behind(argv, "--runtime", recorder)
    done = processes.run(argv, podman.env, podman.cwd, check=False)
    assert (done.returncode, done.stdout) == (13, "/bin/sleep 1000 "), done.stderr
    assert [(run.code, run.output) for run in capture.runs_by_hand(workdir)] == [(13, "/bin/sleep 1000 ")]
    namespaces = json.loads(capture.saved(workdir)[0].read_text())["linux"]["namespaces"]
    assert {entry["type"] for entry in namespaces if entry.get("path")} == {"network", "ipc", "uts", "pid"}


def test_what_podman_asks_of_the_runtime(podman: Podman, workdir: Path) -> None:
    recorder = capture.make_recorder(workdir, str(podman.script), name="pyoci")
    before = list(podman.options)
    podman.options[podman.options.index("--runtime") + 1] = str(recorder)
    try:
        podman("run", "-d", "--name", "c", podman.image, "sleep", "1000")
        podman("exec", "c", "true")
        podman("pause", "c")
        podman("unpause", "c")
        podman("kill", "-s", "USR1", "c")
        podman("rm", "-f", "-t", "0", "c")
    finally:
        podman.options[:] = before
        podman.remove_all()
    verbs = [call.verb for call in capture.calls(workdir)]
    assert verbs[:6] == ["create", "start", "exec", "pause", "resume", "kill"]
    assert verbs[-1] == "delete"
    assert set(verbs[6:-1]) <= {"kill", "state"}
    assert len(capture.saved(workdir, "process")) == 1


def _run_words(
    containerd: Containerd, workdir: Path, script: str, words: Sequence[str] = (), tty: bool = False
) -> list[str]:
    """A ctr command line; the container's name is of this test, so one that hangs is not in the way of the next."""
    name = f"c-{workdir.name.encode().hex()}"
    how = ("--rm", "-t") if tty else ("--rm",)
    return containerd.argv(*containerd.run_words(name, ("sh", "-c", script), Options(words=tuple(words)), how=how))


@pytest.mark.parametrize(
    "options",
    [
        pytest.param([], id="default"),
        pytest.param(["--seccomp", "--memory-limit", "67108864", "--read-only", "--net-host"], id="confined"),
        pytest.param(["--privileged"], id="privileged"),
    ],
)
def test_a_bundle_of_containerd_s(containerd: Containerd, workdir: Path, options: list[str]) -> None:
    recorder = capture.make_recorder(workdir, containerd.runtime, by_hand=containerd.runtime)
    argv = _run_words(containerd, workdir, "echo hello; id -u; sleep 0.2; exit 12", options)
    argv = _behind(argv, "--runc-binary", recorder)
    done = processes.run(argv, containerd.env, containerd.cwd, check=False)
    assert (done.returncode, done.stdout) == (12, "hello\n0\n"), done.stderr
    assert [(run.code, run.output) for run in capture.runs_by_hand(workdir)] == [(12, "hello\n0\n")]
    verbs = [call.verb for call in capture.calls(workdir)]
    assert verbs[:3] == ["create", "start", "delete"]


def test_a_bundle_of_containerd_s_with_a_terminal(containerd: Containerd, workdir: Path) -> None:
    recorder = capture.make_recorder(workdir, containerd.runtime, by_hand=containerd.runtime)
    argv = _run_words(containerd, workdir, "tty; exit 12", tty=True)
    argv = _behind(argv, "--runc-binary", recorder)
    terminal = processes.Terminal(argv, containerd.env)
    assert terminal.wait() == 12, terminal.output
    assert [(run.code, run.output) for run in capture.runs_by_hand(workdir)] == [(12, "/dev/pts/0\n")]
