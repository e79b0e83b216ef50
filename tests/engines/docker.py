"""A dockerd that keeps everything it has in one directory and one cgroup."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import support

IMAGE = "engines/busybox:latest"


class Docker:
    """A private dockerd without networking and its client; the shim's sockets in /run/containerd/s are outside."""

    __slots__ = ("_client", "_daemon", "cgroup", "cwd", "directory", "env", "state_root")

    def __init__(self, directory: Path, runtime: str) -> None:
        self.directory = directory
        self.cgroup = f"pyoci-docker-{os.getpid()}-{directory.name}"
        self.cwd = directory / "cwd"
        self.state_root = directory / "exec" / "runtime-runc"
        for folder in ("cwd", "scratch"):
            (directory / folder).mkdir(parents=True)
        # The distribution's client, which is of the daemon's age; the first on the path may be another.
        self._client = "/usr/bin/docker" if os.access("/usr/bin/docker", os.X_OK) else "docker"
        self.env = {
            "PATH": support.PATH,
            "HOME": str(directory),
            "TMPDIR": str(directory / "scratch"),
            "DOCKER_HOST": f"unix://{directory}/d.sock",
        }
        self._daemon = self._start(runtime)
        try:
            support.wait_for(lambda: self("version", check=False).returncode == 0, 30, "dockerd answers")
            archive = directory / "rootfs.tar"
            archive.write_bytes(support.rootfs_tar())
            self("import", "--change", f"ENV {support.ENV[0]}", str(archive), IMAGE)
        except BaseException:
            self.close()
            raise

    def _start(self, runtime: str) -> subprocess.Popen[bytes]:
        at = self.directory
        limits = support.default_ulimits()
        configuration = {
            "data-root": f"{at}/data",
            "exec-root": f"{at}/exec",
            "pidfile": f"{at}/pid",
            "hosts": [self.env["DOCKER_HOST"]],
            "bridge": "none",
            "iptables": False,
            "ip6tables": False,
            "ip-forward": False,
            "userland-proxy": False,
            "exec-opts": ["native.cgroupdriver=cgroupfs"],
            "cgroup-parent": f"/{self.cgroup}",
            "runtimes": {"tested": {"path": runtime}},
            "default-runtime": "tested",
            "default-ulimits": {k: {"Name": k, "Soft": soft, "Hard": hard} for k, (soft, hard) in limits.items()},
        }
        (at / "daemon.json").write_text(json.dumps(configuration))
        with open(at / "log", "wb") as log:
            return subprocess.Popen(
                ["dockerd", "--config-file", f"{at}/daemon.json"],
                env=self.env, cwd=at, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def argv(self, verb: str, *words: str) -> list[str]:
        """The command line of a docker command; containers have no network unless one is named."""
        if verb in ("run", "create") and not any(word.split("=")[0] == "--network" for word in words):
            words = ("--network", "none", *words)
        return [self._client, verb, *words]

    def __call__(self, verb: str, *words: str, check: bool = True, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a docker command to its end. Raises AssertionError if it fails and `check` is true."""
        return support.run(self.argv(verb, *words), self.env, self.cwd, check=check, stdin=stdin)

    def sh(self, script: str, *options: str) -> str:
        """What a shell script prints in a container of its own, without the last line feed."""
        return self("run", "--rm", *options, IMAGE, "sh", "-c", script).stdout.rstrip("\n")

    def detached(self, *words: str, command: Sequence[str] = ("sleep", "1000")) -> str:
        """Start a container in the background and return its ID."""
        return self("run", "-d", *words, IMAGE, *command).stdout.strip()

    def terminal(self, verb: str, *words: str, rows: int = 24, columns: int = 80) -> support.Terminal:
        """Run a docker command on a terminal."""
        return support.Terminal(self.argv(verb, *words), {**self.env, "TERM": "xterm"}, rows, columns)

    def inspect(self, container: str) -> dict[str, Any]:
        """What ``docker inspect`` knows of a container."""
        found: list[dict[str, Any]] = json.loads(self("inspect", container).stdout)
        return found[0]

    def remove_all(self) -> None:
        """Remove every container."""
        names = self("ps", "-aq", "--no-trunc").stdout.split()
        if names:
            self("rm", "-f", *names)

    def close(self) -> list[str]:
        """Stop the daemon and remove everything; returns what was left behind after the engine's own removal."""
        left: list[str] = []
        try:
            if self._daemon.poll() is None:
                self.remove_all()
                left = [f"state {path}" for path in support.state_directories(self.state_root)]
        finally:
            self._daemon.send_signal(signal.SIGTERM)
            try:
                self._daemon.wait(20)
            except subprocess.TimeoutExpired:
                self._daemon.kill()
                self._daemon.wait()
            found = support.sweep(self.directory, self.cgroup)
        # dockerd itself leaves the mount of its own network namespace.
        return left + [what for what in found if not what.startswith(f"mount {self.directory}/exec/netns/")]
