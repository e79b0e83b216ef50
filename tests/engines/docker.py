"""A dockerd that keeps everything it has in one directory, one cgroup and namespaces of its own."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from . import cleanup, processes
from .docker_cli import DockerCli
from .engine import CGROUP_MANAGER, DEFAULT, Engine, Options
from .image import ENV, rootfs_tar

# The distribution's client, which is of the daemon's age; the first on the path may be another.
CLIENT = "/usr/bin/docker" if os.access("/usr/bin/docker", os.X_OK) else "docker"


class Docker(DockerCli):
    """A private dockerd and its client.

    The daemon has a network namespace of its own, where it makes its bridge and its rules of the firewall, and a mount
    namespace, where it finds no other containerd in /run. With `remap` it gives containers a user namespace that maps
    0 to the first and has as many IDs as the second: docker has no option for a single one.
    """

    name = "docker"
    image = "engines/busybox:latest"
    programs = ("docker", "dockerd", "containerd")
    version_commands: ClassVar[Mapping[str, tuple[str, ...]]] = {"docker": ("dockerd", "--version")}
    top_words = ("-eo", "pid,args")
    stats_template = "{{.PIDs}}|{{.MemUsage}}"

    __slots__ = ("_daemon",)

    def __init__(self, directory: Path, runtime: str, remap: tuple[int, int] | None = None) -> None:
        super().__init__(directory, runtime)
        self.state_root = directory / "exec"
        self.env["DOCKER_HOST"] = f"unix://{directory}/d.sock"
        self._daemon = self._start(remap)
        try:
            processes.wait_for(lambda: self("version", check=False).returncode == 0, what="dockerd answers")
            archive = directory / "rootfs.tar"
            archive.write_bytes(rootfs_tar())
            self("import", "--change", f"ENV {ENV[0]}", str(archive), self.image)
        except BaseException:
            self.close()
            raise

    def _start(self, remap: tuple[int, int] | None) -> processes.Daemon:
        at = self.directory
        limits = processes.default_ulimits()
        configuration = {
            "data-root": f"{at}/data",
            "exec-root": f"{at}/exec",
            "pidfile": f"{at}/pid",
            "hosts": [self.env["DOCKER_HOST"]],
            "exec-opts": [f"native.cgroupdriver={CGROUP_MANAGER}"],
            "cgroup-parent": self.cgroup if CGROUP_MANAGER == "systemd" else f"/{self.cgroup}",
            "runtimes": {"tested": {"path": self.runtime}},
            "default-runtime": "tested",
            "default-ulimits": {k: {"Name": k, "Soft": soft, "Hard": hard} for k, (soft, hard) in limits.items()},
        }
        (at / "run").mkdir()
        binds = {Path("/run/containerd"): at / "run"}
        if remap:
            configuration["userns-remap"] = "daemon"  # a user that is always there; root means none
            (at / "subids").write_text(f"daemon:{remap[0]}:{remap[1]}\n")
            binds |= {Path(f"/etc/sub{kind}"): at / "subids" for kind in ("uid", "gid")}
        (at / "daemon.json").write_text(json.dumps(configuration))
        argv = ["dockerd", "--config-file", f"{at}/daemon.json"]
        return processes.Daemon(argv, self.env, at, binds=binds, network=True)

    @property
    def network_namespace(self) -> Path:
        """The namespace that ``--network host`` means here."""
        return Path(f"/proc/{self._daemon.pid}/ns/net")

    def argv(self, *words: str) -> list[str]:
        """The command line of a docker command; containers have no network unless one is named."""
        extra = self.private(words) if words[0] in ("run", "create") else []
        return [CLIENT, words[0], *extra, *words[1:]]

    @contextmanager
    def with_user_namespace(self, host_id: int, size: int) -> Iterator[tuple[Engine, Options]]:
        """Another daemon, all of whose containers have such a user namespace."""
        directory = Path(tempfile.mkdtemp(prefix="pyoci-d"))
        directory.chmod(0o711)
        engine = Docker(directory, self.runtime, (host_id, size))
        left: list[str] = []
        try:
            yield engine, DEFAULT
        finally:
            left = engine.close()
        assert not left, "left behind: " + "\n".join(left)

    @contextmanager
    def with_network(self) -> Iterator[Sequence[str]]:
        """The daemon is in a network of its own as it is."""
        yield self._daemon.inside([])

    def remove(self, name: str) -> None:
        """Remove a container by force."""
        self("rm", "-f", name)

    def remove_all(self) -> None:
        """Remove every container."""
        names = self("ps", "-aq", "--no-trunc").stdout.split()
        if names:
            self("rm", "-f", *names)

    def close(self) -> list[str]:
        """Stop the daemon and remove everything; returns what was left behind after the engine's own removal."""
        left: list[str] = []
        try:
            if self._daemon.running:
                self.remove_all()
                left = [f"state {path}" for path in self.states()]
                mounts = self._daemon.mounts_under(self.directory)
                left += [f"mount {point}" for point in mounts if not self._is_dockerd_s(point)]
        finally:
            self._daemon.stop()
            found = cleanup.sweep(self.directory, self.cgroup)
        return left + found

    def _is_dockerd_s(self, point: str) -> bool:
        """Whether it is dockerd that needs a mount, of its data or of a network namespace."""
        own = re.fullmatch(r"/data(/\d+\.\d+)?|/exec/netns/[^/]+", point.removeprefix(str(self.directory)))
        return own is not None
