"""A limit that init itself does not get on with is named, and so is a label that the machine cannot give."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from containers import Bundle, Pyoci


def test_too_little_memory(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.linux["resources"] = {"memory": {"limit": 4096}}
    done = pyoci.run(bundle.args("true"), check=False)
    assert done.code == 1
    assert "init was killed by signal 9 before the container was created; it was out of memory: " in done.err
    assert "/linux/resources/memory/limit, 4096 bytes, is too little for it" in done.err


def test_too_little_memory_in_joined_namespaces(new_bundle: Callable[[str], Bundle], pyoci: Pyoci) -> None:
    first = pyoci.run_detached(new_bundle("first").args("sleep", "1000"))
    bundle = new_bundle("second").namespace("ipc", f"/proc/{first.pid}/ns/ipc")
    bundle.linux["resources"] = {"memory": {"limit": 4096}}
    done = pyoci.run(bundle.args("true"), check=False)
    assert done.code == 1
    assert "/linux/resources/memory/limit, 4096 bytes, is too little for it" in done.err


def test_killed_by_somebody(bundle: Bundle, pyoci: Pyoci) -> None:
    """The limit is not blamed for what it has not done."""
    bundle.linux["resources"] = {"memory": {"limit": 1 << 25}}
    hook = "#!/bin/sh\nkill -9 $(sed 's/.*\"pid\": *\\([0-9]*\\).*/\\1/')\n"
    path = bundle.path / "hook"
    path.write_text(hook)
    path.chmod(0o755)
    bundle.config["hooks"] = {"createRuntime": [{"path": str(path)}]}
    done = pyoci.run(bundle.args("true"), check=False)
    assert "init was killed by signal 9 before the container was created" in done.err
    assert "memory" not in done.err


@pytest.mark.parametrize("kind", ["createContainer", "startContainer"])
def test_no_process_left_for_a_hook(bundle: Bundle, pyoci: Pyoci, kind: str) -> None:
    bundle.linux["resources"] = {"pids": {"limit": 1}}
    bundle.config["hooks"] = {kind: [{"path": "/bin/true"}]}
    done = pyoci.run(bundle.args("true"), check=False)
    assert done.code == 1
    assert "its container may have no more processes (/linux/resources/pids/limit)" in done.err
    assert f"(/hooks/{kind}/0)" in done.err


@pytest.mark.parametrize("verb", ["run", "exec"])
def test_a_label_without_selinux(bundle: Bundle, pyoci: Pyoci, verb: str) -> None:
    """Not the keyring, which is the first that would be labelled, is at fault."""
    if verb == "run":
        bundle.process["selinuxLabel"] = "system_u:system_r:container_t:s0"
        done = pyoci.run(bundle.args("true"), check=False)
    else:
        container = pyoci.run_detached(bundle.args("sleep", "1000"))
        done = container.exec("true", options=["--process-label", "system_u:system_r:container_t:s0"], check=False)
    assert done.code != 0
    assert "cannot set the label 'system_u:system_r:container_t:s0' (SELinux is not enabled on this machine" in done.err
    assert "(/process/selinuxLabel)" in done.err
    assert "keyring" not in done.err
