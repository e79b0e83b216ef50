"""What the host offers: the cache, locks, programs, and running them."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class VmError(Exception):
    """What went wrong, in one line, possibly followed by what a program said."""


def say(text: str) -> None:
    """A line on standard error about what is being done."""
    print(f"vm: {text}", file=sys.stderr, flush=True)


def cache_directory() -> Path:
    """Where trees and images are kept: $PYOCI_VM_CACHE, or pyoci-vm in the user's cache."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    path = Path(os.environ.get("PYOCI_VM_CACHE") or Path(base) / "pyoci-vm").absolute()
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def require_root(what: str) -> None:
    """Raises VmError unless this is root."""
    if os.geteuid() != 0:
        raise VmError(f"{what} needs root")


def require(*programs: str) -> None:
    """Raises VmError if a program is not installed."""
    missing = [name for name in programs if shutil.which(name) is None]
    if missing:
        raise VmError(f"not installed: {', '.join(missing)}; scripts/install-deps vm installs what is needed")


def run(
    argv: Sequence[str | Path],
    *,
    log: Path | None = None,
    env: dict[str, str] | None = None,
    cwd: Path | None = None,
    stdin: int | None = subprocess.DEVNULL,
) -> str:
    """Run a program and return its output, or write all that it says to `log`. Raises VmError with the end of it."""
    command = [str(word) for word in argv]
    if log is not None:
        with log.open("a") as file:
            code = subprocess.call(command, stdin=stdin, stdout=file, stderr=subprocess.STDOUT, env=env, cwd=cwd)
        if code:
            raise VmError(f"{command[0]} ended with code {code}:\n{tail(log)}")
        return ""
    done = subprocess.run(command, stdin=stdin, capture_output=True, text=True, env=env, cwd=cwd)
    if done.returncode:
        raise VmError(f"{' '.join(command)} ended with code {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def tail(path: Path, lines: int = 30) -> str:
    """The last lines of a file, without escape sequences and other control characters."""
    if not path.exists():
        return ""
    text = path.read_bytes()[-20000:].decode(errors="replace").replace("\r", "")
    clean = "".join(char for char in text if char == "\n" or char >= " ")
    return "\n".join(clean.splitlines()[-lines:])


def digest(parts: Iterable[str | bytes]) -> str:
    """A short name for the inputs of something that is cached."""
    state = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        state.update(b"%d:" % len(data) + data)
    return state.hexdigest()[:16]


def files_below(folder: Path) -> Iterator[tuple[str, Path]]:
    """The files of a folder with their relative names, sorted."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield str(path.relative_to(folder)), path


@contextmanager
def locked(name: str, waiting: str) -> Iterator[int]:
    """Hold the cache's lock `name`; yields its descriptor. Says `waiting` when somebody else has it."""
    fd = os.open(cache_directory() / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(waiting)
            fcntl.flock(fd, fcntl.LOCK_EX)
        yield fd
    finally:
        os.close(fd)


def discard(path: Path) -> None:
    """Remove a file or a tree; no error if there is none. Raises VmError if something is mounted in it."""
    inside = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    if any(point == str(path) or point.startswith(f"{path}/") for point in inside):
        raise VmError(f"{path} is not removed, since there are mounts in it")
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def scratch(prefix: str) -> Iterator[Path]:
    """A temporary directory in the cache, which the finished thing can be renamed out of."""
    path = Path(tempfile.mkdtemp(prefix=f"{prefix}.", dir=cache_directory()))
    try:
        yield path
    finally:
        discard(path)


def forget_old(kind: str, current: Path, kept: int = 2) -> None:
    """Remove of the cached things of a kind all but the `kept` that were used last; `current` is used now."""
    os.utime(current)
    found = sorted(cache_directory().glob(f"{kind}-*"), key=lambda path: path.stat().st_mtime)
    for old in found[:-kept]:
        discard(old)
