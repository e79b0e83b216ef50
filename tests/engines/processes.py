"""Commands, terminals, and daemons in namespaces of their own."""

from __future__ import annotations

import errno
import fcntl
import os
import pty
import resource
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from .cleanup import mounts_under

# Where programs are looked for, by the engines and in their containers.
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Seconds until a test gives up on something; far more than it takes, since an emulated machine is ten times slower.
PATIENCE = 240.0
# Root without CAP_SYS_RESOURCE cannot raise a limit, and the engines' defaults are above the usual ones.
ULIMITS = {"nofile": (1024, 4096), "nproc": (1024, 4096)}


def default_ulimits() -> dict[str, tuple[int, int]]:
    """Soft and hard limits for nofile and nproc that this process may hand on."""
    found = {}
    for name, (soft, hard) in ULIMITS.items():
        _, ceiling = resource.getrlimit(getattr(resource, f"RLIMIT_{name.upper()}"))
        top = hard if ceiling == resource.RLIM_INFINITY else min(hard, ceiling)
        found[name] = (min(soft, top), top)
    return found


def run(
    argv: Sequence[str], env: dict[str, str], cwd: Path, *, check: bool = True, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a command; a failure that is not expected raises AssertionError with all it said."""
    done = subprocess.run(
        list(argv), env=env, cwd=cwd, input=stdin, capture_output=True, text=True, timeout=PATIENCE, errors="replace"
    )
    return _checked(done) if check else done


def _checked(done: subprocess.CompletedProcess[str]) -> subprocess.CompletedProcess[str]:
    if done.returncode != 0:
        words = " ".join(done.args)
        raise AssertionError(f"{words}\nexit code {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


# What a process writes to both its streams before it waits for a line on its standard input.
MARK = "\x1e"


def run_to_mark(
    argv: Sequence[str], env: dict[str, str], cwd: Path, *, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run a command that ends only when it is told that its output, up to MARK on both streams, has been read."""
    process = subprocess.Popen(
        list(argv), env=env, cwd=cwd, bufsize=0,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    with process:
        assert process.stdout
        assert process.stderr
        seen = {process.stdout.fileno(): b"", process.stderr.fileno(): b""}
        deadline = time.monotonic() + PATIENCE
        waiting = list(seen)
        while waiting and (left := deadline - time.monotonic()) > 0:
            for descriptor in select.select(waiting, [], [], left)[0]:
                data = os.read(descriptor, 65536)
                seen[descriptor] += data
                if not data or MARK.encode() in data:
                    waiting.remove(descriptor)
        try:
            rest = process.communicate(b"\n", timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    texts = [(before + after).decode(errors="replace") for before, after in zip(seen.values(), rest, strict=True)]
    out, err = (text.replace(MARK, "", 1) for text in texts)
    done = subprocess.CompletedProcess(list(argv), process.returncode, out, err)
    return _checked(done) if check else done


def wait_for(condition: Callable[[], object], seconds: float = PATIENCE, what: str = "") -> None:
    """Poll until `condition` is true. Raises AssertionError after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not true after {seconds} s: {what or condition}")
        time.sleep(0.03)


class Terminal:
    """A command on a new pseudoterminal, its controlling terminal too, of which the test holds the master."""

    __slots__ = ("_master", "_pid", "_seen")

    def __init__(self, argv: Sequence[str], env: dict[str, str], rows: int = 24, columns: int = 80) -> None:
        self._seen = b""
        self._pid, self._master = pty.fork()
        if self._pid == 0:
            try:
                self._set_size(0, rows, columns)
                os.execvpe(argv[0], list(argv), env)
            finally:
                os._exit(99)
        os.set_blocking(self._master, False)

    @staticmethod
    def _set_size(fd: int, rows: int, columns: int) -> None:
        fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    @property
    def output(self) -> str:
        """All the command has written so far, without carriage returns."""
        return self._seen.decode(errors="replace").replace("\r", "")

    def resize(self, rows: int, columns: int) -> None:
        """Change the window's size; the kernel sends SIGWINCH to the foreground process group."""
        self._set_size(self._master, rows, columns)

    def wait_raw(self) -> None:
        """Wait until the command has switched the terminal's line editing off, so that it sees each key."""
        wait_for(lambda: not termios.tcgetattr(self._master)[3] & termios.ICANON, what="the terminal is raw")

    def write(self, text: str) -> None:
        """Type `text`."""
        os.write(self._master, text.encode())

    def _read(self, timeout: float) -> bool:
        """Read what there is; False at the end."""
        if not select.select([self._master], [], [], timeout)[0]:
            return True
        try:
            data = os.read(self._master, 65536)
        except OSError as error:
            if error.errno == errno.EIO:
                return False
            raise
        self._seen += data
        return bool(data)

    def expect(self, text: str, seconds: float = PATIENCE) -> None:
        """Read until `text` was seen. Raises AssertionError after `seconds` or at the end."""
        deadline = time.monotonic() + seconds
        while text not in self.output:
            if time.monotonic() > deadline or not self._read(0.2):
                raise AssertionError(f"{text!r} was not seen in {self.output!r}")

    def wait(self, seconds: float = PATIENCE) -> int:
        """Read to the end and return the exit code, or -signal. Kills the command after `seconds`."""
        deadline = time.monotonic() + seconds
        while self._read(0.2):
            if time.monotonic() > deadline:
                os.kill(self._pid, signal.SIGKILL)
                break
        _, status = os.waitpid(self._pid, 0)
        os.close(self._master)
        return os.waitstatus_to_exitcode(status)


def write_script(path: Path, lines: Iterable[str]) -> Path:
    """An executable shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n" + "\n".join(lines) + "\n")
    path.chmod(0o755)
    return path


# Engines make directories in the tmpfs that holds the hierarchies of version 1, and take those that they find there for
# controllers. $1 is a directory for a tmpfs that shows the same hierarchies and is theirs.
_CGROUP_VIEW = """
if [ "$(stat -f -c %T /sys/fs/cgroup)" = tmpfs ]; then
    mount -t tmpfs -o mode=755 tmpfs "$1"
    for entry in /sys/fs/cgroup/*; do
        seen=$1/${entry##*/}
        if [ -L "$entry" ]; then
            cp -P "$entry" "$seen"
        elif mountpoint -q "$entry"; then
            mkdir "$seen"
            mount --bind "$entry" "$seen"
        fi
    done
    mount --rbind "$1" /sys/fs/cgroup
    umount -l "$1"
fi
shift
"""


class Daemon:
    """A program in the background, in mount and (if wanted) network namespaces of its own.

    /sys/fs/cgroup shows it the host's hierarchies, but what it makes beside them is its own.

    `binds` names, by mount point, what is mounted there; a mount point that is missing is made. What
    the program mounts ends with its namespaces.
    """

    __slots__ = ("_process",)

    def __init__(
        self, argv: Sequence[str], env: Mapping[str, str], directory: Path, *,
        binds: Mapping[Path, Path] | None = None, network: bool = False,
    ) -> None:  # fmt: skip
        script = ["set -e", _CGROUP_VIEW]
        (directory / "cgroup").mkdir(exist_ok=True)
        for target, source in (binds or {}).items():
            self._make(source, target)
            script.append(f"mount --bind '{source}' '{target}'")
        if network:
            script.append("ip link set lo up")
        words = ["unshare", "--mount", *(["--net"] if network else []), "--"]
        words += ["sh", "-c", "\n".join([*script, 'exec "$@"']), "sh", str(directory / "cgroup"), *argv]
        with open(directory / f"{Path(argv[0]).name}.log", "wb") as log:
            self._process = subprocess.Popen(
                words, env=dict(env), cwd=directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip

    @staticmethod
    def _make(source: Path, target: Path) -> None:
        """Make the mount point `target` if it is missing, of the kind that `source` is."""
        if source.is_file():
            target.touch()
        else:
            target.mkdir(parents=True, exist_ok=True)

    @property
    def pid(self) -> int:
        """The program's process ID, by which its namespaces are found."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the program still runs."""
        return self._process.poll() is None

    def named(self, name: str) -> bool:
        """Whether the program has been executed, under that name; before it the namespaces are made."""
        assert self.running, "its namespaces could not be made: see its log"
        return Path(f"/proc/{self.pid}/comm").read_text() == f"{name}\n"

    def inside(self, argv: Sequence[str], cwd: Path = Path("/")) -> list[str]:
        """The command line that runs `argv` in the program's namespaces, in a directory of theirs."""
        return ["nsenter", f"--target={self.pid}", "--mount", "--net", f"--wdns={cwd}", "--", *argv]

    def mounts_under(self, directory: Path) -> list[str]:
        """Mount points below `directory` in the program's namespace, deepest first."""
        return mounts_under(directory, str(self.pid)) if self.running else []

    def stop(self, seconds: float = PATIENCE) -> None:
        """Send SIGTERM, after `seconds` SIGKILL, and wait."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
