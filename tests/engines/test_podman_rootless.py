"""podman as an ordinary user, with pyoci: the runtime is root of the user namespace that podman makes for him.

His podman has its storage, state and sockets in one directory. /dev/net/tun, which slirp4netns needs and most machines
let everybody use, is given to him in a mount namespace.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from ordinary_user import User

IMAGE = "localhost/rootless/busybox"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PATIENCE = 60.0  # seconds
PROGRAMS = ("podman", "conmon", "newuidmap", "slirp4netns", "catatonit")
APPLETS = (
    *(
        "cat",
        "chmod",
        "chown",
        "echo",
        "false",
        "grep",
        "hostname",
        "id",
        "ip",
        "ls",
        "mount",
        "ps",
        "pwd",
        "sh",
        "sleep",
    ),
    *("stat", "touch", "true", "tty", "wc"),
)
CGROUP_ROOT = Path("/sys/fs/cgroup")
DEVICES = "mount -t tmpfs none /dev/net; mknod -m 666 /dev/net/tun c 10 200; "
V2 = "mount -t cgroup2 none /sys/fs/cgroup; "


def make_tree(path: Path) -> None:
    """A root filesystem of busybox, with the users root and alice."""
    busybox = next(Path(found) for found in ("/bin/busybox", "/usr/bin/busybox") if os.access(found, os.X_OK))
    for name in ("bin", "dev", "etc", "mnt", "proc", "root", "run", "sys", "tmp"):
        (path / name).mkdir(parents=True)
    (path / "tmp").chmod(0o1777)
    shutil.copy(busybox, path / "bin/busybox")
    for applet in APPLETS:
        os.symlink("busybox", path / "bin" / applet)
    (path / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n")
    (path / "etc/group").write_text("root:x:0:\ntty:x:5:\nalice:x:1000:\nstaff:x:50:alice\n")
    (path / "etc/no-x-bit").touch(0o644)


class RootlessPodman:
    """podman(...) runs it as the user, to its end. `cgroup` is a cgroup of the v2 tree that is delegated to him, if he
    is to see a host that has only that; else he has none."""

    def __init__(self, directory: Path, user: User, runtime: str, cgroup: Path | None = None) -> None:
        self.directory = directory
        self.user = user
        self.cgroup = cgroup
        self.state = directory / "run/pyoci"
        self._write_configuration(runtime)
        make_tree(directory / "tree")
        subprocess.run(["tar", "-C", directory / "tree", "-cf", directory / "image.tar", "."], check=True)
        for name in ("home", "run", "tmp"):
            (directory / name).mkdir(mode=0o700)
        if cgroup:
            (cgroup / "session").mkdir(parents=True)
            self._delegate(cgroup)
        subprocess.run(["chown", "-R", f"{user.uid}:{user.gid}", directory], check=True)
        self("import", "--quiet", "--change", f"ENV PATH={PATH}", str(directory / "image.tar"), IMAGE)

    def _delegate(self, cgroup: Path) -> None:
        for directory in (cgroup, cgroup / "session"):
            for name in (".", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"):
                os.chown(directory / name, self.user.uid, self.user.gid)

    def _write_configuration(self, runtime: str) -> None:
        engine = {
            "cgroup_manager": "cgroupfs",
            "events_logger": "file",
            "lock_type": "file",
            "runtime": "pyoci",
            "runtime_supports_json": ["pyoci"],
            "init_path": shutil.which("catatonit", path=PATH) or "",
        }
        lines = ["[engine]", *(f"{key} = {json.dumps(value)}" for key, value in engine.items())]
        lines += ["[engine.runtimes]", f"pyoci = {json.dumps([runtime])}"]
        (self.directory / "containers.conf").write_text("\n".join(lines) + "\n")

    def argv(self, *words: str) -> list[str]:
        """A command line for root that runs podman as the user."""
        variables = {
            "PATH": PATH,
            "HOME": self.directory / "home",
            "XDG_RUNTIME_DIR": self.directory / "run",
            "TMPDIR": self.directory / "tmp",
            "CONTAINERS_CONF": self.directory / "containers.conf",
            "USER": self.user.name,
            "TERM": "xterm",
            "PODMAN_IGNORE_CGROUPSV1_WARNING": "1",
        }
        enter = f"echo 0 > {self.cgroup}/session/cgroup.procs; {V2}" if self.cgroup else ""
        command = ["env", "-i", *(f"{key}={value}" for key, value in variables.items()), "podman", *words]
        script = f'{enter}{DEVICES}cd {self.directory}/home; exec "$@"'
        return ["unshare", "-m", "sh", "-ec", script, "sh", *self.user.command(*command)]

    def __call__(self, *words: str, code: int = 0) -> str:
        """Its standard output. AssertionError unless it ends with `code`."""
        done = subprocess.run(
            self.argv(*words), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE
        )
        assert done.returncode == code, f"{words}\nexit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout if not code else done.stdout + done.stderr

    def run(self, *words: str, options: Sequence[str] = (), network: str = "none") -> str:
        """What a command prints in a container of its own."""
        return self("run", "--rm", "--network", network, *options, IMAGE, *words)

    def detached(self, *options: str) -> str:
        """Starts a container that sleeps; its id."""
        return self("run", "-d", "--network", "none", *options, IMAGE, "sleep", "1000").strip()

    def inspect(self, container: str) -> dict[str, Any]:
        found: list[dict[str, Any]] = json.loads(self("inspect", container))
        return found[0]

    def remove_all(self) -> None:
        self("pod", "rm", "-fa", "-t", "0")
        self("rm", "-fa", "-t", "0")

    def close(self) -> list[str]:
        """Removes everything; returns what there was beside podman's own process, which keeps its namespaces."""
        try:
            self.remove_all()
            left = [str(path) for path in self.state.glob("*/state.json")]
        finally:
            keeper = self.directory / "run/libpod/tmp/pause.pid"
            if keeper.exists():
                _end(int(keeper.read_text()))
            found = self._processes()
            for pid in found:
                _end(pid)
            if self.cgroup:
                left += [str(path) for path in self.cgroup.iterdir() if path.is_dir() and path.name != "session"]
                for path in (*map(Path, left[-1:]), self.cgroup / "session", self.cgroup):
                    _remove(path)
            shutil.rmtree(self.directory)
        return left + list(found.values())

    def _processes(self) -> dict[int, str]:
        """Those that podman has told of its directory, and those that have their root in it."""
        needle, found = str(self.directory).encode(), {}
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and any(
                    needle in (entry / name).read_bytes() for name in ("environ", "mountinfo")
                ):
                    found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:  # it ended meanwhile
                continue
        return found


def _end(pid: int) -> None:
    """Kills a process and waits for its end."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    signal.pidfd_send_signal(fd, signal.SIGKILL)
    ended, _, _ = select.select([fd], [], [], 10)
    os.close(fd)
    assert ended, f"process {pid} does not end"


def _remove(path: Path) -> None:
    def removed() -> bool:
        try:
            path.rmdir()
        except OSError:
            return not path.exists()
        return True

    _until(removed)


def _until(condition: Any) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _engine(user: User, cgroup: Path | None) -> Iterator[RootlessPodman]:
    for program in PROGRAMS:
        if shutil.which(program, path=PATH) is None:
            if os.environ.get("PYOCI_ENGINES") == "required":
                pytest.fail(f"{program} is not installed")
            pytest.skip(f"{program} is not installed")
    runtime = Path(os.environ.get("PYOCI") or Path(__file__).parents[2] / "build/pyoci").resolve()
    directory = Path(tempfile.mkdtemp(prefix="pyoci-r"))
    directory.chmod(0o711)
    engine = RootlessPodman(directory, user, str(runtime), cgroup)
    try:
        yield engine
    finally:
        left = engine.close()
    assert not left, left


@pytest.fixture(scope="module")
def engine(user: User) -> Iterator[RootlessPodman]:
    """The user's podman, without cgroups of his."""
    yield from _engine(user, None)


@pytest.fixture
def podman(engine: RootlessPodman) -> Iterator[RootlessPodman]:
    """The same, without containers before and after the test."""
    yield engine
    engine.remove_all()


@pytest.fixture
def podman_v2(user: User) -> Iterator[RootlessPodman]:
    """Another, on a host that has only cgroup v2, of which a part is delegated to him."""
    unified = CGROUP_ROOT / "unified"
    top = unified if unified.is_dir() else CGROUP_ROOT
    yield from _engine(user, top / f"pyoci-rootless-{os.getpid()}")


def rows(mappings: list[dict[str, int]]) -> list[list[int]]:
    return [list(mapping.values()) for mapping in mappings]


def parsed(text: str) -> list[list[int]]:
    return [[int(word) for word in line.split()] for line in text.splitlines()]


def test_all_ids_of_the_user(podman: RootlessPodman) -> None:
    """Three ranges of subordinate ids, and the seccomp profile and capabilities of podman."""
    script = (
        "cat /proc/self/uid_map; echo; cat /proc/self/gid_map; echo; id; grep -E '^(CapEff|Seccomp):' /proc/self/status"
    )
    uids, gids, rest = podman.run("sh", "-c", script).split("\n\n")
    assert parsed(uids) == rows(podman.user.uid_mappings())
    assert parsed(gids) == rows(podman.user.gid_mappings())
    identity, capabilities, seccomp = rest.splitlines()
    assert identity == "uid=0(root) gid=0(root)"
    assert capabilities.split()[1] != "0" * 16
    assert seccomp.split()[1] == "2"


def test_a_life(podman: RootlessPodman) -> None:
    id = podman.detached()
    assert (podman.state / id / "state.json").stat().st_uid == podman.user.uid
    pid = podman.inspect(id)["State"]["Pid"]
    assert Path(f"/proc/{pid}").stat().st_uid == podman.user.uid
    assert podman(
        "exec", "-u", "1000:50", "-w", "/tmp", id, "sh", "-c", "id; pwd; echo x > made; stat -c %u made"
    ).split("\n")[:3] == ["uid=1000(alice) gid=50(staff)", "/tmp", "1000"]
    assert podman("exec", id, "sh", "-c", "exit 9", code=9) == ""
    assert "sleep 1000" in podman("top", id)
    podman("stop", "-t", "0", id)
    assert podman.inspect(id)["State"]["ExitCode"] == 137
    assert not (podman.state / id).exists()
    podman("start", id)
    podman("kill", id)
    podman("rm", "-f", "-t", "0", id)


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        (["nowhere"], 127, 'exec: "nowhere": executable file not found'),
        (["/etc/no-x-bit"], 126, "permission denied"),
        (["false"], 1, ""),
    ],
    ids=["127", "126", "1"],
)
def test_exit_codes(podman: RootlessPodman, command: list[str], code: int, words: str) -> None:
    assert words in podman("run", "--rm", "--network", "none", IMAGE, *command, code=code).replace("\\", "")


def test_a_user_with_groups(podman: RootlessPodman) -> None:
    options = ["--user", "1000:1000", "--group-add", "5"]
    assert podman.run("id", options=options) == "uid=1000(alice) gid=1000(alice) groups=5(tty),1000(alice)\n"


def test_user_namespaces_of_the_containers_own(podman: RootlessPodman) -> None:
    """Below that of podman."""
    own = podman.user.uid
    done = podman.run(
        "sh", "-c", "id -u; stat -Lc %u /proc/self; cat /proc/self/uid_map", options=["--userns", "keep-id"]
    )
    assert done.split("\n")[:2] == [str(own)] * 2
    done = podman.run("cat", "/proc/self/uid_map", options=["--uidmap", "0:1:1000", "--gidmap", "0:1:1000"])
    assert parsed(done) == [[0, 1, 1000]]


def test_mounts(podman: RootlessPodman) -> None:
    volume = podman.directory / "volume"
    volume.mkdir()
    os.chown(volume, podman.user.uid, podman.user.gid)
    options = ["--read-only", "--tmpfs", "/tmp", "-v", f"{volume}:/mnt", "-v", f"{volume}:/root:ro", "-v", "named:/run"]
    script = "touch /mnt/made /tmp/x /run/x; for f in /x /root/x; do touch $f 2>&1; done; chown 1000 /mnt/made"
    done = podman.run("sh", "-c", script, options=options)
    assert done.count("Read-only file system") == 2
    assert (volume / "made").stat().st_uid == podman.user.subuids[0][0] + 999


def test_privileged(podman: RootlessPodman) -> None:
    """All of its user namespace, nothing of the host's."""
    script = "grep CapEff /proc/self/status; mount -t tmpfs none /mnt && echo mounted; hostname other; ls /dev | wc -l"
    done = podman.run("sh", "-c", script, options=["--privileged", "--device", "/dev/fuse"])
    assert "mounted" in done
    assert int(done.split()[1], 16).bit_count() > 38


def test_the_hosts_network(podman: RootlessPodman) -> None:
    """Where podman binds /sys."""
    done = podman.run("sh", "-c", "ls /sys/class/net; touch /sys/x 2>&1 || true", network="host")
    assert done.splitlines()[:-1] == sorted(os.listdir("/sys/class/net"))
    assert "Read-only file system" in done


def test_a_network_by_slirp4netns(podman: RootlessPodman) -> None:
    done = podman.run("sh", "-c", "ip address; cat /etc/resolv.conf; ls /sys/class/net", network="slirp4netns")
    assert "10.0.2.100" in done
    assert "nameserver 10.0.2.3" in done
    assert done.split()[-2:] == ["lo", "tap0"]


def test_a_terminal(podman: RootlessPodman) -> None:
    argv = podman.argv("run", "--rm", "-t", "--network", "none", IMAGE, "sh", "-c", "tty; stat -c %u $(tty)")
    done = subprocess.run(
        ["script", "-qec", " ".join(map(_quoted, argv)), "/dev/null"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.stdout.split() == ["/dev/pts/0", "0"], done


def _quoted(word: str) -> str:
    from shlex import quote

    return quote(word)


def test_a_pod(podman: RootlessPodman) -> None:
    podman(
        "pod", "create", "--name", "pod", "--network", "none", "--infra-image", IMAGE, "--infra-command", "sleep 1000"
    )
    namespaces = [f"/proc/self/ns/{kind}" for kind in ("net", "ipc", "uts", "user")]
    first, second = (
        podman("run", "--rm", "--pod", "pod", IMAGE, "stat", "-Lc", "%i", *namespaces).split() for _ in "ab"
    )
    assert first == second


def test_init_and_namespaces_of_the_host(podman: RootlessPodman) -> None:
    assert "podman-init" in podman.run("ps", options=["--init"])
    done = podman.run("sh", "-c", "ps; hostname", options=["--pid", "host", "--uts", "host"])
    assert str(os.getpid()) in done.split()
    assert done.split()[-1] == os.uname().nodename


def test_cgroup_v2(podman_v2: RootlessPodman) -> None:
    """Pausing takes a cgroup, which is made beside the one that the user is in."""
    podman = podman_v2
    id = podman.detached()
    assert podman.cgroup
    assert (podman.cgroup / id / "cgroup.procs").read_text().split() == [str(podman.inspect(id)["State"]["Pid"])]
    podman("pause", id)
    assert podman.inspect(id)["State"]["Status"] == "paused"
    podman("unpause", id)
    assert podman("exec", id, "id", "-u") == "0\n"
    podman("rm", "-f", "-t", "0", id)
    assert not (podman.cgroup / id).exists()
