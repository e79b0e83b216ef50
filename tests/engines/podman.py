"""A podman that keeps everything it has in one directory and one cgroup."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from . import cleanup, processes
from .docker_cli import DockerCli
from .engine import CGROUP_MANAGER, Options
from .image import ENV, rootfs_tar


class Podman(DockerCli):
    """Private podman: storage, state, locks, events, cgroup parent and the runtime's state root are its own.

    It has a mount namespace of its own, for its view of cgroups (processes.py). The runtime is called through a script
    that only adds ``--root``, since podman hands global flags of the runtime to some of its calls and not to others.
    """

    name = "podman"
    image = "localhost/engines/busybox:latest"
    programs = ("podman", "conmon")
    version_commands: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "podman": ("podman", "--version"),
        "conmon": ("conmon", "--version"),
    }
    top_words = ("hpid",)
    stats_template = "{{.PIDS}}|{{.MemUsage}}"

    __slots__ = ("_namespace", "_prefix", "options", "script")

    def __init__(self, directory: Path, runtime: str, name: str = "pyoci") -> None:
        super().__init__(directory, runtime)
        self._namespace = processes.Daemon(["sleep", "infinity"], self.env, directory)
        self._prefix = self.inside()
        try:
            self._set_up(runtime, name)
        except BaseException:
            self._namespace.stop()
            raise

    def _set_up(self, runtime: str, name: str) -> None:
        directory = self.directory
        processes.wait_for(lambda: self._namespace.named("sleep"), what="the mount namespace is made")
        self.script = processes.write_script(
            directory / "bin" / name, [f'exec "{runtime}" --root "{self.state_root}" "$@"']
        )
        self.env["CONTAINERS_CONF"] = str(self._write_configuration(name))
        self.env["PODMAN_IGNORE_CGROUPSV1_WARNING"] = "1"
        self.options = self._options()
        if subprocess.run([*self.argv("info")], env=self.env, capture_output=True, timeout=60).returncode != 0:
            self.options[self.options.index("overlay")] = "vfs"
        archive = directory / "rootfs.tar"
        archive.write_bytes(rootfs_tar())
        self("import", "--quiet", "--change", f"ENV {ENV[0]}", str(archive), self.image)

    def _write_configuration(self, name: str) -> Path:
        limits = [f"{key}={soft}:{hard}" for key, (soft, hard) in processes.default_ulimits().items()]
        containers = {"default_ulimits": limits, "log_driver": "k8s-file"}
        engine = {
            "cgroup_manager": CGROUP_MANAGER,
            "events_logger": "file",
            "lock_type": "file",
            "runtime_supports_json": [name],
            "init_path": shutil.which("catatonit", path=processes.PATH) or "",
        }
        lines = []
        for section, values in {"containers": containers, "engine": engine}.items():
            lines += [f"[{section}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
        target = self.directory / "containers.conf"
        target.write_text("\n".join(lines) + "\n")
        return target

    def _options(self) -> list[str]:
        at = {"--root": "storage", "--runroot": "run", "--tmpdir": "tmp", "--network-config-dir": "networks"}
        (self.directory / "networks").mkdir()
        paths = [word for option, name in at.items() for word in (option, str(self.directory / name))]
        # Its warnings, of old cgroups for instance, would be among a container's errors.
        return [*paths, "--log-level", "error", "--storage-driver", "overlay", "--runtime", str(self.script)]

    def inside(self, *argv: str) -> list[str]:
        """The command line that runs `argv` in podman's mount namespace."""
        return self._namespace.inside(argv, self.cwd)

    def argv(self, *words: str) -> list[str]:
        """The command line of a podman command; containers get the private cgroup and, unless told, no network."""
        head = 2 if words[:2] == ("pod", "create") else 1
        extra: list[str] = []
        if words[0] in ("run", "create") or head == 2:
            if not any(word.split("=")[0] == "--pod" for word in words):
                extra += ["--cgroup-parent", self.cgroup if CGROUP_MANAGER == "systemd" else f"/{self.cgroup}"]
            extra += self.private(words)
        return [*self._prefix, "podman", *self.options, *words[:head], *extra, *words[head:]]

    def option_words(self, options: Options) -> list[str]:
        """The options of ``run``."""
        words = super().option_words(options)
        if options.mapping:
            host, count = options.mapping
            words = [f"--uidmap=0:{host}:{count}", f"--gidmap=0:{host}:{count}", *words]
        return words

    @contextmanager
    def with_network(self) -> Iterator[Sequence[str]]:
        """Runs podman in a network of its own: it makes a bridge and rules of the firewall, and keeps files in /var."""
        folders = {}
        for folder in ("/var/lib/cni", "/run/netns"):
            private = self.directory / "network" / Path(folder).name
            private.mkdir(parents=True)
            folders[Path(folder)] = private
        holder = processes.Daemon(["sleep", "infinity"], self.env, self.directory, binds=folders, network=True)
        try:
            self._prefix = holder.inside([], self.cwd)
            processes.wait_for(lambda: holder.named("sleep"), what="the namespaces are made")
            yield holder.inside([])
            self.remove_all()
        finally:
            self._prefix = self.inside()
            holder.stop()
            shutil.rmtree(self.directory / "network")

    def remove_all(self) -> None:
        """Remove every container that is in no pod."""
        self("rm", "-fa", "-t", "0")

    def remove(self, name: str) -> None:
        """Remove a container by force."""
        self("rm", "-f", "-t", "0", name)

    def close(self) -> list[str]:
        """Remove everything; returns what the engine or the runtime had left behind after its own removal."""
        try:
            self("pod", "rm", "-fa", "-t", "0")
            self.remove_all()
            left = [f"state {path}" for path in self.states()]
            left += [f"mount {point}" for point in self._namespace.mounts_under(self.directory)]
        finally:
            self._namespace.stop()
            found = cleanup.sweep(self.directory, self.cgroup)
        return [what for what in left + found if self._is_the_runtimes(what)]

    def _is_the_runtimes(self, what: str) -> bool:
        """Whether a leftover is not podman's own: its mount of the storage, its cgroups of conmon and of pods."""
        kind, _, name = what.partition(" ")
        if kind == "cgroup":
            return "/libpod-" in name and "/libpod-conmon-" not in name
        return what != f"mount {self.directory / 'storage' / 'overlay'}"
