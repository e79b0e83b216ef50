"""Real containers for tests: Bundle makes one's bundle, Pyoci runs the runtime on it, and cleans up.

PYOCI names the runtime's executable; build/pyoci of the checkout if unset. It may be runc, for comparison.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from busybox import busybox

CHECKOUT = Path(__file__).resolve().parents[2]
MINIMAL = CHECKOUT / "tests" / "bundles" / "minimal.json"
PATIENCE = 120.0  # seconds a command may take; an emulated processor takes a hundred times as long
CGROUP_ROOT = Path("/sys/fs/cgroup")
DIRECTORIES = ("bin", "dev", "etc", "home", "mnt", "proc", "root", "run", "sys", "tmp", "usr", "var")


@functools.cache
def applets() -> list[str]:
    """The names that busybox goes by, but its own."""
    listed = subprocess.run([busybox(), "--list"], capture_output=True, text=True, check=True).stdout.split()
    return [applet for applet in listed if applet != "busybox"]


def make_rootfs(path: Path) -> None:
    """A root filesystem: the usual directories, users root and alice (1000), busybox and all of its applets."""
    for name in DIRECTORIES:
        (path / name).mkdir(parents=True)
    (path / "tmp").chmod(0o1777)
    (path / "root").chmod(0o700)
    shutil.copy(busybox(), path / "bin/busybox")
    for applet in applets():
        os.symlink("busybox", f"{path}/bin/{applet}")
    (path / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n")
    (path / "etc/group").write_text("root:x:0:\ntty:x:5:\nalice:x:1000:\nstaff:x:50:alice\n")


class Bundle:
    """A bundle whose `config` is a plain dict to be changed at will; Pyoci writes it before each use.

    As made: tests/bundles/minimal.json with a writable root, without cgroup mounts and resources; it runs /bin/true
    as root with three capabilities, new pid, network, ipc, uts and mount namespaces.
    """

    __slots__ = ("config", "path")

    def __init__(self, path: Path) -> None:
        self.path = path
        make_rootfs(self.rootfs)
        self.config: dict[str, Any] = json.loads(MINIMAL.read_text())
        self.config["root"]["readonly"] = False
        self.config["mounts"] = [mount for mount in self.config["mounts"] if mount["type"] != "cgroup"]
        del self.config["linux"]["resources"]

    @property
    def rootfs(self) -> Path:
        """The root filesystem's directory."""
        return self.path / "rootfs"

    @property
    def linux(self) -> dict[str, Any]:
        """config["linux"]"""
        linux: dict[str, Any] = self.config["linux"]
        return linux

    @property
    def process(self) -> dict[str, Any]:
        """config["process"]"""
        process: dict[str, Any] = self.config["process"]
        return process

    @property
    def mounts(self) -> list[dict[str, Any]]:
        """config["mounts"]"""
        mounts: list[dict[str, Any]] = self.config["mounts"]
        return mounts

    def args(self, *argv: str) -> Bundle:
        """Sets the command."""
        self.process["args"] = list(argv)
        return self

    def shell(self, script: str) -> Bundle:
        """Sets the command to a shell script, which ends at the first command that fails."""
        return self.args("/bin/sh", "-ec", script)

    def mount(self, destination: str, type: str = "", source: str = "", options: Sequence[str] = ()) -> Bundle:
        """Adds a mount as the last; empty properties are left out."""
        entry: dict[str, Any] = {"destination": destination}
        if type:
            entry["type"] = type
        if source:
            entry["source"] = source
        if options:
            entry["options"] = list(options)
        self.mounts.append(entry)
        return self

    def unmount(self, destination: str) -> Bundle:
        """Takes the mounts on `destination` out of the configuration."""
        self.config["mounts"] = [mount for mount in self.mounts if mount["destination"] != destination]
        return self

    def namespace(self, type: str, path: str | None = None) -> Bundle:
        """Adds a namespace, or replaces the one of that type: a new one, or the one at `path`."""
        self.without_namespace(type)
        self.linux["namespaces"].append({"type": type} | ({"path": path} if path else {}))
        return self

    def without_namespace(self, type: str) -> Bundle:
        """Takes a namespace out: the container stays in the runtime's."""
        self.linux["namespaces"] = [each for each in self.linux["namespaces"] if each["type"] != type]
        return self

    def user_namespace(self, host_id: int = 100000, size: int = 65536) -> Bundle:
        """A new user namespace in which 0 is `host_id` of the host; the root filesystem is made to belong to it."""
        mapping = {"containerID": 0, "hostID": host_id, "size": size}
        self.namespace("user")
        self.linux["uidMappings"] = [dict(mapping)]
        self.linux["gidMappings"] = [dict(mapping)]
        for base, directories, files in os.walk(self.rootfs):
            for name in (".", *directories, *files):
                os.chown(os.path.join(base, name), host_id, host_id, follow_symlinks=False)
        return self

    def capabilities(self, *names: str) -> Bundle:
        """Sets bounding, effective and permitted to these (CAP_…)."""
        self.process["capabilities"] = {kind: list(names) for kind in ("bounding", "effective", "permitted")}
        return self

    def save(self) -> None:
        """Writes config.json."""
        (self.path / "config.json").write_text(json.dumps(self.config, indent=1))


class Result:
    """What a command of the runtime ended with: `code`, or -signal; `out` and `err`, what it wrote."""

    __slots__ = ("argv", "code", "err", "out")

    def __init__(self, argv: Sequence[str], code: int, out: str, err: str) -> None:
        self.argv = argv
        self.code = code
        self.out = out
        self.err = err

    def __str__(self) -> str:
        return f"{' '.join(self.argv)}\nexit code {self.code}\n{self.out}\n{self.err}"

    __repr__ = __str__


class Container:
    """A container that Pyoci.create() or Pyoci.run_detached() made."""

    __slots__ = ("_output", "bundle", "id", "pyoci")

    def __init__(self, pyoci: Pyoci, id: str, bundle: Bundle, output: Path) -> None:
        self.pyoci = pyoci
        self.id = id
        self.bundle = bundle
        self._output = output

    @property
    def output(self) -> str:
        """What the container's processes have written so far, standard output and error, after the runtime's own."""
        return self._output.read_text(errors="replace")

    @property
    def state(self) -> dict[str, Any]:
        """`state`'s answer."""
        state: dict[str, Any] = json.loads(self.pyoci("state", self.id).out)
        return state

    @property
    def status(self) -> str:
        """creating, created, running, paused or stopped."""
        return str(self.state["status"])

    @property
    def pid(self) -> int:
        """The init's pid on the host."""
        return int(self.state["pid"])

    def start(self) -> Container:
        """`start`."""
        self.pyoci("start", self.id)
        return self

    def exec(self, *argv: str, options: Sequence[str] = (), check: bool = True) -> Result:
        """`exec OPTIONS ID ARGV`; the result is that of the command."""
        return self.pyoci("exec", *options, self.id, *argv, check=check)

    def kill(self, signal: str = "KILL") -> None:
        """`kill`."""
        self.pyoci("kill", self.id, signal)

    def wait(self, status: str = "stopped") -> Container:
        """Waits until the container has that status."""
        wait_for(lambda: self.status == status, what=f"{self.id} is {status}")
        return self

    def expect(self, text: str) -> Container:
        """Waits until the container has written `text`."""
        try:
            wait_for(lambda: text in self.output)
        except AssertionError as error:
            raise AssertionError(f"{text!r} was not seen in {self.output!r}") from error
        return self

    def delete(self, *, force: bool = False) -> None:
        """`delete`."""
        self.pyoci("delete", *(["--force"] if force else []), self.id)


class Pyoci:
    """The runtime, with a state root of its own below `directory`.

    pyoci(*argv)                 any command; --root is added. Its output goes by files, so what stays in the
                                 background may keep them open. Fails the test when the exit code is not 0, unless
                                 check=False; every command is killed after PATIENCE seconds.
    pyoci.run(bundle)            `run` in the foreground, to its end
    pyoci.run_detached(bundle)   `run --detach`, a Container
    pyoci.create(bundle)         `create`, a Container
    pyoci.spawn(*argv)           a Popen of any command, for what goes on in parallel; killed at the end
    pyoci.new_id()               an id (or any name) that is unique, and whose cgroups are recognised as ours
    pyoci.close()                deletes every container; returns what else was left, after removing that too
    """

    __slots__ = ("_children", "_files", "_ids", "_prefix", "directory", "executable", "root")

    def __init__(self, directory: Path, executable: str | None = None) -> None:
        found = executable or os.environ.get("PYOCI") or str(CHECKOUT / "build" / "pyoci")
        self.executable = shutil.which(found) or str(Path(found).resolve())
        self.directory = directory
        self.root = directory / "root"
        self._prefix = f"test{uuid.uuid4().hex[:10]}"
        self._ids: list[str] = []
        self._files = 0
        self._children: list[subprocess.Popen[bytes]] = []

    def new_id(self) -> str:
        """Unique on this machine."""
        self._ids.append(f"{self._prefix}-{len(self._ids)}")
        return self._ids[-1]

    def command(self, *argv: str) -> list[str]:
        """The whole command line."""
        return [self.executable, "--root", str(self.root), *argv]

    def __call__(
        self,
        *argv: str,
        check: bool = True,
        input: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        timeout: float = PATIENCE,
        pass_fds: Sequence[int] = (),
    ) -> Result:
        """Runs a command. `env` is added to the test's own environment."""
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            done = subprocess.run(
                self.command(*argv),
                input=None if input is None else input.encode(),
                stdin=subprocess.DEVNULL if input is None else None,
                stdout=out,
                stderr=err,
                env=None if env is None else {**os.environ, **env},
                cwd=cwd,
                timeout=timeout,
                pass_fds=pass_fds,
            )
            texts = []
            for file in (out, err):
                file.seek(0)
                texts.append(file.read().decode(errors="replace"))
        result = Result(argv, done.returncode, *texts)
        if check and result.code != 0:
            raise AssertionError(str(result))
        return result

    def run(self, bundle: Bundle, *options: str, check: bool = True, id: str = "", **how: Any) -> Result:
        """`run` in the foreground. `how` is as for calling Pyoci."""
        bundle.save()
        return self("run", "--bundle", str(bundle.path), *options, id or self.new_id(), check=check, **how)

    def run_detached(self, bundle: Bundle, *options: str, id: str = "", **how: Any) -> Container:
        """`run --detach`."""
        return self._in_background("run", bundle, ("--detach", *options), id, how)

    def create(self, bundle: Bundle, *options: str, id: str = "", **how: Any) -> Container:
        """`create`."""
        return self._in_background("create", bundle, options, id, how)

    def _in_background(
        self, verb: str, bundle: Bundle, options: Sequence[str], id: str, how: dict[str, Any]
    ) -> Container:
        bundle.save()
        id = id or self.new_id()
        self._files += 1
        output = self.directory / f"output-{self._files}"
        argv = (verb, "--bundle", str(bundle.path), *options, id)
        env = {**os.environ, **how.pop("env", {})}
        with output.open("wb") as file:
            code = subprocess.run(
                self.command(*argv),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env=env,
                timeout=how.pop("timeout", PATIENCE),
                **how,
            ).returncode
        if code != 0:
            raise AssertionError(str(Result(argv, code, output.read_text(errors="replace"), "")))
        return Container(self, id, bundle, output)

    def spawn(self, *argv: str, **how: Any) -> subprocess.Popen[bytes]:
        """A command that goes on in the background; `how` is as for Popen."""
        child = subprocess.Popen(self.command(*argv), **how)
        self._children.append(child)
        return child

    # --- cleaning up

    def close(self) -> list[str]:
        """Deletes every container; what is there even then is removed, and described: there should be nothing."""
        for child in self._children:
            if child.poll() is None:
                child.kill()
            child.wait()
        left = []
        for id in {*self._ids, *self._listed()}:
            if (self.root / id).exists():
                done = self("delete", "--force", id, check=False)
                if done.code or (self.root / id).exists():
                    left.append(f"container: {done}")
        return left + self._sweep_processes() + self._sweep_cgroups() + self._sweep_mounts()

    def _listed(self) -> list[str]:
        return self("list", "--quiet", check=False).out.split() if self.root.exists() else []

    def _sweep_processes(self) -> list[str]:
        # an init that was killed is gone in a moment
        deadline = time.monotonic() + 5
        while (found := self._processes()) and time.monotonic() < deadline:
            time.sleep(0.02)
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        return [f"process {pid}: {command}" for pid, command in found.items()]

    def _processes(self) -> dict[int, str]:
        """Processes, but for dead ones, in our cgroups or whose command line names our directory."""
        found = {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                command = (entry / "cmdline").read_bytes()
                ours = self._prefix in (entry / "cgroup").read_text() or str(self.directory).encode() + b"/" in command
                if ours and (entry / "stat").read_text().rpartition(")")[2].split()[0] not in "ZX":
                    found[int(entry.name)] = command.replace(b"\0", b" ").decode(errors="replace")
            except OSError:  # it ended meanwhile
                continue
        return found

    def _sweep_cgroups(self) -> list[str]:
        found = [Path(base) / name for base, names, _ in os.walk(CGROUP_ROOT) for name in names if self._prefix in name]
        for top in found:
            for base, _, _ in os.walk(top, topdown=False):
                wait_for(lambda base=base: removed(base), what=f"{base} can be removed")  # type: ignore[misc]
        return [f"cgroup {path}" for path in found]

    def _sweep_mounts(self) -> list[str]:
        points = (line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines())
        found = sorted((point for point in points if point.startswith(f"{self.directory}/")), key=len, reverse=True)
        for point in found:
            subprocess.run(["umount", "-l", point], check=True)
        return [f"mount {point}" for point in found]


def removed(path: str | Path) -> bool:
    """Remove an empty directory, of cgroups too; whether it is gone."""
    try:
        os.rmdir(path)
    except OSError:
        return not os.path.exists(path)
    return True


def cgroups_of(pid: int) -> dict[str, str]:
    """The path of a process in each hierarchy, by its controllers; that of v2 has the key ''."""
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    return {controllers: path for _, controllers, path in (line.split(":", 2) for line in lines)}


def wait_for(condition: Callable[[], object], seconds: float = 60.0, what: str = "") -> None:
    """Polls until `condition` is true. Raises AssertionError after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not true after {seconds} s: {what or condition}")
        time.sleep(0.01)


def compile_static(source: str, output: Path) -> Path:
    """A static program for the container, from C."""
    code = output.with_suffix(".c")
    code.write_text(source)
    subprocess.run(["gcc", "-static", "-O1", "-Wall", "-o", str(output), str(code)], check=True)
    return output
