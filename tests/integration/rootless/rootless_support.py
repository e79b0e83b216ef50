"""pyoci as an ordinary user: what containers.py offers, with containers and a state root of his."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from busybox import busybox
from containers import CGROUP_ROOT, DIRECTORIES, Bundle, Pyoci, removed, wait_for
from ordinary_user import User

APPLETS = (
    *(
        "awk",
        "cat",
        "chmod",
        "chown",
        "cut",
        "echo",
        "env",
        "false",
        "grep",
        "head",
        "hostname",
        "id",
        "ip",
        "kill",
        "ls",
    ),
    *(
        "mkdir",
        "mknod",
        "mount",
        "ps",
        "pwd",
        "readlink",
        "rm",
        "rmdir",
        "sh",
        "sleep",
        "stat",
        "stty",
        "tail",
        "touch",
    ),
    *("true", "tty", "umount", "uname", "unshare", "wc"),
)

#: Whether this host has cgroup v1 controllers.
HYBRID = not (CGROUP_ROOT / "cgroup.controllers").exists()

#: A pure cgroup v2 host, as far as a mount can show it.
V2_VIEW = ("unshare", "-m", "sh", "-ec", 'mount -t cgroup2 none /sys/fs/cgroup; exec "$@"', "sh")


class RootlessPyoci(Pyoci):
    """The runtime as `user`, with its state in $XDG_RUNTIME_DIR.

    `environment`: what his commands have besides PATH; `around`: a command line that root runs him with, to change what
    he sees or which cgroups he is in; `inside`: one that he runs the runtime with; `options`: global ones; `groups`,
    `capabilities`: what he has of them.
    """

    __slots__ = ("around", "capabilities", "environment", "groups", "inside", "options", "user")

    def __init__(self, directory: Path, user: User) -> None:
        super().__init__(directory)
        self.user = user
        self.around: Sequence[str] = ()
        self.inside: Sequence[str] = ()
        self.options: Sequence[str] = ()
        self.groups = ""
        self.capabilities = ""
        runtime_dir = directory / "xdg"
        runtime_dir.mkdir(mode=0o700)
        os.chown(runtime_dir, user.uid, user.gid)
        self.root = runtime_dir / "pyoci"
        self.environment = {
            "PATH": os.environ["PATH"],
            "XDG_RUNTIME_DIR": str(runtime_dir),
            "HOME": str(directory),
            "USER": user.name,
        }

    def command(self, *argv: str) -> list[str]:
        variables = [f"{name}={value}" for name, value in self.environment.items()]
        return self.as_user(*self.inside, "env", "-i", *variables, self.executable, *self.options, *argv)

    def as_user(self, *argv: str) -> list[str]:
        """Any command of the user."""
        return [*self.around, *self.user.command(*argv, groups=self.groups, capabilities=self.capabilities)]

    def processes(self) -> dict[int, str]:
        """All that the user has, also by subordinate ids: their command lines by pid."""
        ranges = [(self.user.uid, 1), *self.user.subuids]
        found = {}
        for entry in Path("/proc").iterdir():
            try:
                uid = entry.stat().st_uid
                if entry.name.isdigit() and any(first <= uid < first + size for first, size in ranges):
                    command = (entry / "cmdline").read_bytes()
                    if command:  # else it has ended
                        found[int(entry.name)] = command.replace(b"\0", b" ").decode(errors="replace")
            except OSError:  # it ended meanwhile
                continue
        return found

    def _processes(self) -> dict[int, str]:
        return self.processes()

    def _sweep_cgroups(self) -> list[str]:
        return []  # where he may make some, delegation() looks

    def spawn_as_user(self, *argv: str) -> int:
        """Starts a command of his that says when it is up, and is killed at the end; its pid."""
        child = subprocess.Popen(self.as_user(*argv), stdout=subprocess.PIPE)
        self._children.append(child)
        assert child.stdout
        assert child.stdout.readline() == b"up\n"
        return child.pid


def give(user: User, *paths: Path) -> None:
    """Makes the user the owner of everything there."""
    subprocess.run(["chown", "-hR", f"{user.uid}:{user.gid}", *paths], check=True)


class _SmallBundle(Bundle):
    """With what these tests use of busybox, since everything has to be given to the user."""

    __slots__ = ()

    def __init__(self, path: Path) -> None:
        self.path = path
        for name in DIRECTORIES:
            (self.rootfs / name).mkdir(parents=True)
        (self.rootfs / "tmp").chmod(0o1777)
        shutil.copy(busybox(), self.rootfs / "bin/busybox")
        for applet in APPLETS:
            os.symlink("busybox", self.rootfs / "bin" / applet)
        (self.rootfs / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n")
        (self.rootfs / "etc/group").write_text("root:x:0:\ntty:x:5:\nalice:x:1000:\nstaff:x:50:alice\n")


def rootless_bundle(path: Path, pyoci: RootlessPyoci) -> Bundle:
    """A bundle of the user's, as `spec --rootless` describes it, but without a terminal and with a writable root."""
    bundle = _SmallBundle(path)
    give(pyoci.user, path)
    pyoci("spec", "--rootless", "--bundle", str(path))
    bundle.config = json.loads((path / "config.json").read_text())
    bundle.process["terminal"] = False
    bundle.config["root"]["readonly"] = False
    return bundle


def map_ranges(bundle: Bundle, user: User) -> Bundle:
    """All ids that the user may map, by newuidmap(1) and newgidmap(1)."""
    bundle.linux["uidMappings"] = user.uid_mappings()
    bundle.linux["gidMappings"] = user.gid_mappings()
    return bundle


_CPUSET = ("cpuset.cpus", "cpuset.mems")
_OF_DELEGATION = (*_CPUSET, "cgroup.procs", "cgroup.subtree_control", "cgroup.threads", "tasks")


class Delegation:
    """Cgroups that are delegated to a user: one of the same name in each hierarchy, and one below it for him to be in.

    `only`: the hierarchies they are made in, all if empty.
    """

    __slots__ = ("_keeper", "directories", "name", "user")

    def __init__(self, user: User, only: Sequence[str] = ()) -> None:
        self.name = f"pyoci-delegated-{uuid.uuid4().hex[:10]}"
        self.user = user
        self.directories: list[Path] = []
        hierarchies = [path for path in CGROUP_ROOT.iterdir() if os.path.ismount(path)] if HYBRID else [CGROUP_ROOT]
        for hierarchy in sorted(hierarchies):
            if not hierarchy.is_symlink() and (not only or hierarchy.name in only):
                self._make(hierarchy / self.name)
        # a systemd that manages v1 hierarchies removes what is empty in them
        self._keeper = subprocess.Popen([*self.session(), "sleep", "1000"])

    def _make(self, top: Path) -> None:
        for directory in (top, top / "session"):
            directory.mkdir()
            self.directories.append(directory)
            for name in _CPUSET:
                if (directory.parent / name).exists() and (given := (directory.parent / name).read_text().strip()):
                    (directory / name).write_text(given)
            for name in (".", *_OF_DELEGATION):
                if (directory / name).exists():
                    os.chown(directory / name, self.user.uid, self.user.gid)

    def session(self) -> list[str]:
        """A command line that runs what follows in the user's cgroups."""
        enter = "".join(f"echo 0 > {directory}/cgroup.procs; " for directory in self.directories[1::2])
        return ["sh", "-ec", f'{enter}exec "$@"', "sh"]

    def left(self) -> list[str]:
        """Cgroups that containers have in it."""
        found = (
            os.path.join(base, name)
            for top in self.directories[::2]
            for base, names, _ in os.walk(top)
            for name in names
        )
        return [path for path in found if Path(path) not in self.directories]

    def remove(self) -> list[str]:
        """Returns what containers have left in it."""
        left = self.left()
        self._keeper.kill()
        self._keeper.wait()
        for path in [*sorted(left, key=len, reverse=True), *reversed(self.directories)]:
            wait_for(lambda path=path: removed(path), what=f"{path} can be removed")  # type: ignore[misc]
        return left


@contextmanager
def delegation(rootless: RootlessPyoci, only: Sequence[str] = (), around: Sequence[str] = ()) -> Iterator[Delegation]:
    """Runs him in cgroups that are delegated to him, and `around`; nothing of his containers may be left there."""
    made = Delegation(rootless.user, only)
    rootless.around = [*made.session(), *around]
    try:
        yield made
        left = rootless.close()
    finally:
        rootless.around = ()
        in_cgroups = made.remove()
    assert not left + in_cgroups, left + in_cgroups
