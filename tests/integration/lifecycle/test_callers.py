"""What a careless caller may leave to the runtime: signals that are ignored, descriptors that are closed."""

from __future__ import annotations

import signal
import subprocess
from typing import Any

import pytest
from containers import Bundle, Pyoci

HOOK = {"path": "/bin/sh", "args": ["sh", "-c", "exit 0"]}


def ignore_children() -> None:
    """In the runtime's process, before it is executed: the kernel then reaps its children itself."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)


def call(pyoci: Pyoci, *argv: str, **how: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(pyoci.command(*argv), stdin=subprocess.DEVNULL, capture_output=True, text=True, **how)


@pytest.mark.parametrize("hooks", [{}, {"prestart": [HOOK], "poststop": [HOOK]}], ids=["plain", "hooks"])
def test_sigchld_is_ignored(bundle: Bundle, pyoci: Pyoci, hooks: dict[str, Any]) -> None:
    bundle.config["hooks"] = hooks
    bundle.shell("echo ran; exit 3").save()
    argv = ("run", "--bundle", str(bundle.path), pyoci.new_id())
    done = call(pyoci, *argv, preexec_fn=ignore_children, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (3, "ran\n", "")


def test_sigchld_is_ignored_by_who_calls_exec(bundle: Bundle, pyoci: Pyoci) -> None:
    container = pyoci.run_detached(bundle.args("sleep", "100"))
    argv = ("exec", container.id, "sh", "-c", "echo ran; exit 4")
    done = call(pyoci, *argv, preexec_fn=ignore_children, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (4, "ran\n", "")


def test_a_closed_standard_input_with_few_descriptors(bundle: Bundle, pyoci: Pyoci) -> None:
    """It is the null device, and not the first file that the runtime opens."""
    bundle.args("/bin/sh", "-c", "readlink /proc/self/fd/0; readlink /proc/self/fd/1 | cut -d: -f1").save()
    command = pyoci.command("run", "--bundle", str(bundle.path), pyoci.new_id())
    done = subprocess.run(
        ["/bin/sh", "-c", 'ulimit -n 100; exec "$@" <&-', "sh", *command], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "/dev/null\npipe\n", "")
