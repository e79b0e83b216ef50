"""The interface that ctr, podman and docker are driven through, so that a feature is tested once for all of them."""

from __future__ import annotations

import os
import re
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from . import cleanup, processes
from .processes import Terminal

SLEEP = ("sleep", "1000")
# Runs out of memory when there is a /go, and tells how that ended. An engine watches only what it has started, and what
# is in a cgroup that goes it may not come to see: something else must go on.
EAT_MEMORY = "until [ -e /go ]; do sleep 0.1; done; dd if=/dev/zero of=/dev/null bs=200M count=1; echo $?"
# What the engines are told to make cgroups with: "cgroupfs" or "systemd".
CGROUP_MANAGER = os.environ.get("PYOCI_CGROUP_MANAGER") or "cgroupfs"


@dataclass(frozen=True, slots=True)
class Bind:
    """A directory or file of the host, bound into the container."""

    source: Path
    target: str = "/m"
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class Options:
    """What a container gets beyond the engine's defaults; `words` are options in the engine's own language."""

    env: tuple[str, ...] = ()  # NAME=value
    user: str = ""
    workdir: str = ""
    memory: int = 0  # bytes
    cpus: float = 0
    pids: int = 0
    binds: tuple[Bind, ...] = ()
    tmpfs: tuple[str, str] | None = None  # target, options of tmpfs(5)
    read_only: bool = False
    cap_add: tuple[str, ...] = ()  # without CAP_
    cap_drop: tuple[str, ...] = ()
    seccomp: Path | None = None  # a profile
    mapping: tuple[int, int] | None = None  # the host's ID for 0, and how many IDs
    publish: tuple[int, int] | None = None  # the host's TCP port, the container's
    words: tuple[str, ...] = ()


DEFAULT = Options()


@dataclass(frozen=True, slots=True)
class Lack:
    """Why an engine cannot show a feature, and the proof: a command whose output does not match the pattern."""

    reason: str
    command: tuple[str, ...]
    pattern: str


@dataclass(frozen=True, slots=True)
class Stats:
    """What an engine measures of a container."""

    processes: int
    memory_limit: float  # bytes, as precisely as the engine shows them


class Engine(ABC):
    """An engine that keeps everything it has in one directory and one cgroup, and the client that drives it.

    The verbs take a container's name; a command that fails raises AssertionError, if `check` is true.
    """

    name: ClassVar[str]
    image: ClassVar[str]
    programs: ClassVar[tuple[str, ...]]  # that must be installed
    version_commands: ClassVar[Mapping[str, tuple[str, ...]]]
    lacks: ClassVar[Mapping[str, Lack]] = {}

    __slots__ = ("cgroup", "cwd", "directory", "env", "runtime", "state_root")

    def __init__(self, directory: Path, runtime: str) -> None:
        self.directory = directory
        self.runtime = runtime
        # A dash would make systemd nest slices.
        self.cgroup = f"pyoci_{self.name}_{os.getpid()}_{directory.name.encode().hex()}"
        if CGROUP_MANAGER == "systemd":
            self.cgroup += ".slice"
        self.state_root = directory / "state"
        self.cwd = directory / "cwd"
        for folder in ("cwd", "scratch"):
            (directory / folder).mkdir(parents=True)
        self.env = {"PATH": processes.PATH, "HOME": str(directory), "TMPDIR": str(directory / "scratch")}

    # --- what each engine says in its own words ---

    @abstractmethod
    def argv(self, *words: str) -> list[str]:
        """The command line of one of the engine's commands."""

    @abstractmethod
    def run_words(
        self, name: str, command: Sequence[str], options: Options = DEFAULT, *, how: Sequence[str] = ("--rm",)
    ) -> tuple[str, ...]:
        """The words that run a container; `how` are the options for what happens around it."""

    @abstractmethod
    def exec_words(self, name: str, command: Sequence[str], options: Options = DEFAULT) -> tuple[str, ...]:
        """The words that execute a command in a running container; of the options `env`, `user`, `workdir` count."""

    @abstractmethod
    def pid(self, name: str) -> int:
        """The first process of a running container, as the host numbers it."""

    @abstractmethod
    def status(self, name: str) -> str:
        """running, paused or stopped."""

    @abstractmethod
    def exit_code(self, name: str) -> int:
        """Wait for a container's end and give its code; it may be asked for only once."""

    @abstractmethod
    def kill(self, name: str, signal: str) -> None:
        """Send a signal (TERM, USR1 …)."""

    @abstractmethod
    def stop(self, name: str, seconds: int) -> None:
        """Send SIGTERM and after some time SIGKILL."""

    @abstractmethod
    def restart(self, name: str) -> None:
        """End a container, without patience, and start it again."""

    @abstractmethod
    def pause(self, name: str) -> None:
        """Freeze a container."""

    @abstractmethod
    def unpause(self, name: str) -> None:
        """Thaw a container."""

    @abstractmethod
    def stats(self, name: str) -> Stats:
        """One measurement."""

    @abstractmethod
    def top(self, name: str) -> set[int]:
        """The container's processes, as the host numbers them."""

    @abstractmethod
    def logs(self, name: str) -> str:
        """What the container has written so far."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Remove a container by force, running or not."""

    @abstractmethod
    def remove_all(self) -> None:
        """Remove every container."""

    @abstractmethod
    def close(self) -> list[str]:
        """Remove everything and say what was left behind after the engine's own removal."""

    # --- what follows from it ---

    def __call__(self, *words: str, check: bool = True, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run one of the engine's commands to its end."""
        return processes.run(self.argv(*words), self.env, self.cwd, check=check, stdin=stdin)

    def terminal(self, *words: str, rows: int = 24, columns: int = 80) -> Terminal:
        """Run one of the engine's commands on a terminal."""
        return Terminal(self.argv(*words), {**self.env, "TERM": "xterm"}, rows, columns)

    def run(
        self, command: Sequence[str], options: Options = DEFAULT, *,
        name: str = "only", check: bool = True, stdin: str = "",
    ) -> subprocess.CompletedProcess[str]:  # fmt: skip
        """Run a container in the foreground to its end and remove it."""
        return self(*self.run_words(name, command, options), check=check, stdin=stdin)

    def sh(self, script: str, *words: str, options: Options = DEFAULT, name: str = "only") -> str:
        """What a shell script prints in a container of its own, without the last line feed; `words` as in Options."""
        options = replace(options, words=(*options.words, *words))
        return self.run(("sh", "-c", script), options, name=name).stdout.rstrip("\n")

    def proc_status(self, *words: str, options: Options = DEFAULT) -> dict[str, str]:
        """The fields of proc_pid_status(5) of a new container's first process; `words` as in Options."""
        lines = self.sh("exec cat /proc/self/status", *words, options=options).splitlines()
        return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}

    def run_terminal(self, name: str, script: str, rows: int = 24, columns: int = 80) -> Terminal:
        """Run a shell script in a container on a terminal."""
        words = self.run_words(name, ("sh", "-c", script), how=("--rm", *self._terminal_options))
        return self.terminal(*words, rows=rows, columns=columns)

    def detached(self, name: str, command: Sequence[str] = SLEEP, options: Options = DEFAULT) -> None:
        """Start a container in the background."""
        self(*self.run_words(name, command, options, how=("-d",)))

    def exec(
        self, name: str, command: Sequence[str], options: Options = DEFAULT, *, check: bool = True, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Execute a command in a running container."""
        return self(*self.exec_words(name, command, options), check=check, stdin=stdin)

    def exec_terminal(self, name: str, script: str, rows: int = 24, columns: int = 80) -> Terminal:
        """Execute a shell script in a running container on a terminal."""
        words = list(self.exec_words(name, ("sh", "-c", script)))
        place = words.index("exec") + 1
        words[place:place] = self._terminal_options
        return self.terminal(*words, rows=rows, columns=columns)

    @property
    def _terminal_options(self) -> tuple[str, ...]:
        return ("-i", "-t")

    @contextmanager
    def with_user_namespace(self, host_id: int, size: int) -> Iterator[tuple[Engine, Options]]:
        """An engine and the options with which its containers get a user namespace that maps 0 to `host_id`."""
        yield self, replace(DEFAULT, mapping=(host_id, size))

    def with_network(self) -> AbstractContextManager[Sequence[str]]:
        """Lets containers publish ports; gives the words to put before a command that is to reach them on 127.0.0.1."""
        raise NotImplementedError(f"{self.name} publishes no ports")

    def states(self) -> list[str]:
        """The records of containers that the runtime still has."""
        return cleanup.state_files(self.state_root)

    @classmethod
    def versions(cls) -> dict[str, str]:
        """The version of each program that is part of the engine, by name."""
        found = {}
        for program, command in cls.version_commands.items():
            done = subprocess.run(
                command, capture_output=True, text=True, check=True, env={"PATH": processes.PATH}, timeout=60
            )
            match = re.search(r"\d+\.\d+(\.\d+)?", done.stdout)
            assert match, f"no version in {done.stdout!r}"
            found[program] = match[0]
        return found
