"""A podman that keeps everything it has in one directory and one cgroup."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import support

IMAGE = "localhost/engines/busybox:latest"
_NETWORK_WORDS = ("--network", "--net", "--pod")


class Podman:
    """Private podman: storage, state, locks, events, cgroup parent and the runtime's state root are its own.

    The runtime is called through a script that only adds ``--root``, since podman hands global flags of the runtime to
    some of its calls and not to others.
    """

    __slots__ = ("cgroup", "cwd", "directory", "env", "options", "runtime", "script", "state_root")

    def __init__(self, directory: Path, runtime: str, name: str = "pyoci") -> None:
        self.directory = directory
        self.runtime = runtime
        self.cgroup = f"pyoci-podman-{os.getpid()}-{directory.name}"
        self.state_root = directory / "state"
        self.cwd = directory / "cwd"  # conmon reports a container's death for want of memory as a file there
        self.script = support.write_script(
            directory / "bin" / name, [f'exec "{runtime}" --root "{self.state_root}" "$@"']
        )
        self.env = {"PATH": support.PATH, "HOME": str(directory), "TMPDIR": str(directory / "scratch")}
        self.env["CONTAINERS_CONF"] = str(self._write_configuration(name))
        self.options = self._options()
        if subprocess.run([*self.argv("info")], env=self.env, capture_output=True, timeout=60).returncode != 0:
            self.options[self.options.index("overlay")] = "vfs"
        (directory / "rootfs.tar").write_bytes(support.rootfs_tar())
        self("import", "--quiet", "--change", support.ENV[0].join(("ENV ", "")), str(directory / "rootfs.tar"), IMAGE)

    def _write_configuration(self, name: str) -> Path:
        for folder in ("scratch", "hooks", "cni", "cwd"):
            (self.directory / folder).mkdir(parents=True)
        limits = [f"{key}={soft}:{hard}" for key, (soft, hard) in support.default_ulimits().items()]
        engine = {
            "cgroup_manager": "cgroupfs",
            "events_logger": "file",
            "lock_type": "file",
            "runtime_supports_json": [name],
            "init_path": shutil.which("catatonit", path=support.PATH) or "",
        }
        lines = ["[containers]", f"default_ulimits = {json.dumps(limits)}", "[engine]"]
        lines += [f"{key} = {json.dumps(value)}" for key, value in engine.items()]
        target = self.directory / "containers.conf"
        target.write_text("\n".join(lines) + "\n")
        return target

    def _options(self) -> list[str]:
        at = {"--root": "storage", "--runroot": "run", "--tmpdir": "tmp", "--network-config-dir": "cni"}
        paths = [word for option, name in at.items() for word in (option, str(self.directory / name))]
        return [*paths, "--storage-driver", "overlay", "--runtime", str(self.script)]

    def argv(self, verb: str, *words: str) -> list[str]:
        """The command line of a podman command; containers get the private cgroup and, unless told, no network."""
        extra: list[str] = []
        if verb in ("run", "create") or (verb == "pod" and words[:1] == ("create",)):
            if not any(word.split("=")[0] == "--pod" for word in words):
                extra += ["--cgroup-parent", f"/{self.cgroup}"]
            if not any(word.split("=")[0] in _NETWORK_WORDS for word in words):
                extra += ["--network", "none"]
        head = [verb]
        if verb == "pod" and extra:
            head, words = ["pod", "create"], words[1:]
        return ["podman", *self.options, *head, *extra, *words]

    def __call__(self, verb: str, *words: str, check: bool = True, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a podman command to its end. Raises AssertionError if it fails and `check` is true."""
        return support.run(self.argv(verb, *words), self.env, self.cwd, check=check, stdin=stdin)

    def sh(self, script: str, *options: str) -> str:
        """What a shell script prints in a container of its own, without the last line feed."""
        return self("run", "--rm", *options, IMAGE, "sh", "-c", script).stdout.rstrip("\n")

    def detached(self, *words: str, command: Sequence[str] = ("sleep", "1000")) -> str:
        """Start a container in the background and return its ID."""
        return self("run", "-d", *words, IMAGE, *command).stdout.strip()

    def terminal(self, verb: str, *words: str, rows: int = 24, columns: int = 80) -> support.Terminal:
        """Run a podman command on a terminal."""
        return support.Terminal(self.argv(verb, *words), {**self.env, "TERM": "xterm"}, rows, columns)

    def inspect(self, container: str) -> dict[str, Any]:
        """What ``podman inspect`` knows of a container."""
        found: list[dict[str, Any]] = json.loads(self("inspect", container).stdout)
        return found[0]

    def remove_all(self) -> None:
        """Remove every pod and container."""
        self("pod", "rm", "-fa", "-t", "0")
        self("rm", "-fa", "-t", "0")

    def close(self) -> list[str]:
        """Remove everything; returns what the engine or the runtime had left behind after its own removal."""
        try:
            self.remove_all()
            left = [f"state {path}" for path in support.state_directories(self.state_root)]
        finally:
            found = support.sweep(self.directory, self.cgroup)
        return left + [what for what in found if self._is_the_runtimes(what)]

    def _is_the_runtimes(self, what: str) -> bool:
        """Whether a leftover is not podman's own: its mount of the storage, its cgroups of conmon and of pods."""
        kind, _, name = what.partition(" ")
        if kind == "cgroup":
            return "/libpod-" in name
        return what != f"mount {self.directory / 'storage' / 'overlay'}"
