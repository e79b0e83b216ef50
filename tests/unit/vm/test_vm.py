"""What of the virtual machine can be tested without one: caching, QEMU's command line, watching a boot, reports."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from vm import checkout, host, machine, session, shell, suite, tree
from vm.__main__ import arguments

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own."""
    monkeypatch.setenv("PYOCI_VM_CACHE", str(tmp_path / "cache"))
    return host.cache_directory()


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[machine.Machine]:
    """A process that stands in for QEMU, which `end` is to end."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "console.log").write_text("\x1b[0mKernel panic\r\n")
    with subprocess.Popen(["sleep", "100"]) as process:
        yield machine.Machine(folder, "v2", process.pid, 1)
        process.kill()


def test_digest_keeps_parts_apart() -> None:
    """What is moved from one part to the next is another input."""
    assert host.digest(["ab", "c"]) != host.digest(["a", "bc"])
    assert host.digest(["ab", b"c"]) == host.digest(["ab", "c"])


def test_old_things_are_forgotten(cache: Path) -> None:
    """Those that were used last are kept, and always the one in use."""
    for age, name in enumerate(("thing-new", "thing-older", "thing-oldest", "other-1")):
        (cache / name).mkdir()
        os.utime(cache / name, (1000 - age, 1000 - age))
    host.forget_old("thing", cache / "thing-oldest")
    assert sorted(path.name for path in cache.iterdir()) == ["other-1", "thing-new", "thing-oldest"]


def test_lock_is_exclusive(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The second waits, says so, and goes on when the first is done."""
    order: list[str] = []
    with host.locked("x", "waiting for the first"):
        second = threading.Thread(target=_enter_lock, args=[order])
        second.start()
        second.join(0.3)
        assert second.is_alive()
        order.append("first")
    second.join(10)
    assert order == ["first", "second"]
    assert "waiting for the first" in capsys.readouterr().err


def _enter_lock(order: list[str]) -> None:
    with host.locked("x", "waiting for the first"):
        order.append("second")


def test_failure_names_program_and_its_last_words(tmp_path: Path) -> None:
    """As output is in a log, its end is in the error."""
    with pytest.raises(host.VmError, match=r"(?s)sh ended with code 3:.*the reason"):
        host.run(["sh", "-c", "echo the reason; exit 3"], log=tmp_path / "log")
    with pytest.raises(host.VmError, match="ended with code 3: the reason"):
        host.run(["sh", "-c", "echo the reason >&2; exit 3"])


def test_tree_comes_from_the_mirrors_of_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """The suites are swapped, other repositories are left out, none at all is an error."""
    listed = "http://a/debian bookworm main\nhttp://a/security bookworm-security main\nhttp://b nodistro main\n"
    monkeypatch.setattr(tree, "run", lambda argv: listed)
    monkeypatch.setattr("platform.freedesktop_os_release", lambda: {"VERSION_CODENAME": "bookworm"})
    assert [line.split("] ")[1] for line in tree.sources().splitlines()] == [
        "http://a/debian trixie main",
        "http://a/security trixie-security main",
    ]
    monkeypatch.setattr("platform.freedesktop_os_release", lambda: {"VERSION_CODENAME": "sid"})
    with pytest.raises(host.VmError, match="no mirror of Debian sid"):
        tree.sources()


def test_qemu_command_line(tmp_path: Path) -> None:
    """The disk stays clean, nothing but the way in is forwarded, and v1 is asked of systemd by name."""
    argv = machine.command(tmp_path, "v1", tmp_path)
    assert any("snapshot=on" in word for word in argv)
    assert "user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:0-:22" in argv
    assert "SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1" in argv[argv.index("-append") + 1]
    assert "LEGACY" not in " ".join(machine.command(tmp_path, "v2", tmp_path))


def test_ready_machine_says_how_it_is(sleeper: machine.Machine) -> None:
    """The answer may come in pieces."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.send(b"degra")
        threading.Timer(0.1, theirs.send, [b"ded\n"]).start()
        assert machine.await_ready(ours, sleeper) == ["degraded"]


def test_machine_that_ends_while_booting(sleeper: machine.Machine) -> None:
    """The console's end is in the error, without control characters."""
    ours, theirs = socket.socketpair()
    theirs.close()
    with ours, pytest.raises(host.VmError, match=r"ended while booting(.|\n)*Kernel panic$"):
        machine.await_ready(ours, sleeper)


def test_machine_that_does_not_come_up(sleeper: machine.Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A time-out, with the console's end."""
    monkeypatch.setattr(machine, "BOOT_SECONDS", 0.1)
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(host.VmError, match=r"not up after(.|\n)*Kernel panic$"):
        machine.await_ready(ours, sleeper)


def test_end_ends_the_process(sleeper: machine.Machine) -> None:
    """And removes what was there for it; a pid that is another process' by now is let alone."""
    assert sleeper.alive
    sleeper.end()
    assert not sleeper.alive
    assert not sleeper.folder.exists()
    other = machine.Machine(sleeper.folder, "v2", os.getpid(), 1)
    other.started += 1
    assert not other.alive
    other.end()


def test_session_is_known_until_its_machine_ends(sleeper: machine.Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a machine that ended there is no session, whoever has its pid now."""
    monkeypatch.setattr(session, "boot", lambda mode, keep: sleeper)
    assert not session.running()
    session.start("v2", 60, None)
    assert session.current().pid == sleeper.pid
    assert "cgroup v2" in session.status()
    with pytest.raises(host.VmError, match="runs already"):
        session.start("v1", 60, None)
    session.stop()
    assert not sleeper.alive
    with pytest.raises(host.VmError, match="no machine runs"):
        session.current()


def test_commands_are_quoted_for_the_machines_shell() -> None:
    """Words arrive as they were given."""
    line = shell.remote(["printf", "%s|", "a b", "$HOME", "it's"], "/", {"X": "1 2"})
    done = subprocess.run(["sh", "-c", f"{line}"], capture_output=True, text=True, check=True)
    assert done.stdout == "a b|$HOME|it's|"


def test_suite_without_a_test_is_red(tmp_path: Path) -> None:
    """So is one that failed; the counts are those of the report."""
    report = '<testsuites><testsuite tests="9" failures="1" errors="2" skipped="3"/></testsuites>'
    (tmp_path / "engines.xml").write_text(report)
    counts = suite.counted(tmp_path, "engines")
    assert counts == {"passed": 3, "failed": 3, "skipped": 3}
    assert suite.Outcome("v2", "engines", 1, 1.0, counts).red
    assert not suite.Outcome("v2", "engines", 0, 1.0, counts).red
    assert suite.Outcome("v2", "engines", 0, 1.0, {}).red
    assert suite.Outcome("v2", "engines", 0, 1.0, {"passed": 0, "failed": 0, "skipped": 7}).red


def test_oci_suite_is_for_v1() -> None:
    """The rest is run in both."""
    assert suite.suites_of("v1", suite.SUITES) == ["conformance", "integration", "systemd", "engines"]
    assert suite.suites_of("v2", suite.SUITES) == ["integration", "systemd", "engines"]
    assert suite.suites_of("v2", ["engines"]) == ["engines"]


def test_no_test_of_systemd_is_lost() -> None:
    assert (ROOT / suite.SYSTEMD_TESTS).is_file()
    assert f"--ignore={suite.SYSTEMD_TESTS}" in suite.command("integration", "v1", "")
    assert suite.command("systemd", "v1", "")[-1] == suite.SYSTEMD_TESTS


@pytest.fixture
def machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the console of each machine to come shows when it ends in its suite `integration`; they are mocks.

    One whose console says "panic" is only about to end.
    """
    consoles: list[str] = []
    monkeypatch.setattr(suite, "ROOT", tmp_path)
    monkeypatch.setattr("vm.shell.execute", lambda *_, **__: 0)
    monkeypatch.setattr("vm.shell.fetch", lambda *_: None)
    monkeypatch.setattr("vm.session.install", lambda *_: None)

    @contextmanager
    def booted(mode: str) -> Iterator[SimpleNamespace]:
        console = tmp_path / "console"
        console.write_text(consoles.pop(0))
        yield SimpleNamespace(mode=mode, console=console, alive=True)

    def in_machine(machine: SimpleNamespace, name: str, *_: object) -> suite.Outcome:
        console = machine.console.read_text() if name == "integration" else ""
        if "panic" in console:
            raise host.VmError("results could not be brought")
        machine.alive = not console
        return suite.Outcome(machine.mode, name, 0, 1.0, {"passed": 1})

    monkeypatch.setattr(suite, "booted", booted)
    monkeypatch.setattr(suite, "in_machine", in_machine)
    return consoles


@pytest.mark.parametrize(
    ("consoles", "expected"),
    [
        ([""], ["conformance", "integration", "systemd", "engines"]),
        (["Oops: int3: 0000", ""], ["conformance", "integration", "systemd", "engines"]),
        (["Oops: int3: 0000; panic", ""], ["conformance", "integration", "systemd", "engines"]),
        (["Oops: int3: 0000", "Oops: int3: 0000"], ["conformance", "machine"]),
        (["panic"], ["conformance", "machine"]),
        (["Out of memory"], ["conformance", "machine"]),
    ],
)
def test_what_emulated_processors_do_wrong_is_tried_again_once(
    machines: list[str], consoles: list[str], expected: list[str]
) -> None:
    """Only that, only the suite it happened in and those after it; what ended before stays."""
    machines += consoles
    outcomes = suite.in_mode("v1", suite.SUITES, None, Path("archive"), "", 1.0)
    assert [outcome.suite for outcome in outcomes] == expected
    assert not machines
    assert [outcome.red for outcome in outcomes] == [name == "machine" for name in expected]


def test_a_boot_that_emulated_processors_end_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only that, and not for ever; QEMU is a mock."""
    consoles: list[str] = []

    def boot_once(mode: str, *, keep: float) -> machine.Machine:
        made = machine.Machine(tmp_path, mode, 0, 0)
        made.console.write_text(consoles.pop(0))
        with machine.emulator_told_apart(made):
            if made.console.read_text():
                raise host.VmError("it ended while booting")
        return made

    monkeypatch.setattr("vm.machine.boot_once", boot_once)
    consoles += ["Oops: int3: 0000", "Oops: int3: 0000", ""]
    assert machine.boot("v1").mode == "v1"
    for more in (["no root file system"], ["Oops: int3: 0000"] * machine.BOOTS):
        consoles += more
        with pytest.raises(host.VmError):
            machine.boot("v1")
        assert not consoles


def test_payload_is_what_git_would_take() -> None:
    """Sources, and nothing that was built."""
    names = checkout.files()
    assert "vm/checkout.py" in names
    assert not [name for name in names if name.startswith((".venv/", "build/")) or name.endswith((".so", ".pyc"))]


def test_command_line() -> None:
    """What follows -- is the command, options and all."""
    options = arguments(["run", "--cgroup", "v1", "--", "ls", "-l"])
    assert options.command == ["ls", "-l"]
    assert options.cgroup == "v1"


def test_what_cannot_be_done_is_said_in_a_line() -> None:
    """The exit code is not one that a command is likely to have."""
    done = subprocess.run([sys.executable, "-m", "vm", "exec", "--", "true"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 125
    assert done.stderr == "vm: no machine runs; `python -m vm start` starts one\n"


def test_missing_program_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    """install-deps."""
    with pytest.raises(host.VmError, match="not installed: no-such-program; scripts/install-deps vm"):
        host.require("sh", "no-such-program")


def test_as_a_program() -> None:
    """python -m vm --help."""
    done = subprocess.run([sys.executable, "-m", "vm", "--help"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "Debian" in done.stdout


def test_files_move_over_others(tmp_path: Path) -> None:
    """Each replaces its predecessor; what the tree has besides stays."""
    for name, text in (("from/a/new", "n"), ("from/a/changed", "2"), ("to/a/changed", "1"), ("to/a/kept", "k")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    command = [sys.executable, "-c", session.MOVE_FILES.read_text(), str(tmp_path / "from"), str(tmp_path / "to")]
    subprocess.run(command, check=True)
    found = {path.name: path.read_text() for path in (tmp_path / "to/a").iterdir()}
    assert found == {"new": "n", "changed": "2", "kept": "k"}


def test_only_the_checkout_is_put(sleeper: machine.Machine) -> None:
    """No file of the host gets into the machine by a slip."""
    with pytest.raises(host.VmError, match="is not in the checkout"):
        session.put(sleeper, ["../outside"])


def test_copy_of_the_tree_overwrites_nothing(tmp_path: Path) -> None:
    """The directory must be new or empty."""
    (tmp_path / "file").touch()
    with pytest.raises(host.VmError, match="no empty directory"):
        checkout.copy_tree(tmp_path, install=False)
