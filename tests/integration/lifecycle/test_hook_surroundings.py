"""Where hooks run and what they find there: directory, variables, output, descriptors.

runc and crun were read for what the specification leaves open: hooks of the runtime's namespaces run in the bundle's
directory, those of createContainer in the rootfs, those of startContainer as the process will.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from containers import Bundle, Pyoci

KINDS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
IN_RUNTIME = ("prestart", "createRuntime", "poststart", "poststop")
OUTPUTS = ("run.oci.hooks.stdout", "run.oci.hooks.stderr")


def hook(script: str, **more: Any) -> dict[str, Any]:
    return {"path": "/bin/sh", "args": ["sh", "-c", script], **more}


# --- directory


def test_directories(bundle: Bundle, notes: Path, pyoci: Pyoci, tmp_path: Path) -> None:
    bundle.config["hooks"] = {kind: [hook(f"pwd -P > {notes}/{kind}")] for kind in KINDS}
    bundle.process["cwd"] = "/home"
    bundle.args("sleep", "100")
    bundle.save()
    pyoci("create", "--bundle", str(bundle.path), "box", cwd=tmp_path)
    pyoci("start", "box", cwd=tmp_path)
    pyoci("delete", "--force", "box", cwd=tmp_path)
    found = {kind: (notes / kind).read_text().strip() for kind in KINDS}
    assert found == {
        **dict.fromkeys(IN_RUNTIME, str(bundle.path)),
        "createContainer": str(bundle.rootfs),
        "startContainer": "/home",
    }


def test_the_rootfs_of_create_container_has_its_mounts(bundle: Bundle, pyoci: Pyoci) -> None:
    """That of runc's test of libraries: mount(8) relative to the directory is seen in the container."""
    script = "test -e proc/self && mkdir -p lib/new && mount -t tmpfs none lib/new && echo x > lib/new/file"
    bundle.config["hooks"] = {"createContainer": [hook(script)]}
    assert pyoci.run(bundle.args("cat", "/lib/new/file")).out == "x\n"


@pytest.mark.parametrize("namespaces", ["user", "no mount"])
def test_the_rootfs_with_other_namespaces(bundle: Bundle, pyoci: Pyoci, namespaces: str) -> None:
    if namespaces == "user":
        bundle.user_namespace()
    else:
        bundle.without_namespace("mount")
        bundle.config["mounts"] = []
        bundle.linux.pop("maskedPaths", None)
        bundle.linux.pop("readonlyPaths", None)
    bundle.config["hooks"] = {"createContainer": [hook("echo > tmp/here")]}
    pyoci.run(bundle.args("true"))
    assert (bundle.rootfs / "tmp/here").exists()


def test_a_bundle_that_is_gone(bundle: Bundle, pyoci: Pyoci, tmp_path: Path) -> None:
    """poststop hooks clean up whatever else is gone."""
    bundle.config["hooks"] = {"poststop": [hook(f"pwd > {tmp_path}/where")]}
    container = pyoci.run_detached(bundle.args("sleep", "100"))
    container.kill()
    container.wait()
    shutil.rmtree(bundle.path)
    container.delete()
    assert (tmp_path / "where").read_text() == "/\n"


def test_the_callers_directory_stays(bundle: Bundle, notes: Path, pyoci: Pyoci) -> None:
    """Relative paths of the command line are the caller's, whatever hooks run meanwhile."""
    bundle.config["hooks"] = {kind: [hook("true")] for kind in ("prestart", "poststart")}
    bundle.save()
    pyoci("run", "--detach", "--bundle", "bundle", "--pid-file", "pid", "box", cwd=bundle.path.parent)
    assert (bundle.path.parent / "pid").exists()


# --- variables


def test_variables_of_start_container(bundle: Bundle, notes: Path, pyoci: Pyoci) -> None:
    """Without its own a hook has the process's, HOME too, as with runc and crun; with its own, only those."""
    look = "/bin/tr '\\0' '\\n' < /proc/$$/environ"
    bundle.process["env"] = ["PATH=/bin", "ONE=two", "FOO=bar", "ONE=three", "HOME="]
    bundle.config["hooks"] = {
        "startContainer": [
            hook(f"{look} > {notes}/without; :"),
            hook(f"{look} > {notes}/with; :", env=["A=b"]),
            hook(f"{look} > {notes}/none; :", env=[]),
        ]
    }
    pyoci.run(bundle.args("true"), env={"SECRET": "of the runtime"})

    def seen(name: str) -> set[str]:
        return set((notes / name).read_text().splitlines())

    assert seen("without") == {"PATH=/bin", "ONE=three", "FOO=bar", "HOME=/root"}
    assert seen("with") == {"A=b"}
    assert seen("none") == set()


def test_variables_of_the_others(bundle: Bundle, notes: Path, pyoci: Pyoci) -> None:
    """The runtime's in its namespaces; none of those in the container's, as with runc: they may be secrets."""
    bundle.config["hooks"] = {
        kind: [hook(f"/usr/bin/env > {notes}/{kind}")] for kind in (*IN_RUNTIME, "createContainer")
    }
    pyoci.run(bundle.args("true"), env={"SECRET": "of the runtime"})
    for kind in IN_RUNTIME:
        assert "SECRET=of the runtime\n" in (notes / kind).read_text(), kind
    assert "SECRET" not in (notes / "createContainer").read_text()


# --- output


@pytest.mark.parametrize("kind", KINDS)
def test_output_to_files(bundle: Bundle, notes: Path, pyoci: Pyoci, tmp_path: Path, kind: str) -> None:
    """crun's annotations. The files are added to."""
    files = [tmp_path / "out", tmp_path / "err"]
    files[0].write_text("before\n")
    bundle.config["annotations"] = dict(zip(OUTPUTS, map(str, files), strict=True))
    bundle.config["hooks"] = {kind: [hook("echo said; echo complained >&2"), hook("echo more")]}
    pyoci.run(bundle.args("true"))
    assert files[0].read_text() == "before\nsaid\nmore\n"
    assert files[1].read_text() == "complained\n"


@pytest.mark.parametrize("kind", KINDS[:5])
@pytest.mark.parametrize("name", OUTPUTS)
def test_only_one_output_to_a_file(bundle: Bundle, pyoci: Pyoci, tmp_path: Path, kind: str, name: str) -> None:
    """What is not, is told when the hook fails."""
    bundle.config["annotations"] = {name: str(tmp_path / "file")}
    bundle.config["hooks"] = {kind: [hook("echo said; echo complained >&2; exit 3")]}
    done = pyoci.run(bundle.args("true"), check=False)
    inside, told = ("said", "complained") if name == OUTPUTS[0] else ("complained", "said")
    assert (tmp_path / "file").read_text() == f"{inside}\n"
    assert told in done.err
    assert inside not in done.err
    assert "exit status 3" in done.err


def test_what_the_process_writes_comes_after_its_hooks(bundle: Bundle, pyoci: Pyoci, tmp_path: Path) -> None:
    """If it is the same file, and not opened to be added to."""
    log = tmp_path / "log"
    bundle.config["annotations"] = dict.fromkeys(OUTPUTS, str(log))
    bundle.config["hooks"] = {"startContainer": [hook("echo hook")]}
    bundle.args("echo", "process").save()
    with log.open("wb") as file:
        os.posix_spawn(
            pyoci.executable,
            pyoci.command("create", "--bundle", str(bundle.path), "box"),
            os.environ,
            file_actions=[(os.POSIX_SPAWN_DUP2, file.fileno(), 1)],
        )
        assert os.wait()[1] == 0
    pyoci("start", "box")
    pyoci("delete", "--force", "box")
    assert log.read_text() == "hook\nprocess\n"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bad", ["/no/such/directory/file", "/"])
def test_output_that_cannot_be_opened(bundle: Bundle, pyoci: Pyoci, kind: str, bad: str) -> None:
    bundle.config["annotations"] = {OUTPUTS[1]: bad}
    bundle.config["hooks"] = {kind: [hook("true")]}
    done = pyoci.run(bundle.args("true"), check=False)
    assert f"cannot open {bad}: " in done.err
    assert f"(/annotations/{OUTPUTS[1]})" in done.err
    assert len(done.err.splitlines()) == 1
    assert done.code == (0 if kind == "poststop" else 1)


@pytest.mark.parametrize("kind", KINDS[:5])
def test_output_to_a_fifo_that_nobody_reads(bundle: Bundle, pyoci: Pyoci, tmp_path: Path, kind: str) -> None:
    """It waits for nobody."""
    os.mkfifo(tmp_path / "fifo")
    bundle.config["annotations"] = {OUTPUTS[0]: str(tmp_path / "fifo")}
    bundle.config["hooks"] = {kind: [hook("true")]}
    assert "No such device or address" in pyoci.run(bundle.args("true"), check=False).err


def test_output_files_below_the_bundle(bundle: Bundle, pyoci: Pyoci, tmp_path: Path) -> None:
    bundle.config["annotations"] = {OUTPUTS[0]: "hooks.log"}
    bundle.config["hooks"] = {kind: [hook(f"echo {kind}")] for kind in KINDS}
    bundle.save()
    pyoci("run", "--bundle", str(bundle.path), "box", cwd=tmp_path)
    assert (bundle.path / "hooks.log").read_text().split() == list(KINDS)


# --- descriptors


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("preserved", [0, 4])
def test_descriptors(bundle: Bundle, notes: Path, pyoci: Pyoci, kind: str, preserved: int) -> None:
    """Three, and the shell's of the directory that it lists; those of --preserve-fds are the process's alone."""
    bundle.config["annotations"] = {OUTPUTS[0]: str(notes / "out")}
    bundle.config["hooks"] = {kind: [hook("ls /proc/self/fd"), hook("ls /proc/self/fd")]}
    bundle.args("ls", "/proc/self/fd").save()
    command = pyoci.command("run", "--bundle", str(bundle.path), "--preserve-fds", str(preserved), "box")
    null = os.open("/dev/null", os.O_RDWR)
    actions = [(os.POSIX_SPAWN_DUP2, null, fd) for fd in (0, *range(3, 3 + preserved))]
    with (notes / "process").open("wb") as file:
        actions.append((os.POSIX_SPAWN_DUP2, file.fileno(), 1))
        os.posix_spawn(pyoci.executable, command, os.environ, file_actions=actions)
        assert os.wait()[1] == 0
    os.close(null)
    assert (notes / "out").read_text().split() == ["0", "1", "2", "3"] * 2
    assert (notes / "process").read_text().split() == [str(fd) for fd in range(4 + preserved)]
