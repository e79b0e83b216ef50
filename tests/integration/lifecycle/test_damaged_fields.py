"""Every field of a record, changed in every way: no command ends in an internal error, other containers are listed, and
`delete --force` removes what is left. What is believed of a record is tests/unit/state/test_record.py's affair."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from containers import Bundle, Container, Pyoci, wait_for

FIELDS = (
    *(
        "version",
        "ociVersion",
        "id",
        "bundle",
        "rootfs",
        "annotations",
        "status",
        "pid",
        "start_time",
        "created",
        "owner",
    ),
    *("namespaces", "cgroups", "resctrl", "hooks", "operations", "paused", "rootless"),
    *("keyring", "own_pids", "start_descriptor", "hooks_told"),
)
MISSING = object()
NESTED = json.loads("[" * 300 + "]" * 300)
# Some that have the right type, but not a sense.
VALUES: dict[str, Any] = {
    "missing": MISSING,
    "null": None,
    "negative": -(2**70),
    "large": 2**31,
    "text": "running\u2028\x1b]0;title\x07\x85x",
    "list": ["pid", "mount"],
    "object": {"driver": "cgroupfs", "cgroups": [[1, "freezer", "/proc", "self", 0]]},
    "nested": NESTED,
}
VERBS = (
    ["state"],
    ["kill"],
    ["ps"],
    ["events", "--stats"],
    ["pause"],
    ["resume"],
    ["update", "--pids-limit", "30"],
    ["exec"],
    ["start"],
    ["delete"],
)


def change(container: Container, field: str, value: Any) -> str:
    """Damages the record; gives what it was."""
    path = container.pyoci.root / container.id / "state.json"
    text = path.read_text()
    record = json.loads(text)
    del record[field]
    if value is not MISSING:
        record[field] = value
    path.write_text(json.dumps(record))
    return text


def lives(pid: int) -> bool:
    """A zombie, whose command line is empty, does not, however long its parent takes."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() != b""
    except OSError:
        return False


def is_told_well(pyoci: Pyoci, *argv: str) -> str:
    """What a command says, whether it does its work or not."""
    done = pyoci(*argv, check=False)
    assert "internal error" not in done.err, done
    assert "Traceback" not in done.err, done
    assert done.code == (0 if "level=error" not in done.err else 255 if argv[0] == "exec" else 1), done
    for line in (done.out + done.err).split("\n"):
        assert line.replace("\t", "").isprintable(), done
    return done.err


@pytest.mark.parametrize("field", FIELDS)
def test_a_field(bundle: Bundle, new_bundle: Callable[[str], Bundle], pyoci: Pyoci, field: str) -> None:
    other = pyoci.create(new_bundle("other").args("true"))
    for name, value in VALUES.items():
        container = pyoci.run_detached(bundle.args("sleep", "100"))
        pid = container.pid
        text = change(container, field, value)
        state = is_told_well(pyoci, "state", container.id)
        listed = pyoci("list", "--format", "json")
        found = {entry["id"]: entry["status"] for entry in json.loads(listed.out)}
        assert found[other.id] == "created"
        assert (found[container.id] == "damaged") == ("`pyoci delete --force` removes" in state), (name, state)
        is_told_well(pyoci, "list")
        if found[container.id] != "damaged":
            for verb in VERBS:
                is_told_well(pyoci, *verb, container.id, *(["true"] if verb == ["exec"] else []))
        if (field, name) == ("cgroups", "null"):  # as those of users may be: there is nothing to be told from that
            (pyoci.root / container.id / "state.json").write_text(text)
        is_told_well(pyoci, "delete", "--force", container.id)
        assert not (pyoci.root / container.id).exists(), (field, name)
        wait_for(lambda pid=pid: not lives(pid), what=f"{field}, {name}")  # type: ignore[misc]
    assert other.status == "created"


@pytest.mark.parametrize("part", range(5))
def test_a_part_of_a_cgroup(bundle: Bundle, pyoci: Pyoci, part: int) -> None:
    """Of one of the hierarchies."""
    parts: list[list[Any]] = [
        [1, 2, 3, "1"],
        ["", "freezer", "pids", "name=systemd", "\u2028"],
        ["/", "/proc", "/dev/null", "/nonexistent", "relative", "/" + "x" * 300],
        ["", "..", "x" * 300, "nonexistent", "\x1b[m"],
        [-1, 2**70, "0"],
    ]
    for value in parts[part]:
        container = pyoci.run_detached(bundle.args("sleep", "100"))
        pid = container.pid
        record = json.loads((pyoci.root / container.id / "state.json").read_text())
        for entry in record["cgroups"]["cgroups"][:2]:
            before, entry[part] = entry[part], value
            text = change(container, "cgroups", record["cgroups"])
            for verb in (["state"], ["ps"], ["events", "--stats"]):
                is_told_well(pyoci, *verb, container.id)
            is_told_well(pyoci, "list")
            entry[part] = before
            (pyoci.root / container.id / "state.json").write_text(text)
        record["cgroups"]["cgroups"][0][part] = value
        change(container, "cgroups", record["cgroups"])
        for verb in VERBS:
            is_told_well(pyoci, *verb, container.id, *(["true"] if verb == ["exec"] else []))
        if value in ("/nonexistent", "nonexistent", "\x1b[m"):  # what is not there is no damage
            (pyoci.root / container.id / "state.json").write_text(text)
        is_told_well(pyoci, "delete", "--force", container.id)
        assert not (pyoci.root / container.id).exists(), (part, value)
        wait_for(lambda pid=pid: not lives(pid))  # type: ignore[misc]


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _device(path: Path) -> None:
    os.mknod(path, 0o20600, os.makedev(5, 0))


def _link(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def _huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


def _strangers(path: Path) -> None:
    path.write_text("{}")
    os.chown(path, 54321, 54321)


def _nothing(path: Path) -> None:
    assert not path.exists()


FILES: dict[str, Callable[[Path], None]] = {
    "fifo": _fifo,
    "device": _device,
    "link": _link,
    "directory": lambda path: (path / "a/b/c").mkdir(parents=True),
    "huge": _huge,
    "strangers": _strangers,
    "nothing": _nothing,
}


@pytest.mark.parametrize("kind", FILES)
def test_what_is_no_file_of_ours(
    bundle: Bundle, new_bundle: Callable[[str], Bundle], pyoci: Pyoci, directory: Path, kind: str
) -> None:
    """In state.json's place. None of them is waited for, nor read."""
    other = pyoci.create(new_bundle("other").args("true"))
    flag = directory / "poststop"
    script = {"path": "/bin/sh", "args": ["sh", "-c", f"cat > {flag}"]}
    bundle.config["hooks"] = {"poststop": [script]}
    container = pyoci.run_detached(bundle.args("sleep", "100"))
    pid = container.pid
    path = pyoci.root / container.id / "state.json"
    path.unlink()
    FILES[kind](path)
    for verb in VERBS:
        said = is_told_well(pyoci, *verb, container.id, *(["true"] if verb == ["exec"] else []))
        assert "`pyoci delete --force` removes the container" in said
    assert set(pyoci("list", "--quiet").out.split()) == {other.id, container.id}
    is_told_well(pyoci, "delete", "--force", container.id)
    assert not path.parent.exists()
    assert json.loads(flag.read_text())["id"] == container.id
    wait_for(lambda: not lives(pid))


@pytest.mark.parametrize("kind", FILES)
def test_in_the_place_of_the_configuration(bundle: Bundle, pyoci: Pyoci, kind: str) -> None:
    bundle.config["hooks"] = {"poststop": [{"path": "/bin/true"}]}
    container = pyoci.run_detached(bundle.args("sleep", "100"))
    path = pyoci.root / container.id / "config.json"
    path.unlink()
    FILES[kind](path)
    for verb in VERBS:
        is_told_well(pyoci, *verb, container.id, *(["true"] if verb == ["exec"] else []))
    assert container.status == "running"
    assert "the poststop hooks are not known any more" in is_told_well(pyoci, "delete", "--force", container.id)
    assert not path.parent.exists()


@pytest.mark.parametrize("section", ["process", "linux", "hooks", "mounts", "root", "annotations"])
def test_a_section_of_the_configuration(bundle: Bundle, pyoci: Pyoci, section: str) -> None:
    hook = {"path": "/bin/true"}
    bundle.config["hooks"] = {"poststart": [hook], "poststop": [hook]}
    for name, value in VALUES.items():
        container = pyoci.create(bundle.args("sleep", "100"))
        path = pyoci.root / container.id / "config.json"
        config = json.loads(path.read_text())
        config[section] = value
        if value is MISSING:
            del config[section]
        path.write_text(json.dumps(config))
        for verb in (["start"], ["exec"], ["exec", "--cwd", "/"], ["update", "--pids-limit", "30"]):
            is_told_well(pyoci, *verb, container.id, *(["true"] if verb[0] == "exec" else []))
        if (pyoci.root / container.id).exists():
            is_told_well(pyoci, "delete", "--force", container.id)
        assert not path.parent.exists(), name


@pytest.mark.parametrize("recorded", ["", "x", "[]", "[5]", '[0,["a","b"]]', '[0,[1,"",5,6]]', "[" * 50000, '{"a":1}'])
def test_a_start_that_fails_without_its_plan(bundle: Bundle, pyoci: Pyoci, recorded: str) -> None:
    bad = bundle.rootfs / "bin/bad"
    bad.write_text("no program")
    bad.chmod(0o755)
    container = pyoci.create(bundle.args("/bin/bad"))
    change(container, "operations", recorded)
    assert "internal error" not in is_told_well(pyoci, "start", container.id)
