"""A containerd that keeps everything it has in one directory, one containerd namespace and one cgroup."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from . import cleanup, processes
from .engine import CGROUP_MANAGER, DEFAULT, Engine, Lack, Options, Stats
from .image import rootfs_tar, write_oci_archive

# Runs a command and ends when its output has been read.
_READ_TO_THE_END = '"$@"; code=$?; printf "\\036"; printf "\\036" >&2; read x; exit $code'
_UNUSED_PLUGINS = [
    "io.containerd.grpc.v1.cri",
    "io.containerd.cri.v1.images",
    "io.containerd.cri.v1.runtime",
    "io.containerd.internal.v1.opt",
    "io.containerd.nri.v1.nri",
    *(f"io.containerd.snapshotter.v1.{name}" for name in ("aufs", "blockfile", "btrfs", "devmapper", "zfs")),
]


class Containerd(Engine):
    """A private containerd and ``ctr`` as its client.

    The daemon's mount namespace has a /run/containerd of its own, where it keeps what no setting moves. The runtime
    under test is named with ``--runc-binary``; it is also what the daemon finds as ``runc`` on its path.
    """

    name = "containerd"
    image = "engines/busybox:latest"
    programs = ("containerd", "ctr")
    version_commands: ClassVar[Mapping[str, tuple[str, ...]]] = {"containerd": ("containerd", "--version")}
    lacks: ClassVar[Mapping[str, Lack]] = {
        "published port": Lack(
            "ctr joins networks of CNI but publishes no ports", ("run", "--help"), r"--publish|-p\b"
        ),
        "stop timeout": Lack(
            "ctr has no stop: one sends SIGTERM, waits, and sends SIGKILL oneself", ("tasks", "--help"), r"^\s+stop\b"
        ),
    }

    __slots__ = ("_daemon", "_exec_ids", "namespace")

    def __init__(self, directory: Path, runtime: str) -> None:
        super().__init__(directory, runtime)
        self.namespace = self.cgroup.removesuffix(".slice")
        self._exec_ids: Iterator[int] = itertools.count(1)
        processes.write_script(directory / "bin" / "runc", [f'exec "{runtime}" "$@"'])
        for folder in ("run", "logs"):
            (directory / folder).mkdir()
        self.env["PATH"] = f"{directory / 'bin'}:{processes.PATH}"
        self.env |= {"CONTAINERD_ADDRESS": str(directory / "c.sock"), "CONTAINERD_NAMESPACE": self.namespace}
        self._daemon = self._start()
        try:
            processes.wait_for(lambda: self("version", check=False).returncode == 0, what="containerd answers")
            archive = directory / "image.tar"
            write_oci_archive(archive, self.image)
            self("image", "import", str(archive))
        except BaseException:
            self.close()
            raise

    def _start(self) -> processes.Daemon:
        at = self.directory
        lines = ["version = 2", f'root = "{at}/root"', f'state = "{at}/daemon"']
        lines += [f"disabled_plugins = {_UNUSED_PLUGINS}", "[grpc]", f'address = "{at}/c.sock"']
        lines += ["[ttrpc]", f'address = "{at}/t.sock"']
        (at / "config.toml").write_text("\n".join(lines) + "\n")
        argv = ["containerd", "--config", str(at / "config.toml")]
        return processes.Daemon(argv, self.env, at, binds={Path("/run/containerd"): at / "run"})

    @property
    def default_root(self) -> Path:
        """The state root of tasks for which no ``--runc-root`` was given."""
        return self.directory / "run" / "runc" / self.namespace

    # --- ctr's language ---

    def argv(self, *words: str) -> list[str]:
        """The command line of a ctr command."""
        return ["ctr", *words]

    @property
    def fifos(self) -> tuple[str, str]:
        """The option that ``run`` and ``tasks`` need, since the usual directory is not the daemon's."""
        return ("--fifo-dir", str(self.directory / "fifo"))

    def run_words(
        self, name: str, command: Sequence[str], options: Options = DEFAULT, *, how: Sequence[str] = ("--rm",)
    ) -> tuple[str, ...]:
        """The words that run a container with the runtime under test and its private state root."""
        words = ["run", *how, *self.fifos, "--runc-binary", self.runtime, "--runc-root", str(self.state_root)]
        if CGROUP_MANAGER == "systemd":
            words += ["--runc-systemd-cgroup", "--cgroup", self._cgroup(name)]
        if "-d" in how:
            words += ["--log-uri", f"file://{self._log(name)}"]
        if options.pids or options.user:
            return (*words, "--config", str(self._write_config(name, command, options)), name)
        return (*words, *self._option_words(options), self.image, name, *command)

    def _cgroup(self, name: str) -> str:
        return f"{self.cgroup}:ctr:{name}" if CGROUP_MANAGER == "systemd" else f"/{self.cgroup}/{name}"

    @staticmethod
    def _option_words(options: Options) -> list[str]:
        words = [word for variable in options.env for word in ("--env", variable)]
        words += ["--cwd", options.workdir] if options.workdir else []
        words += ["--memory-limit", str(options.memory)] if options.memory else []
        words += ["--cpus", str(options.cpus)] if options.cpus else []
        for bind in options.binds:
            mode = "ro" if bind.read_only else "rw"
            words += ["--mount", f"type=bind,src={bind.source},dst={bind.target},options=rbind:{mode}"]
        if options.tmpfs:
            target, data = options.tmpfs
            words += ["--mount", f"type=tmpfs,src=tmpfs,dst={target},options={data.replace(',', ':')}"]
        if options.memory or options.cpus:
            words += ["--mount", "type=cgroup,src=cgroup,dst=/sys/fs/cgroup,options=ro"]
        words += ["--read-only"] if options.read_only else []
        words += [word for name in options.cap_add for word in ("--cap-add", f"CAP_{name}")]
        words += [word for name in options.cap_drop for word in ("--cap-drop", f"CAP_{name}")]
        words += ["--seccomp", "--seccomp-profile", str(options.seccomp)] if options.seccomp else []
        if options.mapping:
            mapping = f"0:{options.mapping[0]}:{options.mapping[1]}"
            words += ["--uidmap", mapping, "--gidmap", mapping]
        return [*words, *options.words]

    def _write_config(self, name: str, command: Sequence[str], options: Options) -> Path:
        """A whole config.json, with which ctr can ask for what its `run` has no option for."""
        supported = Options(env=options.env, user=options.user, workdir=options.workdir, pids=options.pids)
        assert options == supported, f"some of {options} would be lost"
        rootfs = self.directory / "rootfs"
        if not rootfs.exists():
            rootfs.mkdir()
            subprocess.run(["tar", "-xf", "-", "-C", rootfs], input=rootfs_tar(), check=True)
        config = json.loads(self("oci", "spec").stdout)
        process = config["process"]
        process["args"] = list(command)
        process.setdefault("env", [f"PATH={processes.PATH}"]).extend(options.env)
        process["cwd"] = options.workdir or "/"
        if options.user:
            uid, gid = options.user.split(":")
            process["user"] = {"uid": int(uid), "gid": int(gid)}
        config["root"] = {"path": str(rootfs)}
        config["mounts"].append(
            {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro"]}
        )
        config["linux"]["cgroupsPath"] = self._cgroup(name)
        if options.pids:
            config["linux"]["resources"]["pids"] = {"limit": options.pids}
        target = self.directory / f"{name}.json"
        target.write_text(json.dumps(config))
        return target

    def exec_words(self, name: str, command: Sequence[str], options: Options = DEFAULT) -> tuple[str, ...]:
        """The words that execute a command in a running container."""
        words = ["tasks", "exec", *self.fifos, "--exec-id", f"x{next(self._exec_ids)}"]
        words += ["--user", options.user] if options.user else []
        words += ["--cwd", options.workdir] if options.workdir else []
        assert not options.env, "ctr's exec has no option for the environment"
        return (*words, *options.words, name, *command)

    @property
    def _terminal_options(self) -> tuple[str, ...]:
        return ("-t",)

    # --- the verbs ---

    def run(
        self, command: Sequence[str], options: Options = DEFAULT, *,
        name: str = "only", check: bool = True, stdin: str = "",
    ) -> subprocess.CompletedProcess[str]:  # fmt: skip
        """Run a container in the foreground to its end and remove it."""
        if stdin or command[0] != "sh":
            return super().run(command, options, name=name, check=check, stdin=stdin)
        return self._script(self.run_words(name, self._patient(command), options), check=check)

    def exec(
        self, name: str, command: Sequence[str], options: Options = DEFAULT, *, check: bool = True, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Execute a command in a running container."""
        if stdin or command[0] != "sh":
            return super().exec(name, command, options, check=check, stdin=stdin)
        return self._script(self.exec_words(name, self._patient(command), options), check=check)

    @staticmethod
    def _patient(command: Sequence[str]) -> tuple[str, ...]:
        """ctr 1.6 loses the output of a process, a runc's too, that ends before ctr has opened its pipes."""
        return ("sh", "-c", _READ_TO_THE_END, "sh", *command)

    def _script(self, words: Sequence[str], *, check: bool) -> subprocess.CompletedProcess[str]:
        return processes.run_to_mark(self.argv(*words), self.env, self.cwd, check=check)

    def tasks(self) -> dict[str, tuple[int, str]]:
        """PID and status of each task, by name."""
        lines = (line.split() for line in self("tasks", "ls").stdout.splitlines()[1:])
        return {name: (int(pid), status) for name, pid, status in lines}

    def pid(self, name: str) -> int:
        """The first process of a running container, as the host numbers it."""
        return self.tasks()[name][0]

    def status(self, name: str) -> str:
        """running, paused or stopped."""
        return self.tasks()[name][1].lower()

    def exit_code(self, name: str) -> int:
        """Wait for a container's end and give its code; the task is removed, since this is when ctr tells."""
        processes.wait_for(lambda: self.status(name) == "stopped", what=f"{name} ends")
        told = re.search(r"exit code (\d+)", self("tasks", "rm", name, check=False).stderr)
        return int(told[1]) if told else 0

    def kill(self, name: str, signal: str) -> None:
        """Send a signal."""
        self("tasks", "kill", "-s", f"SIG{signal}", name)

    def stop(self, name: str, seconds: int) -> None:
        """ctr cannot."""
        raise NotImplementedError(self.lacks["stop timeout"].reason)

    def restart(self, name: str) -> None:
        """Kill and remove the task, and start the container's next one."""
        self.kill(name, "KILL")
        self.exit_code(name)
        self("tasks", "start", "-d", *self.fifos, "--log-uri", f"file://{self._log(name)}", name)

    def pause(self, name: str) -> None:
        """Freeze a container."""
        self("tasks", "pause", name)

    def unpause(self, name: str) -> None:
        """Thaw a container."""
        self("tasks", "resume", name)

    def metrics(self, name: str) -> dict[str, str]:
        """What ``tasks metrics`` says, by name."""
        rows = (line.split() for line in self("tasks", "metrics", name).stdout.splitlines())
        return {row[0]: row[1] for row in rows if len(row) > 1}

    def stats(self, name: str) -> Stats:
        """One measurement."""
        found = self.metrics(name)
        limit = found.get("memory.limit_in_bytes") or found.get("memory.usage_limit") or "inf"
        return Stats(int(found["pids.current"]), float(limit))

    def top(self, name: str) -> set[int]:
        """The container's processes, as the host numbers them."""
        return {int(line.split()[0]) for line in self("tasks", "ps", name).stdout.splitlines()[1:]}

    def _log(self, name: str) -> Path:
        return self.directory / "logs" / name

    def logs(self, name: str) -> str:
        """What the container, if it was started detached, has written so far."""
        log = self._log(name)
        return log.read_text() if log.exists() else ""

    def remove(self, name: str) -> None:
        """Remove a container by force."""
        self("tasks", "rm", "-f", name, check=False)  # it exits with the container's code
        self("containers", "rm", name)

    def remove_all(self) -> None:
        """Remove every task, container, snapshot and log."""
        tasks = self.tasks()
        for name in self("containers", "ls", "-q").stdout.split():
            if name in tasks:
                self("tasks", "rm", "-f", name, check=False)
            self("containers", "rm", name)
            self._log(name).unlink(missing_ok=True)

    def close(self) -> list[str]:
        """Stop the daemon and remove everything; returns what was left behind after the engine's own removal."""
        left: list[str] = []
        try:
            if self._daemon.running:
                self.remove_all()
                left = [f"state {path}" for path in [*self.states(), *cleanup.state_files(self.default_root)]]
                left += [f"mount {point}" for point in self._daemon.mounts_under(self.directory)]
        finally:
            self._daemon.stop()
            found = cleanup.sweep(self.directory, self.cgroup)
        return left + found
