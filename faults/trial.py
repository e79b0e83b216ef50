"""One fault: the scenario is prepared, the command run with it, and looked at what came of it."""

from __future__ import annotations

import json
from pathlib import Path

from faults import injector, judge
from faults.calls import Call, Case, parse
from faults.errors import CannotInject
from faults.injector import BROKEN, NO_CALL, OTHER_CALL
from faults.judge import NONE, Seen
from faults.place import Done, Place
from faults.scenarios import Scenario

#: The call that was to fail was another one, or was not made: a run is not quite like the recorded one.
MOVED = "moved"
#: How often it is tried to meet the call.
ATTEMPTS = 5


class Trials:
    """The faults of a scenario, one after the other. close() when there are no more."""

    __slots__ = ("_injector", "_place", "_prepared", "_scenario")

    def __init__(self, place: Place, scenario: Scenario, injector: Path) -> None:
        self._place = place
        self._scenario = scenario
        self._injector = injector
        self._prepared = False

    def _prepare(self) -> None:
        if not (self._scenario.reader and self._prepared):
            self._place.new_id()
            self._scenario.prepare(self._place)
            self._prepared = True

    def close(self) -> None:
        """Removes the container that all had in common."""
        self._place.sweep()
        self._prepared = False

    def record(self) -> list[Call]:
        """The calls of a run in which all goes well."""
        file = self._place.directory / "calls"
        self._prepare()
        done = self._place.run(*self._scenario.argv(self._place), before=injector.record(self._injector, file))
        if done.code != self._scenario.code:
            raise CannotInject(f"{self._scenario.name} ended with {done.code} without any fault: {done.err}")
        self.close()
        return parse(file.read_text(errors="replace"))

    def one(self, case: Case) -> list[tuple[str, str]]:
        """The verdicts of a fault."""
        place, scenario = self._place, self._scenario
        for _ in range(ATTEMPTS):
            self._prepare()
            done = place.run(*scenario.argv(place), before=injector.inject(self._injector, case))
            if done.code == BROKEN:
                raise CannotInject(done.err)
            if done.code not in (OTHER_CALL, NO_CALL):
                break
            self.close()
        else:
            return [(MOVED, done.err.strip()[:200])]
        found = judge.judge(self._look(case, done))
        if found or not scenario.reader:
            self.close()
        return found

    def _look(self, case: Case, done: Done) -> Seen:
        place, scenario = self._place, self._scenario
        if scenario.after == "stopped" and done.code == scenario.code:
            place.wait_for_end()  # `kill` does not
        status = self._status()
        listed = place.run("list", "--quiet")
        good = done.code == scenario.code
        seen = Seen(case.fault, done.code, scenario.code, done.err, status, scenario.before, scenario.after)
        if good and status == scenario.after:
            seen = seen._replace(done=scenario.done(place, done))
        elif not good and case.fault != "KILL" and status == scenario.before:
            seen = seen._replace(undone=scenario.undone(place))
        if not good and status == NONE and case.fault != "KILL":
            seen = seen._replace(left=place.left_at_last() if scenario.before == NONE else ())
        if listed.code or (place.id in listed.out.split()) != (status != NONE):
            seen = seen._replace(list_error=f"status {listed.code}: {listed.out} {listed.err}".strip())
        if scenario.reader:
            return seen
        place.clear_files()  # `delete` knows of none
        deleted = place.run("delete", "--force", place.id)
        for name in ("pid", ".pid", "config.json"):
            if case.fault == "KILL":  # nobody knows of what a killed command wrote for its caller
                for path in place.files.glob(f"*{name}*"):
                    path.unlink()
        return seen._replace(
            delete_error=f"status {deleted.code}: {deleted.err.strip()}" if deleted.code else "",
            remains=place.left_at_last(),
        )

    def _status(self) -> str:
        """What `state` says; "?" and its words when it neither tells one nor that there is no container."""
        done = self._place.run("state", self._place.id)
        if done.code == 0:
            try:
                return str(json.loads(done.out)["status"])
            except (ValueError, KeyError):
                return f"?{done.out}"
        return NONE if "does not exist" in done.err and "internal error" not in done.err else f"?{done.err.strip()}"
