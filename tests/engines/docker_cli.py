"""What podman and docker have in common: docker's command line."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, ClassVar

from .engine import DEFAULT, SLEEP, Engine, Options, Stats

_SCALE = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
# Ways to give a container a network that is not the engine's own.
_NETWORK_OPTIONS = ("--network", "--net", "--pod")


def size(text: str) -> float:
    """The bytes that docker and podman mean by ``64MiB`` or ``67.11MB``."""
    match = re.fullmatch(r"([\d.]+)\s*([kKMG]?i?B)", text.strip())
    assert match, f"not a size: {text!r}"
    return float(match[1]) * _SCALE[match[2]]


class DockerCli(Engine):
    """An engine with docker's commands."""

    top_words: ClassVar[tuple[str, ...]]  # make ``top NAME`` a list of the host's process IDs
    stats_template: ClassVar[str]  # of the number of processes, a bar, and "memory used / limit"

    __slots__ = ()

    def private(self, words: Sequence[str]) -> list[str]:
        """Options for a new container that has these: unless one names a network, none is made, which is quicker."""
        named = any(word.split("=")[0] in _NETWORK_OPTIONS for word in words)
        return [] if named else ["--network", "none"]

    def run_words(
        self, name: str, command: Sequence[str], options: Options = DEFAULT, *, how: Sequence[str] = ("--rm", "-i")
    ) -> tuple[str, ...]:
        """The words that run a container."""
        return ("run", "--name", name, *how, *self.option_words(options), self.image, *command)

    def option_words(self, options: Options) -> list[str]:
        """The options of ``run``."""
        words = self._process_words(options)
        words += [f"--memory={options.memory}"] if options.memory else []
        words += [f"--cpus={options.cpus}"] if options.cpus else []
        words += [f"--pids-limit={options.pids}"] if options.pids else []
        words += [f"--volume={bind.source}:{bind.target}:{'ro' if bind.read_only else 'rw'}" for bind in options.binds]
        words += [f"--tmpfs={options.tmpfs[0]}:{options.tmpfs[1]}"] if options.tmpfs else []
        words += ["--read-only"] if options.read_only else []
        words += [f"--cap-add={name}" for name in options.cap_add] + [f"--cap-drop={name}" for name in options.cap_drop]
        words += [f"--security-opt=seccomp={options.seccomp}"] if options.seccomp else []
        words += [f"--publish={options.publish[0]}:{options.publish[1]}"] if options.publish else []
        return [*words, *options.words]

    @staticmethod
    def _process_words(options: Options) -> list[str]:
        words = [f"--env={variable}" for variable in options.env]
        words += [f"--user={options.user}"] if options.user else []
        return [*words, *([f"--workdir={options.workdir}"] if options.workdir else [])]

    def exec_words(self, name: str, command: Sequence[str], options: Options = DEFAULT) -> tuple[str, ...]:
        """The words that execute a command in a running container."""
        return ("exec", "-i", *self._process_words(options), name, *command)

    def start(self, *words: str, command: Sequence[str] = SLEEP) -> str:
        """Start a container in the background with the engine's own options and return its ID."""
        return self("run", "-d", *words, self.image, *command).stdout.strip()

    def inspect(self, name: str) -> dict[str, Any]:
        """What the engine knows of a container."""
        found: list[dict[str, Any]] = json.loads(self("inspect", name).stdout)
        return found[0]

    def pid(self, name: str) -> int:
        """The first process of a running container, as the host numbers it."""
        return int(self.inspect(name)["State"]["Pid"])

    def status(self, name: str) -> str:
        """running, paused or stopped."""
        status = str(self.inspect(name)["State"]["Status"])
        return {"exited": "stopped"}.get(status, status)

    def exit_code(self, name: str) -> int:
        """Wait for a container's end and give its code."""
        return int(self("wait", name).stdout)

    def kill(self, name: str, signal: str) -> None:
        """Send a signal."""
        self("kill", "-s", signal, name)

    def stop(self, name: str, seconds: int) -> None:
        """Send SIGTERM and after some time SIGKILL."""
        self("stop", "-t", str(seconds), name)

    def restart(self, name: str) -> None:
        """End a container, without patience, and start it again."""
        self("restart", "-t", "0", name)

    def pause(self, name: str) -> None:
        """Freeze a container."""
        self("pause", name)

    def unpause(self, name: str) -> None:
        """Thaw a container."""
        self("unpause", name)

    def stats(self, name: str) -> Stats:
        """One measurement."""
        found = self("stats", "--no-stream", "--format", self.stats_template, name).stdout.strip()
        count, memory = found.split("|")
        return Stats(int(count), size(memory.split("/")[1]))

    def top(self, name: str) -> set[int]:
        """The container's processes, as the host numbers them."""
        return {int(line.split()[0]) for line in self("top", name, *self.top_words).stdout.splitlines()[1:]}

    def logs(self, name: str) -> str:
        """What the container has written to its standard output so far."""
        return self("logs", name, check=False).stdout
