"""A containerd that keeps everything it has in one directory, one namespace and one cgroup."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from . import support

IMAGE = "engines/busybox:latest"
_UNUSED_PLUGINS = [
    "io.containerd.grpc.v1.cri",
    "io.containerd.internal.v1.opt",
    *(f"io.containerd.snapshotter.v1.{name}" for name in ("aufs", "btrfs", "devmapper", "zfs")),
]


class Containerd:
    """A private containerd and ``ctr`` as its client; only the shim's sockets, in /run/containerd/s, are outside.

    The runtime under test is named with ``--runc-binary``; it is also what the daemon finds as ``runc`` on its path.
    """

    __slots__ = ("_daemon", "cwd", "directory", "env", "namespace", "runtime", "state_root")

    def __init__(self, directory: Path, runtime: str) -> None:
        self.directory = directory
        self.runtime = runtime
        self.namespace = f"pyoci-ctr-{os.getpid()}-{directory.name.encode().hex()}"
        self.state_root = directory / "runc"
        self.cwd = directory / "cwd"
        (directory / "cwd").mkdir(parents=True)
        (directory / "scratch").mkdir()
        support.write_script(directory / "bin" / "runc", [f'exec "{runtime}" "$@"'])
        self.env = {
            "PATH": f"{directory / 'bin'}:{support.PATH}",
            "HOME": str(directory),
            "TMPDIR": str(directory / "scratch"),
            "CONTAINERD_ADDRESS": str(directory / "c.sock"),
            "CONTAINERD_NAMESPACE": self.namespace,
        }
        self._daemon = self._start()
        try:
            support.wait_for(lambda: self("version", check=False).returncode == 0, 20, "containerd answers")
            archive = directory / "image.tar"
            support.write_oci_archive(archive, IMAGE)
            self("image", "import", str(archive))
        except BaseException:
            self.close()
            raise

    def _start(self) -> subprocess.Popen[bytes]:
        at = self.directory
        lines = ["version = 2", f'root = "{at}/root"', f'state = "{at}/state"']
        lines += [f"disabled_plugins = {_UNUSED_PLUGINS}", "[grpc]", f'address = "{at}/c.sock"']
        lines += ["[ttrpc]", f'address = "{at}/t.sock"']
        (at / "config.toml").write_text("\n".join(lines) + "\n")
        with open(at / "log", "wb") as log:
            return subprocess.Popen(
                ["containerd", "--config", str(at / "config.toml")],
                env=self.env, cwd=at, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    @property
    def default_root(self) -> Path:
        """The state root of tasks for which no ``--runc-root`` was given; fixed in containerd."""
        return Path("/run/containerd/runc") / self.namespace

    def argv(self, *words: str) -> list[str]:
        """The command line of a ctr command; ``run`` gets the runtime under test and its private state root."""
        fifos = ("--fifo-dir", str(self.directory / "fifo"))
        if words[:2] in (("tasks", "exec"), ("tasks", "start")):
            words = (*words[:2], *fifos, *words[2:])
        if words[0] == "run":
            words = ("run", *fifos, "--runc-binary", self.runtime, "--runc-root", str(self.state_root), *words[1:])
        return ["ctr", *words]

    def __call__(self, *words: str, check: bool = True, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a ctr command to its end. Raises AssertionError if it fails and `check` is true."""
        return support.run(self.argv(*words), self.env, self.cwd, check=check, stdin=stdin)

    def sh(self, name: str, script: str, *options: str) -> str:
        """What a shell script prints in a container of its own, without the last line feed."""
        return self("run", "--rm", *options, IMAGE, name, "sh", "-c", script).stdout.rstrip("\n")

    def detached(self, name: str, *options: str, command: Sequence[str] = ("sleep", "1000")) -> None:
        """Start a container in the background."""
        self("run", "-d", *options, IMAGE, name, *command)

    def terminal(self, *words: str, rows: int = 24, columns: int = 80) -> support.Terminal:
        """Run a ctr command on a terminal."""
        return support.Terminal(self.argv(*words), {**self.env, "TERM": "xterm"}, rows, columns)

    def tasks(self) -> dict[str, tuple[int, str]]:
        """PID and status of each task, by name."""
        lines = (line.split() for line in self("tasks", "ls").stdout.splitlines()[1:])
        return {name: (int(pid), status) for name, pid, status in lines}

    def remove_all(self) -> None:
        """Remove every task, container and snapshot of the namespace."""
        for name in self.tasks():
            self("tasks", "rm", "-f", name)
        for name in self("containers", "ls", "-q").stdout.split():
            self("containers", "rm", name)

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
                self._daemon.wait(10)
            except subprocess.TimeoutExpired:
                self._daemon.kill()
                self._daemon.wait()
            found = support.sweep(self.directory, self.namespace)
            if self.default_root.is_dir():
                left += [f"state {path}" for path in support.state_directories(self.default_root)]
                shutil.rmtree(self.default_root)
        return left + found
