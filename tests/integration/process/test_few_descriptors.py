"""RLIMIT_NOFILE: pyoci raises it while it works, gives on what it found, and says in a line what it cannot do."""

from __future__ import annotations

import resource
import subprocess
from pathlib import Path

import pytest
from containers import PATIENCE, Bundle, Container, Pyoci, Result

HARD = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
LIMITS = "ulimit -Sn; ulimit -Hn"


def limited(pyoci: Pyoci, soft: int, hard: int, *argv: str) -> Result:
    """A command of the runtime with these limits."""
    script = f'ulimit -Sn {soft} && ulimit -Hn {hard} && exec "$@"'
    command = ["sh", "-c", script, "sh", *pyoci.command(*argv)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE)
    return Result(argv, done.returncode, done.stdout, done.stderr)


def run(pyoci: Pyoci, bundle: Bundle, soft: int, hard: int = HARD) -> Result:
    bundle.save()
    return limited(pyoci, soft, hard, "run", "--bundle", str(bundle.path), pyoci.new_id())


def many_mounts(bundle: Bundle, count: int) -> Bundle:
    for i in range(count):
        source = bundle.path / "sources" / str(i)
        source.mkdir(parents=True)
        bundle.mount(f"/mnt/{i}", "bind", str(source), ["bind"])
    return bundle


def map_ids(bundle: Bundle, count: int) -> None:
    for mount in bundle.mounts[-count:]:
        mount["uidMappings"] = mount["gidMappings"] = [{"containerID": 0, "hostID": 1000, "size": 1}]


@pytest.mark.parametrize(("count", "soft"), [(600, 256), (1200, 1024)])
def test_many_mounts(bundle: Bundle, pyoci: Pyoci, count: int, soft: int) -> None:
    """In a user namespace the runtime opens their sources, all of them before init goes on."""
    many_mounts(bundle.user_namespace(), count).shell(f"{LIMITS}; ls /mnt | wc -l")
    done = run(pyoci, bundle, soft)
    assert done.code == 0, done.err
    assert done.out.split() == [str(soft), str(HARD), str(count)]


def test_many_id_mapped_mounts(bundle: Bundle, pyoci: Pyoci) -> None:
    many_mounts(bundle, 250).shell(f"{LIMITS}; ls -nd /mnt/249")
    map_ids(bundle, 250)
    done = run(pyoci, bundle, 200)
    assert done.code == 0, done.err
    soft, hard, *entry = done.out.split()
    assert (soft, hard, entry[2:4]) == ("200", str(HARD), ["1000", "1000"])


@pytest.mark.parametrize("id_mapped", [False, True])
def test_many_mounts_below_a_hard_limit(bundle: Bundle, pyoci: Pyoci, id_mapped: bool) -> None:
    """Root of a container may not exceed it: sources are opened one after the other."""
    many_mounts(bundle, 200).shell("ls /mnt | wc -l")
    if id_mapped:
        map_ids(bundle, 200)
    else:
        bundle.user_namespace()
    bundle.save()
    argv = ["setpriv", "--bounding-set=-sys_resource", *pyoci.command("run", "-b", str(bundle.path), pyoci.new_id())]
    script = 'ulimit -n 120 && exec "$@"'
    done = subprocess.run(["sh", "-c", script, "sh", *argv], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "200\n"), done.stderr


@pytest.mark.parametrize("soft", [24, 48, 90])
def test_a_low_limit_is_what_the_process_has(bundle: Bundle, pyoci: Pyoci, soft: int) -> None:
    done = run(pyoci, bundle.shell(LIMITS), soft)
    assert (done.code, done.out.split()) == (0, [str(soft), str(HARD)]), done.err
    container = pyoci.run_detached(bundle.args("sleep", "1000"))
    done = limited(pyoci, soft, HARD, "exec", container.id, "sh", "-c", LIMITS)
    assert (done.code, done.out.split()) == (0, [str(soft), str(HARD)]), done.err


def test_hooks_have_what_the_runtime_was_given(bundle: Bundle, pyoci: Pyoci, directory: Path) -> None:
    kinds = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
    (bundle.rootfs / "results").mkdir()
    bundle.mount("/results", "bind", str(directory), ["bind"])
    for kind in kinds:
        where = "/results" if kind == "startContainer" else directory
        args = ["sh", "-c", f"cat >/dev/null; ulimit -Sn > {where}/{kind}"]
        bundle.config.setdefault("hooks", {})[kind] = [{"path": "/bin/sh", "args": args}]
    many_mounts(bundle.user_namespace(), 400)
    directory.chmod(0o777)
    done = run(pyoci, bundle.args("true"), 256)
    assert done.code == 0, done.err
    assert {kind: (directory / kind).read_text() for kind in kinds} == dict.fromkeys(kinds, "256\n")


@pytest.fixture
def container(bundle: Bundle, pyoci: Pyoci) -> Container:
    return pyoci.run_detached(bundle.args("sleep", "1000"))


@pytest.mark.parametrize("descriptors", [4, 5, 6, 7, 8, 10, 14])
def test_one_line_without_descriptors(container: Container, descriptors: int) -> None:
    """Commands that need few; with none at all not even their program is loaded."""
    id = container.id
    for argv in (
        ("list",),
        ("state", id),
        ("ps", id),
        ("events", "--stats", id),
        ("kill", id, "0"),
        ("pause", id),
        ("resume", id),
        ("update", "--pids-limit", "100", id),
        ("exec", id, "true"),
        ("spec", "--bundle", str(container.bundle.path / "rootfs/tmp")),
        ("features",),
        ("plan", "--bundle", str(container.bundle.path)),
        ("start", id),
        ("delete", id),
        ("create", "--bundle", str(container.bundle.path), "another"),
    ):
        done = limited(container.pyoci, descriptors, descriptors, *argv)
        assert "internal error" not in done.err
        assert "Traceback" not in done.err
        assert done.err.count("level=error") == (1 if done.code else 0), done
        assert done.err.count("\n") == done.err.count("level="), done
        (container.bundle.rootfs / "tmp/config.json").unlink(missing_ok=True)
    container.pyoci("delete", "--force", "another", check=False)
    container.pyoci("resume", id, check=False)
    assert container.status == "running"
