"""Whose containers are whose: the state root of an ordinary user, and those of others."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from containers import Bundle, Pyoci
from rootless_support import RootlessPyoci, give

COMMANDS = (["state"], ["kill"], ["exec"], ["delete", "--force"], ["pause"], ["update", "--pids-limit", "3"], ["ps"])


def call(runtime: Pyoci, command: list[str], id: str, *options: str) -> str:
    """The error of a command that must fail."""
    after = ["true"] if command == ["exec"] else []
    done = runtime(*options, *command, id, *after, check=False)
    assert done.code == (255 if command == ["exec"] else 1), done
    return done.err


def test_the_users_state_is_in_his_runtime_directory(rootless: RootlessPyoci, box: Bundle) -> None:
    container = rootless.run_detached(box.args("/bin/sleep", "60"))
    for path, mode in ((rootless.root, 0o1700), (rootless.root / container.id, 0o700)):
        found = path.stat()
        assert (found.st_uid, found.st_mode & 0o7777) == (rootless.user.uid, mode), path


def test_without_a_runtime_directory(rootless: RootlessPyoci, box: Bundle) -> None:
    """Then it would be root's."""
    del rootless.environment["XDG_RUNTIME_DIR"]
    done = rootless.run(box, check=False)
    assert done.code == 1
    assert "/run/pyoci" in done.err
    assert "XDG_RUNTIME_DIR" in done.err
    rootless.options = ["--root", str(box.path / "state")]
    assert rootless.run(box).code == 0


@pytest.mark.parametrize("mode", [0o700, 0o1777])
def test_a_runtime_directory_of_another_user(rootless: RootlessPyoci, box: Bundle, directory: Path, mode: int) -> None:
    """As su(1) may leave in the environment, or a directory that a stranger has prepared."""
    strange = directory / "strange"
    (strange / "pyoci").mkdir(parents=True)
    (strange / "pyoci").chmod(0o777)
    strange.chmod(mode)
    rootless.environment["XDG_RUNTIME_DIR"] = str(strange)
    done = rootless.run(box, check=False)
    assert done.code == 1
    assert str(strange) in done.err
    assert "--root" in done.err
    assert not list((strange / "pyoci").iterdir())


def test_roots_containers_are_not_the_users(
    rootless: RootlessPyoci, pyoci: Pyoci, new_bundle: Callable[[str], Bundle]
) -> None:
    container = pyoci.run_detached(new_bundle("other").args("/bin/sleep", "60"))
    for command in COMMANDS:
        assert "Permission denied" in call(rootless, command, container.id, "--root", str(pyoci.root))
    assert rootless("--root", str(pyoci.root), "list", check=False).code == 1
    assert container.status == "running"


def test_the_users_containers_are_not_roots(rootless: RootlessPyoci, box: Bundle, pyoci: Pyoci) -> None:
    """Whose commands would run the user's hooks, and kill whom he has written down."""
    container = rootless.run_detached(box.args("/bin/sleep", "60"))
    pyoci.root = rootless.root
    for command in COMMANDS:
        assert f"it belongs to user {rootless.user.uid}" in call(pyoci, command, container.id)
    assert container.status == "running"
    pyoci.root = pyoci.directory / "root"


def test_a_container_that_a_stranger_has_prepared(rootless: RootlessPyoci, box: Bundle, directory: Path) -> None:
    container = rootless.run_detached(box.args("/bin/sleep", "60"))
    shared = directory / "shared"
    shared.mkdir()
    os.rename(rootless.root / container.id, shared / container.id)
    rootless.root = shared
    rootless.options = ["--root", str(shared)]
    os.chown(shared / container.id, 12345, 12345)
    (shared / container.id).chmod(0o755)
    for mode, words in (
        (0o755, "is the container of user 12345"),
        (0o1777, "everybody can write to it (mode 1777)"),
    ):
        shared.chmod(mode)
        for command in COMMANDS:
            assert words in call(rootless, command, container.id)
    give(rootless.user, shared, shared / container.id)
    shared.chmod(0o700)
    (shared / container.id).chmod(0o777)
    for command in COMMANDS:
        assert f"{shared / container.id} can be written to by others" in call(rootless, command, container.id)
    (shared / container.id).chmod(0o700)
    container.delete(force=True)


def test_delete_follows_no_link(rootless: RootlessPyoci, pyoci: Pyoci, directory: Path) -> None:
    """What the user puts into his state root is no way to files that are root's."""
    victim = directory / "victim"
    victim.mkdir()
    (victim / "file").touch()
    rootless("list")
    (pyoci.directory / "pyoci").symlink_to(rootless.root)
    (rootless.root / "~box~1").symlink_to(victim)
    (rootless.root / "box").symlink_to(victim)
    for root in (rootless.root, pyoci.directory / "pyoci"):
        done = pyoci("--root", str(root), "delete", "--force", "box", check=False)
        assert done.code == 1
        assert f"it belongs to user {rootless.user.uid}" in done.err
    assert (victim / "file").exists()
    for name in ("~box~1", "box"):
        (rootless.root / name).unlink()
