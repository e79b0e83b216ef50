"""One cgroup in one hierarchy: where it is, making it, opening it, removing it."""

from __future__ import annotations

import posix
from errno import EEXIST, ENOENT, ENOTDIR

from oci_runtime.errors import Problem, PyociError, SpecError, StateError, SystemCallError
from oci_runtime.linux.cgroups import _fs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

PATH_POINTER = "/linux/cgroupsPath"


def refuse(pointer: str, why: str) -> SpecError:
    """The error for a property that cannot be had; `why` says what would be valid."""
    return SpecError(f"{pointer}: {why}", (Problem(pointer, why),))


class Cgroup:
    """A cgroup of the container in the hierarchy mounted at `mount`.

    `path` is relative to that mount; its first `kept` components existed before the container and outlive it.
    `controllers` are those of a v1 hierarchy, with name=NAME for a named one, and none for the v2 tree.
    The descriptors are -1 while they are not open. `created` is true from make() on if the cgroup is new.
    """

    __slots__ = ("base", "base_depth", "controllers", "created", "dir", "kept", "mount", "path", "root", "version")

    def __init__(self, version: int, controllers: tuple[str, ...], mount: str, path: str, kept: int = 0) -> None:
        self.version = version
        self.controllers = controllers
        self.mount = mount
        self.path = path
        self.kept = kept
        self.root = -1  # of the hierarchy
        self.base = -1  # of the deepest existing ancestor, before the cgroup is made,
        self.base_depth = 0  # which has so many components
        self.dir = -1  # of the cgroup itself
        self.created = False

    def __str__(self) -> str:
        return f"{self.mount}/{self.path}"

    def to_state(self) -> list[str | int]:
        return [self.version, ",".join(self.controllers), self.mount, self.path, self.kept]

    def open_root(self) -> int:
        if self.root < 0:
            self.root = _fs.open_root(self.mount, _fs.V1_MAGIC if self.version == 1 else _fs.V2_MAGIC)
        return self.root

    def probe(self) -> None:
        """Find out how much of the path exists: sets `kept`, and `dir` when all of it does."""
        root = self.open_root()
        names = self.path.split("/")
        depth = len(names)
        while depth:
            try:
                fd = _fs.open_dir(root, "/".join(names[:depth]))
            except OSError as error:
                if error.errno != ENOENT:
                    raise SystemCallError(f"cannot open cgroup {self}", error.errno or 0, PATH_POINTER) from None
                depth -= 1
                continue
            break
        else:
            fd = root
        self.kept = depth
        if depth == len(names):
            self.dir = fd
        else:
            self.base, self.base_depth = fd, depth

    def make(self, prepare: Callable[[int, int, bool], None] | None) -> None:
        """Make the cgroup and the ancestors that are missing.

        `prepare` is called with the descriptors of parent and child for every cgroup made and for the container's own,
        then with True, even if that existed. Raises OSError.
        """
        tries = 10
        while True:
            try:
                self._make(prepare)
                return
            except OSError as error:
                # an empty ancestor may be removed by whoever made it, just before we use it
                tries -= 1
                if error.errno not in _fs.GONE or not tries:
                    raise
                self.reopen()

    def _make(self, prepare: Callable[[int, int, bool], None] | None) -> None:
        names = self.path.split("/")
        if self.dir >= 0:
            if prepare:
                parent = _fs.open_dir(self.root, "/".join(names[:-1]) or ".")
                try:
                    prepare(parent, self.dir, True)
                finally:
                    posix.close(parent)
            return
        parent = self.base
        for depth in range(self.base_depth, len(names)):
            name = names[depth]
            try:
                posix.mkdir(name, 0o755, dir_fd=parent)
                self.created = True
            except OSError as error:
                if error.errno != EEXIST:
                    raise
                self.created = False
            child = _fs.open_dir(parent, name)
            if prepare:
                prepare(parent, child, depth == len(names) - 1)
            if parent != self.base:
                posix.close(parent)
            parent = child
        self.dir = parent

    def reopen(self) -> None:
        """Find out anew how much of the path exists, for make(); what was made is still ours."""
        kept = self.kept
        self._close_dirs()
        self.probe()
        self.kept = min(kept, self.kept)

    def open(self) -> int:
        """The O_PATH descriptor of the cgroup, -1 when it does not exist (any more)."""
        if self.dir < 0:
            try:
                self.dir = _fs.open_dir(self.open_root(), self.path)
            except OSError as error:
                if error.errno not in (*_fs.GONE, ENOTDIR):
                    raise SystemCallError(f"cannot open cgroup {self}", error.errno or 0) from None
        return self.dir

    def exists(self) -> bool:
        """Whether the cgroup is there now, whatever descriptor of it may be open."""
        self._close_dirs()
        return self.open() >= 0

    def require(self) -> int:
        """The descriptor of the cgroup; StateError when it does not exist."""
        fd = self.open()
        if fd < 0:
            raise StateError(f"the cgroup {self} does not exist")
        return fd

    def remove(self) -> bool:
        """Remove the cgroup and everything below it, then the ancestors made for it that are empty.

        runc leaves such ancestors; here nothing that create() made stays, unless others have come to use it. False when
        processes keep the cgroup for now.
        """
        from oci_runtime.linux.cgroups import tree

        root = self._mounted_root()
        if root < 0:
            return True
        self._close_dirs()
        try:
            if not _remove_below(root, self.path.split("/"), tree.remove):
                return False
        except OSError as error:
            raise SystemCallError(f"cannot remove cgroup {self}", error.errno or 0) from None
        self.remove_ancestors()
        return True

    def remove_ancestors(self) -> None:
        """Remove those that have been made for the cgroup and that nobody else uses."""
        from oci_runtime.linux.cgroups import tree

        root = self._mounted_root()
        names = self.path.split("/")
        try:
            for depth in range(len(names) - 1, self.kept, -1):
                if root < 0 or not _remove_below(root, names[:depth], tree.rmdir):
                    return
        except OSError as error:
            raise SystemCallError(f"cannot remove what is above cgroup {self}", error.errno or 0) from None

    def _mounted_root(self) -> int:
        """open_root(), or -1 when the hierarchy is not mounted, and nothing of ours can be in it."""
        try:
            return self.open_root()
        except OSError as error:
            if error.errno == ENOENT:
                return -1
            raise SystemCallError(f"cannot open {self.mount}", error.errno or 0) from None

    def write(self, name: str, value: str) -> None:
        """Write to a control file; raises SystemCallError."""
        try:
            _fs.write(self.require(), name, value)
        except OSError as error:
            raise SystemCallError(f"cannot write {value!r} to {self}/{name}", error.errno or 0) from None

    def read(self, name: str) -> str:
        """A control file; raises SystemCallError."""
        try:
            return _fs.read(self.require(), name)
        except OSError as error:
            raise SystemCallError(f"cannot read {self}/{name}", error.errno or 0) from None

    def pids(self, recursive: bool) -> list[int]:
        """Sorted ids of the processes in the cgroup, and with `recursive` in those below; none when it is gone."""
        fd = self.open()
        if fd < 0:
            return []
        from oci_runtime.linux.cgroups import tree

        try:
            return tree.pids(fd, recursive)
        except OSError as error:
            raise SystemCallError(f"cannot list the processes of {self}", error.errno or 0) from None

    def counter(self, name: str, key: str) -> int:
        """The number after `key` in a control file of "KEY VALUE" lines; 0 when there is no such file or key."""
        try:
            return _fs.counter(_fs.read(self.require(), name), key)
        except (OSError, StateError):
            return 0

    def _close_dirs(self) -> None:
        for fd in {self.base, self.dir} - {self.root, -1}:
            posix.close(fd)
        self.base = self.dir = -1

    def close(self) -> None:
        """Close the descriptors; the cgroup can be used again."""
        self._close_dirs()
        if self.root >= 0:
            posix.close(self.root)
            self.root = -1


def _remove_below(root: int, names: list[str], remove: Callable[[int, str], bool]) -> bool:
    if len(names) == 1:
        return remove(root, names[0])
    try:
        parent = _fs.open_dir(root, "/".join(names[:-1]))
    except OSError as error:
        if error.errno == ENOENT:
            return True
        raise
    try:
        return remove(parent, names[-1])
    finally:
        posix.close(parent)


def from_state(record: list[str | int]) -> Cgroup:
    """The inverse of Cgroup.to_state; a record that could lead outside of the hierarchy is refused."""
    version, controllers, mount, path, kept = record
    names = str(path).split("/")
    if "" in names or "." in names or ".." in names:
        raise PyociError(f"the recorded cgroup path {path!r} is invalid")
    owned = tuple(str(controllers).split(",")) if controllers else ()
    return Cgroup(int(version), owned, str(mount), str(path), int(kept))


def add(directory: int, pid: int) -> None:
    """Move a process; raises OSError.

    EINVAL may mean that the process is so new that the kernel does not move it yet, so that is tried for 0.1 s.
    """
    from errno import EINVAL

    value = str(pid).encode()
    fd = _fs.open_at(directory, "cgroup.procs", posix.O_WRONLY)
    try:
        try:
            posix.write(fd, value)
            return
        except OSError as error:
            if error.errno != EINVAL:
                raise
        from oci_runtime.linux.cgroups.tree import Patience

        patience = Patience(0.1)
        while True:
            try:
                posix.write(fd, value)
                return
            except OSError as error:
                if error.errno != EINVAL or not patience.wait():
                    raise
    finally:
        posix.close(fd)
