"""Where a worker has its containers, and what is left of them: processes, cgroups, mounts, files."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from bench import bundles
from faults.errors import CannotInject

PREFIX = "pyoci-faults-"
CGROUP_ROOT = Path("/sys/fs/cgroup")
PR_SET_CHILD_SUBREAPER = 36
CLONE_NEWNS, MS_REC, MS_PRIVATE = 0x20000, 0x4000, 0x40000
#: Seconds that a command may take: it takes a tenth of one.
DEADLINE = 60.0
#: Seconds in which what was killed has to be gone.
PATIENCE = 20.0
#: Says that it was there, and ends with a status that the runtime itself does not have.
MARK = "echo x >>/mark; exit 7"
BUNDLES = ("plain", "engine", "user")


class Done(NamedTuple):
    """How a command ended. `code` is -1 when it did not, within DEADLINE."""

    code: int
    out: str
    err: str


class Place:
    """A state root on a tmpfs, the bundles, and a process whose descendants are the containers: all that is orphaned
    becomes a child of this one. Only for a process that has no other children."""

    __slots__ = ("_ids", "_mounts", "_parents", "directory", "err", "files", "id", "out", "root", "runtime")

    def __init__(self, runtime: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(PR_SET_CHILD_SUBREAPER, 1)
        # What others mount meanwhile is not to be taken for a leftover.
        if libc.unshare(CLONE_NEWNS) or libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None):
            raise CannotInject(f"a mount namespace cannot be made: {os.strerror(ctypes.get_errno())}")
        self.runtime = runtime
        self.directory = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir="/run"))
        self.directory.chmod(0o755)
        self.root = self.directory / "root"
        self.files = self.directory / "files"
        self.root.mkdir(mode=0o700)
        self.files.mkdir()
        self.out, self.err = self.directory / "out", self.directory / "err"
        ours = {line.split(":", 2)[2].strip("/") for line in Path("/proc/self/cgroup").read_text().splitlines()}
        # The runtime makes a cgroup below the one that it is in, in some hierarchies.
        self._parents = [top / path for top in bundles.cgroup_mounts() for path in ours if (top / path).is_dir()]
        self._ids = 0
        self.id = ""
        for name in BUNDLES:
            self._make_bundle(name)
        self._mounts = self._mounted()

    def _make_bundle(self, name: str) -> None:
        """plain: nothing is limited. engine: what podman writes. user: namespaces for users and time, binds, hooks."""
        made = bundles.make_bundle("engine" if name == "engine" else "minimal", self.bundle(name), "")
        config: dict[str, Any] = made.config
        config["linux"].pop("cgroupsPath", None)
        config["root"]["readonly"] = False
        config["process"]["terminal"] = False
        if name == "plain":
            config["linux"].pop("resources", None)
        if name == "user":
            self._make_it_rich(config)
        self.configure(name, config)

    def _make_it_rich(self, config: dict[str, Any]) -> None:
        rootfs = self.bundle("user") / "rootfs"
        config["mounts"] = [mount for mount in config["mounts"] if mount["type"] != "cgroup"]
        config["mounts"] += [
            {"destination": "/mnt", "type": "bind", "source": "/etc/hostname", "options": ["bind", "ro"]}
            | {"destination": "/mnt/name"},
            {"destination": "/scratch", "type": "tmpfs", "source": "tmpfs", "options": ["size=64k"]},
        ]
        config["linux"]["namespaces"] += [{"type": "user"}, {"type": "time"}, {"type": "cgroup"}]
        mapping = {"containerID": 0, "hostID": 100000, "size": 65536}
        config["linux"]["uidMappings"] = config["linux"]["gidMappings"] = [mapping]
        config["linux"]["timeOffsets"] = {"boottime": {"secs": 100}}
        config["linux"]["resources"] = {"pids": {"limit": 100}}
        config["hooks"] = {
            "createRuntime": [{"path": "/bin/true"}],
            "poststart": [{"path": "/bin/true"}],
            "poststop": [{"path": "/bin/true"}],
        }
        for base, folders, files in os.walk(rootfs):
            for name in (".", *folders, *files):
                os.chown(os.path.join(base, name), 100000, 100000, follow_symlinks=False)

    def bundle(self, name: str) -> Path:
        """The directory of one of BUNDLES."""
        return self.directory / name

    def configure(self, name: str, config: dict[str, Any]) -> None:
        """Writes config.json."""
        (self.bundle(name) / "config.json").write_text(json.dumps(config))

    def set_command(self, *argv: str) -> None:
        """What the containers of all bundles do."""
        for name in BUNDLES:
            config = json.loads((self.bundle(name) / "config.json").read_text())
            config["process"]["args"] = list(argv)
            self.configure(name, config)

    def new_id(self) -> str:
        """Of the next container."""
        self._ids += 1
        self.id = f"{PREFIX}{os.getpid()}-{self._ids}"
        return self.id

    # --- running the runtime

    def command(self, *argv: str) -> list[str]:
        """The runtime's command line."""
        return [str(self.runtime), "--root", str(self.root), *argv]

    def run(self, *argv: str, before: Sequence[str] = ()) -> Done:
        """A command of the runtime; `before` are words that come before it."""
        with self.out.open("wb") as out, self.err.open("wb") as err:
            process = subprocess.Popen(
                [*before, *self.command(*argv)], stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=self.files
            )
            code = self._wait(process.pid)
            process.returncode = code  # it has been waited for
        return Done(code, *(path.read_text(errors="replace") for path in (self.out, self.err)))

    def _wait(self, pid: int) -> int:
        """Its exit status, -1 when it took too long. Orphans are waited for at once, as engines do: a pid namespace
        ends only after all of its processes have been."""
        deadline = time.monotonic() + DEADLINE
        while True:
            ended, status = os.waitpid(-1, os.WNOHANG)
            if ended == pid:
                return os.waitstatus_to_exitcode(status)
            if not ended:
                if time.monotonic() > deadline:
                    self._end(pid)
                    os.waitpid(pid, 0)
                    return -1
                time.sleep(0.001)

    @staticmethod
    def _end(pid: int) -> None:
        """The injector and what it traces, which would go on without it."""
        for each in (*_children(pid), pid):
            with suppress(ProcessLookupError):
                os.kill(each, signal.SIGKILL)

    def must(self, *argv: str) -> Done:
        """A command that brings about what a scenario begins with."""
        done = self.run(*argv)
        if done.code:
            raise AssertionError(f"{' '.join(argv)} ended with {done.code}: {done.err}")
        return done

    # --- what there is

    def processes(self) -> list[int]:
        """The descendants that live; those that have ended are waited for."""
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        return [pid for pid in _descendants(os.getpid()) if _lives(pid)]

    def wait_for_end(self) -> bool:
        """Whether all processes have ended, after PATIENCE at most."""
        deadline = time.monotonic() + PATIENCE
        while self.processes():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.005)
        return True

    def cgroups(self) -> list[str]:
        """Those of the container, of every hierarchy."""
        return [str(parent / self.id) for parent in self._parents if (parent / self.id).exists()]

    def entries(self) -> list[str]:
        """What is in the state root, but for the container itself, and the files that commands write."""
        found = [f"{self.root}/{name}" for name in os.listdir(self.root) if name != self.id]
        inside = os.listdir(self.root / self.id) if (self.root / self.id).is_dir() else []
        found += [f"{self.root}/{self.id}/{name}" for name in inside if name.endswith("~")]
        return found + [f"{self.files}/{name}" for name in os.listdir(self.files)]

    def _mounted(self) -> list[str]:
        return [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]

    def left(self) -> list[str]:
        """All that must not be there when there is no container."""
        found = [f"process {pid} ({_name(pid)})" for pid in self.processes()]
        found += [f"cgroup {path}" for path in self.cgroups()]
        if (self.root / self.id).exists():
            found.append(f"{self.root}/{self.id}")
        found += self.entries()
        mounts = self._mounted()
        if len(mounts) != len(self._mounts):
            here = [point for point in mounts if point not in self._mounts]
            found += [f"mount {point}" for point in here]
        return [each for each in found if not each.endswith("/~seccomp")]

    def left_at_last(self) -> list[str]:
        """left(), when that which is on its way out had the time to go."""
        deadline = time.monotonic() + PATIENCE
        while (found := self.left()) and time.monotonic() < deadline:
            if not any(each.startswith(("process", "cgroup")) for each in found):
                break
            time.sleep(0.01)
        return found

    # --- making room for the next one

    def clear_files(self) -> None:
        """Removes what commands wrote for their caller."""
        for path in self.files.iterdir():
            path.unlink()

    def sweep(self) -> None:
        """Removes whatever is there."""
        deadline = time.monotonic() + PATIENCE
        self._thaw()
        while (pids := self.processes()) and time.monotonic() < deadline:
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)
        for cgroup in self.cgroups():
            for folder, _, _ in sorted(os.walk(cgroup), reverse=True):
                bundles.remove_cgroup(folder, deadline)
        for point in self._mounted():
            if point.startswith(f"{self.directory}/"):
                subprocess.run(["umount", "-l", point], check=False)
        for place in (self.root, self.files):
            for name in os.listdir(place):
                path = place / name
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()

    def _thaw(self) -> None:
        for parent in self._parents:
            for name, value in (("freezer.state", "THAWED"), ("cgroup.freeze", "0")):
                with suppress(OSError):
                    (parent / self.id / name).write_text(value)

    def close(self) -> None:
        """Removes the place."""
        self.sweep()
        shutil.rmtree(self.directory)


def _children(pid: int) -> list[int]:
    found = []
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            found += [int(word) for word in file.read_text().split()]
    return found


def _descendants(pid: int) -> list[int]:
    found = _children(pid)
    return found + [each for child in found for each in _descendants(child)]


def _stat(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""


def _lives(pid: int) -> bool:
    stat = _stat(pid)
    return bool(stat) and stat.rpartition(")")[2].split()[0] not in "ZX"


def _name(pid: int) -> str:
    return _stat(pid).partition("(")[2].rpartition(")")[0]


def build_runtime(checkout: Path, output: Path) -> Path:
    """A pyoci that does not look whether its sources have changed: those would be half of its calls."""
    site = subprocess.run(
        [sys.executable, "-c", "import sysconfig; print(sysconfig.get_path('platlib'))"],
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    script = [sys.executable, "-X", "no_debug_ranges", str(checkout / "scripts" / "make_launcher.py")]
    output.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([*script, "--package", str(checkout), "--dependencies", site, str(output)], check=True)
    return output
