"""Whatever is wrong, pyoci says in a line what and where, does nothing, and leaves nothing."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from broken_inputs import CALLS, CONFIGS, GLOBAL, Broken
from containers import Bundle, Container, Pyoci, Result, wait_for


def _cgroups() -> set[str]:
    v1, v2 = "/sys/fs/cgroup/devices", "/sys/fs/cgroup"
    return {
        os.path.join(base, name)
        for base, names, _ in os.walk(v1 if os.path.exists(v1) else v2)
        for name in names
        if "test" in name
    }


def _log(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def check_refusal(done: Result, texts: tuple[str, ...], log: Path) -> str:
    """The message of a refusal, which must be as engines and people need it."""
    assert done.code not in (0, 2)
    assert done.out == ""
    assert "internal error" not in done.err
    assert "Traceback" not in done.err
    records = _log(log)
    assert [record["level"] for record in records] == ["error"], records
    message = str(records[0]["msg"])
    lines = done.err.splitlines()
    assert lines
    assert all(line.strip() for line in lines)
    for text in texts:
        assert text in message, message
        assert text in done.err
    return message


@pytest.mark.parametrize("broken", CONFIGS, ids=lambda broken: broken.name)
def test_broken_bundle(broken: Broken, bundle: Bundle, pyoci: Pyoci) -> None:
    broken.make(bundle)
    id, log = pyoci.new_id(), pyoci.directory / "log"
    done = pyoci("--log", str(log), "--log-format", "json", "create", "--bundle", str(bundle.path), id, check=False)
    message = check_refusal(done, broken.texts, log)
    assert done.code == 1
    if broken.pointer:
        assert broken.pointer in message
    if broken.located:
        assert re.search(rf"{bundle.path}/config\.json:\d+:\d+", message), message
        if broken.pointer:
            assert re.search(rf":\d+:\d+: {re.escape(broken.pointer)}\b", message), message
    assert not pyoci.root.exists() or os.listdir(pyoci.root) == []
    assert not [cgroup for cgroup in _cgroups() if id in cgroup]


def test_several_problems(bundle: Bundle, pyoci: Pyoci) -> None:
    """A line each for people, one record for engines."""
    bundle.process["cwd"] = "tmp"
    bundle.process["args"] = [""]
    bundle.config["hooks"] = {"prestart": [{"path": "sh"}]}
    bundle.save()
    log = pyoci.directory / "log"
    argv = ["--log", str(log), "--log-format", "json", "create", "--bundle", str(bundle.path), pyoci.new_id()]
    done = pyoci(*argv, check=False)
    assert len(_log(log)) == 1
    for pointer in ("/process/cwd", "/process/args", "/hooks/prestart/0/path"):
        assert len([line for line in done.err.splitlines() if pointer in line]) == 1


class Place:
    """What the calls are about."""

    def __init__(self, bundle: Bundle, pyoci: Pyoci) -> None:
        self.created = pyoci.create(bundle.shell("echo ready; sleep 100"))
        self.running: Container = pyoci.run_detached(bundle).expect("ready")
        self.names = {
            "BUNDLE": str(bundle.path),
            "ID": pyoci.new_id(),
            "CREATED": self.created.id,
            "RUNNING": self.running.id,
        }


def test_calls(bundle: Bundle, pyoci: Pyoci) -> None:
    place = Place(bundle, pyoci)
    ids = sorted([place.created.id, place.running.id])
    for i, call in enumerate(CALLS):
        log = pyoci.directory / f"log{i}"
        argv = [place.names.get(word, word) for word in call.argv]
        done = pyoci("--log", str(log), "--log-format", "json", *argv, check=False)
        check_refusal(done, call.texts, log)
        assert done.code == call.code, done
        assert pyoci("list", "-q").out.split() == ids, call
    assert (place.created.status, place.running.status) == ("created", "running")


@pytest.mark.parametrize(("options", "text"), GLOBAL, ids=lambda value: str(value))
def test_global_options(options: list[str], text: str, pyoci: Pyoci) -> None:
    argv = [pyoci.executable, "--root", str(pyoci.root), *options, "list"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert text in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "internal" not in done.stderr


# --- the state root


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "is damaged"),
        ("{", "is damaged"),
        ("[]", "is damaged"),
        ('{"version": 1}', "is damaged"),
        ('{"version": 999}', "has format version 999; this pyoci knows 2"),
        ("\x00\xff", "is damaged"),
        ("[" * 100000, "is damaged"),
    ],
)
def test_damaged_record(text: str, what: str, bundle: Bundle, pyoci: Pyoci) -> None:
    good, bad = pyoci.create(bundle), pyoci.create(bundle)
    pid = bad.pid
    (pyoci.root / bad.id / "state.json").write_bytes(text.encode("latin-1"))
    for argv in (["state"], ["start"], ["kill"], ["delete"], ["pause"], ["ps"], ["exec"]):
        done = pyoci(*argv, bad.id, *(["true"] if argv == ["exec"] else []), check=False)
        assert what in done.err
        assert "delete --force" in done.err
        assert len(done.err.splitlines()) == 1
        assert "internal" not in done.err
    listed = pyoci("list", "--format", "json")
    assert {entry["id"]: entry["status"] for entry in json.loads(listed.out)} == {
        good.id: "created",
        bad.id: "damaged",
    }
    assert bad.id in listed.err
    bad.delete(force=True)
    assert os.listdir(pyoci.root) == [good.id]
    wait_for(lambda: not _lives(pid))


def test_wrong_types_in_a_record(bundle: Bundle, pyoci: Pyoci) -> None:
    """Each property that is missing or of another type counts as damage."""
    container = pyoci.create(bundle)
    file = pyoci.root / container.id / "state.json"
    record = json.loads(file.read_text())
    for key in ("annotations", "bundle", "hooks", "id", "namespaces", "pid", "start_time", "status"):
        file.write_text(json.dumps({name: value for name, value in record.items() if name != key}))
        assert "is damaged" in pyoci("state", container.id, check=False).err, key
        file.write_text(json.dumps({**record, key: 1.5}))
        assert "is damaged" in pyoci("state", container.id, check=False).err, key
    file.write_text(json.dumps({**record, "cgroups": "x"}))
    assert "is damaged" in pyoci("state", container.id, check=False).err
    file.write_text(json.dumps(record))


def test_working_directory_that_is_a_file(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.process["cwd"] = "/etc/passwd"
    done = pyoci.run(bundle, check=False)
    assert done.code == 1
    assert "cannot make the directory '/etc/passwd' (/process/cwd): Not a directory" in done.err


def test_program_that_is_none(bundle: Bundle, pyoci: Pyoci) -> None:
    """Only execve(2) finds out, after `start`; the pointer is right although the plan is made again for it."""
    (bundle.rootfs / "bin/wrong").write_text("neither ELF nor script")
    (bundle.rootfs / "bin/wrong").chmod(0o755)
    bundle.namespace("cgroup").mount("/sys/fs/cgroup", "cgroup", "cgroup", ["ro"])
    container = pyoci.create(bundle.args("/bin/wrong"), "--no-new-keyring")
    done = pyoci("start", container.id, check=False)
    assert 'exec: \\"/bin/wrong\\": exec format error (it is no program' in done.err
    assert container.status == "stopped"


def test_config_that_is_gone(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.config["hooks"] = {"poststop": [{"path": "/bin/true"}]}
    container = pyoci.create(bundle)
    (pyoci.root / container.id / "config.json").unlink()
    done = container.exec("true", check=False)
    assert done.code == 255
    assert "config.json: No such file or directory" in done.err
    assert "internal" not in done.err
    assert "the poststop hooks are not known any more" in pyoci("delete", "--force", container.id).err


def test_root_that_cannot_be_written(bundle: Bundle, pyoci: Pyoci) -> None:
    """Even root may not write to procfs as he likes."""
    bundle.save()
    for root in ("/proc/nowhere", "/proc/sys", "/dev/null/root", "/etc/passwd"):
        done = pyoci("--root", root, "create", "--bundle", str(bundle.path), pyoci.new_id(), check=False)
        assert done.code == 1
        assert root in done.err
        assert "internal" not in done.err
        assert len(done.err.splitlines()) == 1


def test_read_only_root(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.save()
    pyoci.root.mkdir()
    script = f'mount -t tmpfs -o ro,mode=700 tmpfs {pyoci.root} && exec "$@"'
    for verb in (["create", "--bundle", str(bundle.path)], ["delete", "--force"], ["state"]):
        argv = ["unshare", "--mount", "sh", "-c", script, "sh", *pyoci.command(*verb, pyoci.new_id())]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=120)
        assert "internal" not in done.stderr
        if verb[0] == "create":
            assert "Read-only file system" in done.stderr
            assert len(done.stderr.splitlines()) == 1


def test_long_root(bundle: Bundle, pyoci: Pyoci) -> None:
    """Longer than the path of a socket may be."""
    pyoci.root = pyoci.directory / ("long" * 50) / ("longer" * 30)
    container = pyoci.create(bundle.args("echo", "works"))
    container.start().expect("works")
    container.wait().delete()


@pytest.mark.parametrize("length", [1, 200, 255])
def test_long_id(length: int, bundle: Bundle, pyoci: Pyoci) -> None:
    id = (pyoci.new_id() + "-" + "x" * length)[:length] if length > 1 else "x"
    try:
        container = pyoci.create(bundle.args("echo", "works"), id=id)
        container.start().expect("works")
        container.wait()
    finally:
        pyoci("delete", "--force", id)
    assert os.listdir(pyoci.root) == []


def test_id_longer_than_a_file_name(bundle: Bundle, pyoci: Pyoci) -> None:
    """runc finds out when it makes the directory; neither leaves anything."""
    bundle.save()
    assert shutil.which("runc")
    runc = Pyoci(pyoci.directory, "runc")
    runc.root = pyoci.directory / "runc"
    for runtime in (pyoci, runc):
        done = runtime("create", "--bundle", str(bundle.path), "x" * 256, check=False)
        assert done.code == 1
        assert not runtime.root.exists() or os.listdir(runtime.root) == []
