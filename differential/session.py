"""Carries out the steps of a case with one runtime, and gathers what is seen."""

from __future__ import annotations

import json
import os
import socket
import threading
from pathlib import Path
from typing import Any

from differential import commands, looks, scene
from differential.cases import Case
from differential.commands import Commands, Ended
from differential.places import BUNDLE, KEPT, OUT, ROOTFS, STATE, WORK, container

_LOOKED = {"create", "start", "run", "pause", "resume", "update", "exec"}
#: A descriptor that an engine left open, which no container may see.
_LEAKED = 9


class Console:
    """The other end of --console-socket: reads what a container writes to its terminal."""

    __slots__ = ("_listener", "output", "path")

    def __init__(self, number: int) -> None:
        self.path = WORK / f"console-{number}"
        self.output = OUT / f"terminal-{number}"
        self.output.touch()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(self.path))
        self._listener.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return
        with connection:
            _, fds, _, _ = socket.recv_fds(connection, 4096, 1)
        with self.output.open("ab", buffering=0) as file:
            for master in fds:
                try:
                    while piece := os.read(master, 65536):
                        file.write(piece)
                except OSError:
                    pass
                os.close(master)

    def close(self) -> None:
        self._listener.close()


class Session:
    """One container of one runtime."""

    __slots__ = ("_commands", "_consoles", "_found", "_id", "_outputs", "_pid", "_terminal", "case")

    def __init__(self, program: str, case: Case) -> None:
        self.case = case
        self._id = container(case.view)
        self._commands = Commands([program, "--root", str(STATE)])
        self._consoles: list[Console] = []
        self._outputs: list[Path] = []
        self._pid = 0
        process = case.config.get("process")
        self._terminal = isinstance(process, dict) and process.get("terminal") is True
        self._found: dict[str, Any] = {"steps": []}

    def run(self) -> dict[str, Any]:
        """What was seen, as it was; normal.py takes out what is different each time."""
        before = scene.mount_points()
        os.dup2(os.open("/dev/null", os.O_RDONLY), _LEAKED)
        os.set_inheritable(_LEAKED, True)
        self._found["host_namespaces"] = looks.namespaces("self")
        self._found["kept_namespaces"] = _kept()
        self._found["host_mountinfo"] = looks.read("/proc/self/mountinfo")
        try:
            for step in self.case.steps:
                self._found["steps"].append(self._step(step))
            self._found["tree"] = looks.tree(ROOTFS)
            self._gather()
        finally:
            self._found["before_cleaning"] = looks.host(self._id, before) | {"processes": len(commands.descendants())}
            self._commands.run(["delete", "--force", self._id])
            self._commands.until(lambda: not commands.descendants(), commands.GRACE)
            looks.thaw(self._id)
            self._found["processes_left"] = self._commands.end_descendants()
            self._found["left"] = looks.host(self._id, before)
            looks.remove_cgroups(self._id)
            for console in self._consoles:
                console.close()
            os.close(_LEAKED)
        return self._found

    def _step(self, step: dict[str, Any]) -> dict[str, Any]:
        verb = step["verb"]
        if verb == "wait":
            return {"verb": verb, "code": 0 if self._commands.until(self._is_gone) else None, "err": ""}
        output = self._commands.output()
        ended = self._commands.run(self._arguments(step), (_LEAKED,))
        if verb in ("create", "run", "exec"):
            self._outputs.append(output)
        seen: dict[str, Any] = {"verb": verb, "code": ended.code, "err": ended.err}
        self._follow(step, ended, seen)
        return seen

    def _arguments(self, step: dict[str, Any]) -> list[str]:
        verb = step["verb"]
        options = [str(option) for option in step.get("options", [])]
        number = len(self._found["steps"])
        if verb in ("create", "run"):
            pid_file = OUT / "pid"
            pid_file.unlink(missing_ok=True)
            options += ["--bundle", str(BUNDLE), "--pid-file", str(pid_file)]
            if self._terminal:
                self._consoles.append(Console(number))
                options += ["--console-socket", str(self._consoles[-1].path)]
            return [verb, *options, self._id]
        if verb == "exec" and "process" in step:
            file = WORK / f"process-{number}.json"
            file.write_text(json.dumps(step["process"]))
            return [verb, *options, "--process", str(file), self._id]
        if verb == "exec":
            return [verb, *options, self._id, *step["argv"]]
        if verb == "update" and "resources" in step:
            file = WORK / f"resources-{number}.json"
            file.write_text(json.dumps(step["resources"]))
            return [verb, *options, "--resources", str(file), self._id]
        if verb == "kill":
            return [verb, *options, self._id, *([step["signal"]] if "signal" in step else [])]
        return [verb, *options] if verb == "list" else [verb, *options, self._id]

    def _follow(self, step: dict[str, Any], ended: Ended, seen: dict[str, Any]) -> None:
        """What has to be looked at now, since it is gone later."""
        verb = step["verb"]
        if verb == "state" and ended.code == 0:
            seen["state"] = _json(ended.out)
            return
        if verb not in _LOOKED or ended.code != 0:
            return
        if verb in ("create", "run"):
            self._pid = _number(looks.read(OUT / "pid"))
        if verb == "start" or (verb == "run" and "--detach" in step.get("options", [])):
            self._commands.until(lambda: self._has_reported() or self._is_gone())
        if self._pid and verb != "exec":
            seen["process"] = looks.process(self._pid, self._id)

    def _is_gone(self) -> bool:
        return not self._pid or not os.path.exists(f"/proc/{self._pid}")

    def _has_reported(self) -> bool:
        return any(b"\n" in file.read_bytes() for file in (*self._outputs, *(each.output for each in self._consoles)))

    def _gather(self) -> None:
        """The reports of the processes, in the order of the commands, and of the hooks."""
        files = [*self._outputs, *(console.output for console in self._consoles)]
        texts = [file.read_text("utf-8", "replace") for file in files if file.exists()]
        self._found["reports"] = [line for text in texts for line in text.replace("\r\n", "\n").splitlines()]
        self._found["endings"] = [repr(text[-2:]) for text in texts if text]
        self._found["hooks"] = {
            file.name: file.read_text("utf-8", "replace").splitlines() for file in sorted(OUT.glob("hook-*"))
        }


def _kept() -> dict[str, str]:
    return {f"{name}:[{os.stat(KEPT / name).st_ino}]": name for name in scene.JOINED}


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _number(text: str | int) -> int:
    return int(text) if isinstance(text, str) and text.strip().isdigit() else 0
