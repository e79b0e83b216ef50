"""What is tried: a command, what it begins with, and how one sees whether it was done."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from faults.place import MARK, Done, Place

NONE = "none"


class Scenario:
    """`prepare` brings about what the command begins with; after it the container has the status `before`, and `after`
    when the command was done, NONE for no container. `done` looks whether that is so beyond the status, `undone`
    whether nothing was. A `reader` changes nothing, so its container serves for all faults."""

    __slots__ = ("after", "argv", "before", "code", "done", "name", "prepare", "reader", "undone")

    def __init__(
        self,
        name: str,
        prepare: Callable[[Place], None],
        argv: Callable[[Place], Sequence[str]],
        *,
        before: str,
        after: str,
        code: int = 0,
        done: Callable[[Place, Done], str] = lambda place, result: "",
        undone: Callable[[Place], str] = lambda place: "",
        reader: bool = False,
    ) -> None:
        self.name = name
        self.prepare = prepare
        self.argv = argv
        self.before = before
        self.after = after
        self.code = code
        self.done = done
        self.undone = undone
        self.reader = reader


def _nothing(place: Place) -> None:
    place.set_command("sleep", "1000")


def _marks(place: Place) -> None:
    place.set_command("sh", "-c", MARK)


def _created(bundle: str = "plain") -> Callable[[Place], None]:
    def prepare(place: Place) -> None:
        _nothing(place)
        place.must("create", "--bundle", str(place.bundle(bundle)), place.id)

    return prepare


def _running(bundle: str = "plain") -> Callable[[Place], None]:
    def prepare(place: Place) -> None:
        _nothing(place)
        place.must("run", "--detach", "--bundle", str(place.bundle(bundle)), place.id)

    return prepare


def _paused(place: Place) -> None:
    _running()(place)
    place.must("pause", place.id)


def _stopped(place: Place) -> None:
    _created()(place)
    place.must("kill", place.id, "KILL")
    _wait(lambda: not place.processes())


def _wait(condition: Callable[[], object], seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True


def _create(bundle: str) -> Callable[[Place], Sequence[str]]:
    def argv(place: Place) -> Sequence[str]:
        return ("create", "--bundle", str(place.bundle(bundle)), "--pid-file", str(place.files / "pid"), place.id)

    return argv


def _run(*options: str) -> Callable[[Place], Sequence[str]]:
    return lambda place: ("run", "--bundle", str(place.bundle("plain")), *options, place.id)


def _of_id(*words: str, after: Sequence[str] = ()) -> Callable[[Place], Sequence[str]]:
    return lambda place: (*words, place.id, *after)


def _pid_file(place: Place, result: Done) -> str:
    file = place.files / "pid"
    if not file.exists() or file.read_text() != str(_state(place)["pid"]):
        return "the pid file is not that of the container"
    file.unlink()
    return ""


def _state(place: Place) -> dict[str, object]:
    found: dict[str, object] = json.loads(place.must("state", place.id).out)
    return found


def _one_process(place: Place) -> str:
    _wait(lambda: len(place.processes()) == 1, 1)
    count = len(place.processes())
    return "" if count == 1 else f"{count} processes run, where only the container's own should"


def _two_processes(place: Place, result: Done) -> str:
    return "" if len(place.processes()) == 2 else "the process does not run"


def _status_is(status: str) -> Callable[[Place, Done], str]:
    def done(place: Place, result: Done) -> str:
        return (
            "" if f'"{status}"' in result.out and place.id in result.out else "the answer is not that of the container"
        )

    return done


def _listed(place: Place, result: Done) -> str:
    """Or a warning says that it could not be read, as with runc."""
    return _status_is("running")(place, result) if "level=warning" not in result.err else ""


def _shows_pid(place: Place, result: Done) -> str:
    return "" if str(_state(place)["pid"]) in result.out else "the answer lacks the container's process"


def _is_json(place: Place, result: Done) -> str:
    try:
        return "" if json.loads(result.out) else "the answer is empty"
    except ValueError:
        return "the answer is not whole"


def _config_there(place: Place, result: Done) -> str:
    file = place.files / "config.json"
    try:
        json.loads(file.read_text())
    except (OSError, ValueError) as error:
        return f"config.json: {error}"
    file.unlink()
    return ""


def _limit(place: Place) -> str:
    for top in ("pids", "unified", "."):
        file = Path("/sys/fs/cgroup", top, place.id, "pids.max")
        if file.exists():
            return file.read_text().strip()
    return "no file"


def _limited(place: Place, result: Done) -> str:
    return "" if _limit(place) == "77" else f"the limit is {_limit(place)}"


def _unlimited(place: Place) -> str:
    return "" if _limit(place) == "100" else f"the limit is {_limit(place)}"


def _ends(place: Place, result: Done) -> str:
    return "" if _wait(lambda: not place.processes()) else "the process still runs"


_EXEC = ("sh", "-c", "exit 7")

ALL = (
    Scenario("create", _nothing, _create("plain"), before=NONE, after="created", done=_pid_file),
    Scenario("create-engine", _nothing, _create("engine"), before=NONE, after="created", done=_pid_file),
    Scenario("create-user", _nothing, _create("user"), before=NONE, after="created", done=_pid_file),
    Scenario("start", _created(), _of_id("start"), before="created", after="running"),
    Scenario("start-user", _created("user"), _of_id("start"), before="created", after="running"),
    Scenario("run", _marks, _run(), before=NONE, after=NONE, code=7),
    Scenario("run-detached", _nothing, _run("--detach"), before=NONE, after="running"),
    Scenario(
        "exec", _running(), _of_id("exec", after=_EXEC), before="running", after="running", code=7, undone=_one_process
    ),
    Scenario(
        "exec-detached",
        _running("engine"),
        _of_id("exec", "--detach", after=("sleep", "1000")),
        before="running",
        after="running",
        done=_two_processes,
        undone=_one_process,
    ),
    Scenario(
        "state", _running(), _of_id("state"), before="running", after="running", done=_status_is("running"), reader=True
    ),
    Scenario(
        "list",
        _running(),
        lambda place: ("list", "--format", "json"),
        before="running",
        after="running",
        done=_listed,
        reader=True,
    ),
    Scenario("ps", _running(), _of_id("ps"), before="running", after="running", done=_shows_pid, reader=True),
    Scenario(
        "events",
        _running("engine"),
        _of_id("events", "--stats"),
        before="running",
        after="running",
        done=_is_json,
        reader=True,
    ),
    Scenario("kill", _running(), _of_id("kill", after=("KILL",)), before="running", after="stopped", done=_ends),
    Scenario("pause", _running(), _of_id("pause"), before="running", after="paused"),
    Scenario("resume", _paused, _of_id("resume"), before="paused", after="running"),
    Scenario(
        "update",
        _running("user"),
        _of_id("update", "--pids-limit", "77", "--cpu-share", "512"),
        before="running",
        after="running",
        done=_limited,
        undone=_unlimited,
    ),
    Scenario("delete", _stopped, _of_id("delete"), before="stopped", after=NONE),
    Scenario("delete-force", _running("engine"), _of_id("delete", "--force"), before="running", after=NONE),
    Scenario("delete-hooks", _running("user"), _of_id("delete", "--force"), before="running", after=NONE),
    Scenario("spec", _nothing, lambda place: ("spec",), before=NONE, after=NONE, done=_config_there),
    Scenario("features", _nothing, lambda place: ("features",), before=NONE, after=NONE, done=_is_json),
)
