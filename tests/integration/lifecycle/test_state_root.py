"""The state root, and what somebody could put into it, or in its way: nothing leads anywhere else, and a root that
others can change is refused, whoever owns what is in it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from containers import Bundle, Pyoci

from oci_runtime.errors import PyociError
from oci_runtime.state import store

if TYPE_CHECKING:
    from oci_runtime.state.record import Record

STRANGER = 54321
VERBS = (
    ["state"],
    ["start"],
    ["kill"],
    ["exec"],
    ["pause"],
    ["resume"],
    ["ps"],
    ["events", "--stats"],
    ["update", "--pids-limit", "3"],
    ["delete"],
    ["delete", "--force"],
)


def refused(pyoci: Pyoci, verb: list[str], id: str) -> str:
    """The one line of a command that must fail."""
    done = pyoci(*verb, id, *(["true"] if verb == ["exec"] else []), check=False)
    assert done.code == (255 if verb == ["exec"] else 1), done
    assert done.err.count("\n") == 1, done
    assert "internal error" not in done.err
    return done.err


@pytest.fixture
def box(pyoci: Pyoci) -> str:
    """An id."""
    return pyoci.new_id()


@pytest.fixture
def victim(directory: Path) -> Path:
    """A directory that is none of pyoci's business, and looks like a container's."""
    path = directory / "victim"
    path.mkdir()
    for name in ("file", "config.json", "state.json"):
        (path / name).write_text("{}")
    return path


def untouched(victim: Path) -> bool:
    return sorted(os.listdir(victim)) == ["config.json", "file", "state.json"] and (victim / "file").exists()


def test_a_link_at_the_id_is_not_followed(box: str, pyoci: Pyoci, bundle: Bundle, victim: Path) -> None:
    bundle.save()
    pyoci.root.mkdir()
    (pyoci.root / box).symlink_to(victim)
    for verb in VERBS:
        assert f"{pyoci.root}/{box} is no directory" in refused(pyoci, verb, box)
    assert refused(pyoci, ["create", "--bundle", str(bundle.path)], box)
    assert pyoci("list", "--quiet").out == ""
    assert untouched(victim)
    (pyoci.root / box).unlink()


def test_a_link_at_the_id_of_an_unfinished_container(box: str, pyoci: Pyoci, victim: Path) -> None:
    pyoci.root.mkdir()
    (pyoci.root / f"~{box}~123").symlink_to(victim)
    pyoci("delete", "--force", box)
    assert untouched(victim)
    assert os.listdir(pyoci.root) == []


@pytest.fixture
def record() -> Callable[[str], Record]:
    """A record to be stored."""
    return lambda id: cast("Record", {"id": id, "version": 2})


def test_a_link_at_the_temporary_name(
    box: str, directory: Path, victim: Path, record: Callable[[str], Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = directory / "root"
    root.mkdir(mode=0o700)
    monkeypatch.setattr(os, "getpid", lambda: 123)
    monkeypatch.setattr("posix.getpid", lambda: 123)
    (root / f"~{box}~123").symlink_to(victim)
    store.create(str(root), record(box), b"{}").close()
    assert untouched(victim)
    assert sorted(os.listdir(root)) == [box]


def test_a_directory_that_is_swapped_for_a_link(
    box: str, directory: Path, victim: Path, record: Callable[[str], Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between its making and its use, by somebody who is given the chance here."""
    import posix

    root = directory / "root"
    root.mkdir(mode=0o700)
    mkdir = posix.mkdir

    def make_and_swap(path: str, *mode: int, **where: int) -> None:
        mkdir(path, *mode, **where)
        if "~" in path:
            made = root / Path(path).name
            made.rmdir()
            made.symlink_to(victim)

    monkeypatch.setattr(posix, "mkdir", make_and_swap)
    with pytest.raises(PyociError):
        store.create(str(root), record(box), b"{}")
    assert untouched(victim)


@pytest.mark.parametrize("what", ["file", "fifo", "socket"])
def test_what_is_no_directory_is_no_container(box: str, pyoci: Pyoci, bundle: Bundle, what: str) -> None:
    import socket

    bundle.save()
    pyoci.root.mkdir()
    path = pyoci.root / box
    with socket.socket(socket.AF_UNIX) as unused:
        make: dict[str, Callable[[], Any]] = {
            "file": path.touch,
            "fifo": lambda: os.mkfifo(path),
            "socket": lambda: unused.bind(str(path)),
        }
        make[what]()
    for verb in (*VERBS, ["create", "--bundle", str(bundle.path)]):
        assert f"{path} is no directory" in refused(pyoci, verb, box)
    assert pyoci("list", "--quiet").out == ""
    path.unlink()


def test_an_empty_directory_is_no_container(box: str, pyoci: Pyoci, bundle: Bundle) -> None:
    (pyoci.root / box).mkdir(parents=True)
    assert "does not exist" in refused(pyoci, ["state"], box)
    assert pyoci("list", "--quiet").out == ""
    pyoci.create(bundle.args("true"), id=box).delete(force=True)
    (pyoci.root / box).mkdir()
    pyoci("delete", "--force", box)
    assert os.listdir(pyoci.root) == []


def test_a_directory_of_somebody_else_is_not_emptied(box: str, pyoci: Pyoci) -> None:
    """As with --root /etc."""
    (pyoci.root / box).mkdir(parents=True)
    (pyoci.root / f"{box}/config.json").touch()
    (pyoci.root / f"{box}/other").touch()
    pyoci("delete", "--force", box)
    assert len(os.listdir(pyoci.root / box)) == 2
    shutil.rmtree(pyoci.root / box)


def unsafe(path: Path, mode: int = 0o755, uid: int = 0, gid: int = 0) -> None:
    path.mkdir(exist_ok=True)
    os.chown(path, uid, gid)
    path.chmod(mode)


@pytest.mark.parametrize(
    ("mode", "uid", "gid", "words"),
    [
        (0o777, 0, 0, "everybody can write to it (mode 0777)"),
        (0o702, 0, 0, "everybody can write to it (mode 0702)"),
        (0o1777, 0, 0, "everybody can write to it (mode 1777)"),
        (0o770, 0, STRANGER, f"group {STRANGER} can write to it (mode 0770)"),
        (0o700, STRANGER, 0, f"it belongs to user {STRANGER}, who could put anything there"),
    ],
)
def test_a_root_that_others_can_change(pyoci: Pyoci, bundle: Bundle, mode: int, uid: int, gid: int, words: str) -> None:
    container = pyoci.create(bundle.args("true"))
    unsafe(pyoci.root, mode, uid, gid)
    try:
        for verb in (*VERBS, ["create", "--bundle", str(bundle.path)], ["run", "--bundle", str(bundle.path)]):
            id = container.id if verb[0] not in ("create", "run") else pyoci.new_id()
            err = refused(pyoci, verb, id)
            assert f"cannot use the state directory {pyoci.root}: {words}" in err
            assert "give --root a directory that is yours alone" in err
        assert words in pyoci("list", check=False).err
        assert os.listdir(pyoci.root) == [container.id]
    finally:
        unsafe(pyoci.root)
        container.delete(force=True)


@pytest.mark.parametrize(("mode", "uid"), [(0o777, 0), (0o1777, 0), (0o755, STRANGER)], ids=["pod", "tmp", "home"])
def test_a_way_that_others_can_change(pyoci: Pyoci, bundle: Bundle, victim: Path, mode: int, uid: int) -> None:
    """What they put there is not used, but they are no reason to do without: a pod's emptyDir has mode 0777."""
    above = pyoci.directory / "above"
    unsafe(above, mode, uid)
    pyoci.root = above / "root"
    container = pyoci.create(bundle.args("true"))
    assert container.status == "created"
    os.rename(pyoci.root, above / "aside")
    pyoci.root.symlink_to(victim.parent)
    os.chown(pyoci.root, STRANGER, STRANGER, follow_symlinks=False)
    for verb in VERBS:
        assert f"there is a link root of user {STRANGER} on the way" in refused(pyoci, verb, "victim")
    assert untouched(victim)
    pyoci.root.unlink()
    unsafe(pyoci.root, 0o755, STRANGER)
    (pyoci.root / container.id).mkdir()
    for verb in VERBS:
        assert f"it belongs to user {STRANGER}" in refused(pyoci, verb, container.id)
    os.rmdir(pyoci.root / container.id)
    pyoci.root.rmdir()
    os.rename(above / "aside", pyoci.root)
    container.delete(force=True)


def test_a_way_that_changes_under_way(directory: Path, victim: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look at a directory and its opening somebody puts a link there."""
    import posix

    above = directory / "above"
    unsafe(above, 0o777)
    (above / "root").mkdir()
    real_open = posix.open

    def swap_and_open(path: str, *flags: int, **where: int) -> int:
        if path in ("root", str(above / "root")) and (above / "root").is_dir():
            (above / "root").rmdir()
            (above / "root").symlink_to(victim.parent)
            os.chown(above / "root", STRANGER, STRANGER, follow_symlinks=False)
        return real_open(path, *flags, **where)

    monkeypatch.setattr(posix, "open", swap_and_open)
    with pytest.raises(PyociError, match=f"there is a link root of user {STRANGER}"):
        store.remove_unfinished(str(above / "root"), "victim")
    assert untouched(victim)


@pytest.mark.parametrize("mode", [0o700, 0o711, 0o755, 0o1700, 0o770, 0o2775])
def test_roots_as_engines_make_them(pyoci: Pyoci, bundle: Bundle, mode: int) -> None:
    """Modes of containerd, docker and podman, and what umask 002 makes for the one member of a group."""
    unsafe(pyoci.root, mode)
    container = pyoci.create(bundle.args("true"))
    assert pyoci("list", "--quiet").out.split() == [container.id]
    container.delete(force=True)


@pytest.fixture
def linked(pyoci: Pyoci, directory: Path) -> Iterator[Path]:
    """A directory with a link `here` to the one that the root is in, as /var/run is."""
    path = directory / "links"
    path.mkdir()
    (path / "here").symlink_to("..")
    yield path
    path.chmod(0o755)


def test_links_that_nobody_else_can_change(pyoci: Pyoci, bundle: Bundle, linked: Path) -> None:
    container = pyoci.create(bundle.args("true"))
    root = pyoci.root
    (linked / "root").symlink_to(root)
    for path in (linked / "here" / "root", linked / "root", Path(f"{root}/"), Path(f"{root}/../root")):
        pyoci.root = path
        assert container.status == "created", path
        assert pyoci("list", "--quiet").out.split() == [container.id]
    pyoci.root = Path("root")
    assert pyoci("list", "--quiet", cwd=root.parent).out.split() == [container.id]
    pyoci.root = root


@pytest.mark.parametrize("name", ["here/root", "root"])
def test_a_link_of_somebody_else(pyoci: Pyoci, bundle: Bundle, linked: Path, name: str) -> None:
    container = pyoci.create(bundle.args("true"))
    root = pyoci.root
    (linked / "root").symlink_to(root)
    os.chown(linked / name.partition("/")[0], STRANGER, STRANGER, follow_symlinks=False)
    pyoci.root = linked / name
    for verb in VERBS:
        assert f"of user {STRANGER} on the way" in refused(pyoci, verb, container.id)
    pyoci.root = root


def test_links_in_a_circle(pyoci: Pyoci, linked: Path, box: str) -> None:
    root = pyoci.root
    (linked / "a").symlink_to("b")
    (linked / "b").symlink_to("a")
    pyoci.root = linked / "a"
    for verb in VERBS:
        assert "too many links" in refused(pyoci, verb, box)
    pyoci.root = root


@pytest.mark.parametrize("verb", [*VERBS, ["list"], ["create"]], ids=" ".join)
def test_a_root_that_is_a_file(box: str, pyoci: Pyoci, bundle: Bundle, verb: list[str]) -> None:
    bundle.save()
    pyoci.root.write_text("")
    argv = {"list": ["list"], "create": ["create", "--bundle", str(bundle.path), box]}.get(verb[0])
    if argv:
        done = pyoci(*argv, check=False)
        assert done.code == 1
        assert "it is no directory, or below what is none" in done.err
    else:
        assert "it is no directory, or below what is none" in refused(pyoci, verb, box)


def test_an_id_of_the_greatest_length(pyoci: Pyoci, bundle: Bundle) -> None:
    id = pyoci.new_id().ljust(255, "x")
    container = pyoci.create(bundle.args("sleep", "100"), id=id)
    assert container.start().status == "running"
    container.delete(force=True)
    assert "a" * 300 not in refused(pyoci, ["state"], "a" * 256)
    assert os.listdir(pyoci.root) == []
