"""What the engine suites share: the image, terminals, and private instances of podman, containerd and docker."""

from __future__ import annotations

import errno
import fcntl
import functools
import hashlib
import io
import json
import os
import pty
import select
import shutil
import signal
import struct
import subprocess
import tarfile
import termios
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

CGROUP_ROOT = Path("/sys/fs/cgroup")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ENV = [f"PATH={PATH}"]
PATIENCE = 25.0  # seconds an engine's command may take before the test gives up on it
# Root without CAP_SYS_RESOURCE cannot raise a limit, and the engines' defaults are above the usual ones.
ULIMITS = {"nofile": (1024, 4096), "nproc": (1024, 4096)}


def default_ulimits() -> dict[str, tuple[int, int]]:
    """Soft and hard limits for nofile and nproc that this process may hand on."""
    import resource

    found = {}
    for name, (soft, hard) in ULIMITS.items():
        _, ceiling = resource.getrlimit(getattr(resource, f"RLIMIT_{name.upper()}"))
        top = hard if ceiling == resource.RLIM_INFINITY else min(hard, ceiling)
        found[name] = (min(soft, top), top)
    return found


# --- the image -------------------------------------------------------------------------------------------------------


def busybox() -> Path:
    """The static busybox of the host. Raises FileNotFoundError if there is none."""
    for candidate in ("/bin/busybox", "/usr/bin/busybox"):
        if os.access(candidate, os.X_OK):
            return Path(candidate)
    raise FileNotFoundError("no busybox on this machine: install busybox-static")


@functools.cache
def rootfs_tar() -> bytes:
    """A root filesystem as a tar: busybox with its applets, users root and alice (1000), a file without an x bit."""
    applets = subprocess.run([busybox(), "--list"], capture_output=True, text=True, check=True).stdout.split()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:

        def add(name: str, kind: bytes, mode: int, data: bytes = b"", link: str = "", uid: int = 0) -> None:
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.linkname, info.size = kind, mode, link, len(data)
            info.uid = info.gid = uid
            tar.addfile(info, io.BytesIO(data))

        for name in ("bin", "etc", "proc", "sys", "dev", "run", "root", "home", "var", "mnt"):
            add(name, tarfile.DIRTYPE, 0o755)
        add("tmp", tarfile.DIRTYPE, 0o1777)
        add("home/alice", tarfile.DIRTYPE, 0o755, uid=1000)
        add("bin/busybox", tarfile.REGTYPE, 0o755, busybox().read_bytes())
        for applet in applets:
            if applet != "busybox":
                add(f"bin/{applet}", tarfile.SYMTYPE, 0o777, link="busybox")
        users = b"root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n"
        add("etc/passwd", tarfile.REGTYPE, 0o644, users)
        add("etc/group", tarfile.REGTYPE, 0o644, b"root:x:0:\ntty:x:5:\nalice:x:1000:\nstaff:x:50:alice\n")
        add("etc/no-x-bit", tarfile.REGTYPE, 0o644, b"#!/bin/sh\n")
        add("etc/garbage", tarfile.REGTYPE, 0o755, b"\x01\x02 no format the kernel knows\n")
    return buffer.getvalue()


def write_oci_archive(target: Path, name: str) -> None:
    """Write an OCI image layout (image-spec 1.0, one layer, for this architecture) as a tar, referenced as `name`."""
    arch = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
    layer = rootfs_tar()
    blobs: dict[str, bytes] = {}

    def blob(data: bytes, media_type: str) -> dict[str, object]:
        digest = hashlib.sha256(data).hexdigest()
        blobs[digest] = data
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}

    layer_entry = blob(layer, "application/vnd.oci.image.layer.v1.tar")
    image = {
        "architecture": arch,
        "os": "linux",
        "config": {"Env": ENV, "Cmd": ["/bin/sh"]},
        "rootfs": {"type": "layers", "diff_ids": [layer_entry["digest"]]},
    }
    config_entry = blob(json.dumps(image).encode(), "application/vnd.oci.image.config.v1+json")
    manifest_type = "application/vnd.oci.image.manifest.v1+json"
    manifest = {"schemaVersion": 2, "mediaType": manifest_type, "config": config_entry, "layers": [layer_entry]}
    entry = blob(json.dumps(manifest).encode(), manifest_type)
    entry["annotations"] = {"org.opencontainers.image.ref.name": name, "io.containerd.image.name": name}
    files = {
        "oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
        "index.json": json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode(),
        **{f"blobs/sha256/{digest}": data for digest, data in blobs.items()},
    }
    with tarfile.open(target, "w") as tar:
        for path, data in files.items():
            info = tarfile.TarInfo(path)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


# --- processes and terminals -----------------------------------------------------------------------------------------


def run(
    argv: Sequence[str], env: dict[str, str], cwd: Path, *, check: bool = True, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a command; a failure that is not expected raises AssertionError with all it said."""
    done = subprocess.run(
        list(argv), env=env, cwd=cwd, input=stdin, capture_output=True, text=True, timeout=PATIENCE, errors="replace"
    )
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(argv)}\nexit code {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


def wait_for(condition: Callable[[], object], seconds: float = 10.0, what: str = "") -> None:
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

    def expect(self, text: str, seconds: float = 15.0) -> None:
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


# --- cleaning up -----------------------------------------------------------------------------------------------------


def mounts_under(directory: Path) -> list[str]:
    """Mount points of this mount namespace that lie in `directory`, deepest first."""
    points = (line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines())
    return sorted((p for p in points if p.startswith(f"{directory}/")), key=len, reverse=True)


def processes_naming(directory: Path) -> list[int]:
    """Processes whose command line names `directory`, which is unique to one engine of one test session."""
    needle, found = str(directory).encode(), []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if needle in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
            except OSError:  # it ended meanwhile
                continue
    return found


def cgroups_named(name: str) -> list[Path]:
    """The directories called `name` at the top of each cgroup hierarchy."""
    tops = [CGROUP_ROOT, *(entry for entry in CGROUP_ROOT.iterdir() if entry.is_dir() and not entry.is_symlink())]
    return [top / name for top in tops if (top / name).is_dir()]


def remove_cgroup(top: Path) -> list[Path]:
    """Kill what is in the cgroup `top` and remove it; returns the sub-cgroups that were still there."""
    found = (Path(base) / name for base, names, _ in os.walk(top) for name in names)
    below = sorted(found, key=lambda path: -len(path.parts))
    for group in [*below, top]:
        for pid in (group / "cgroup.procs").read_text().split():
            os.kill(int(pid), signal.SIGKILL)
        deadline = time.monotonic() + 5
        while group.exists():
            try:
                group.rmdir()
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
    return below


def sweep(directory: Path, cgroup: str) -> list[str]:
    """Remove every process, mount, cgroup and file that belongs to `directory` and `cgroup`; says what there was."""
    found = []
    for pid in processes_naming(directory):
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            os.kill(pid, signal.SIGKILL)
        except (ProcessLookupError, FileNotFoundError):
            continue
        found.append(f"process {pid}: {command}")
    for top in cgroups_named(cgroup):
        found += [f"cgroup {path}" for path in remove_cgroup(top)]
    for point in mounts_under(directory):
        found.append(f"mount {point}")
        subprocess.run(["umount", "-l", point], check=True)
    shutil.rmtree(directory, ignore_errors=False)
    return found


def state_directories(root: Path) -> list[str]:
    """Containers an OCI runtime still remembers under its state root (a directory of each)."""
    if not root.is_dir():
        return []
    return [str(path) for path in root.rglob("*") if path.name == "state.json"]


def write_script(path: Path, lines: Iterable[str]) -> Path:
    """An executable shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n" + "\n".join(lines) + "\n")
    path.chmod(0o755)
    return path
