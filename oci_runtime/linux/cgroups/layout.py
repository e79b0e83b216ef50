"""Where a container's cgroups go: the mounted hierarchies of this host and the path in each of them.

Only `create` needs this; later commands take what was recorded. Normally /proc/self/cgroup and the directories under
/sys/fs/cgroup tell everything; mountinfo is read, once, when a hierarchy is mounted elsewhere or only in part.
"""

from __future__ import annotations

import posix
from errno import ENOENT, ENOTDIR

from oci_runtime.errors import PyociError
from oci_runtime.linux.cgroups import _fs
from oci_runtime.linux.cgroups.cgroup import PATH_POINTER, Cgroup, refuse

BASE = "/sys/fs/cgroup"
_ROOT_INODE = 1  # of the root directory of every hierarchy, kernfs


def clean(path: str) -> str:
    """`path` without empty, . and .. components, which cannot lead above the start; no leading slash."""
    names: list[str] = []
    for name in path.split("/"):
        if name == "..":
            del names[-1:]
        elif name not in ("", "."):
            names.append(name)
    return "/".join(names)


def inner_path(cgroups_path: str | None, container_id: str) -> tuple[str, bool]:
    """The cleaned path, and whether it starts at the mount of a hierarchy; else it does at our own cgroup."""
    if not cgroups_path:
        return container_id, False
    path = clean(cgroups_path)
    if not path:
        raise refuse(
            PATH_POINTER, f"{cgroups_path!r} names the root of the hierarchy; valid is the path of a cgroup below it"
        )
    if "\0" in path or "\n" in path:
        raise refuse(PATH_POINTER, f"{cgroups_path!r} has a character that no cgroup's name may have")
    return path, cgroups_path.startswith("/")


def find(cgroups_path: str | None, container_id: str) -> list[Cgroup]:
    """The container's cgroup in each hierarchy: v1 ones by controllers, then the v2 tree if there is one.

    Their roots are open, nothing else has been looked at. As in runc an absolute `cgroups_path` starts at the mount,
    and a relative one, or the default CONTAINER_ID, at the cgroup of the runtime (v1) or at the parent of that (v2,
    where a cgroup with processes cannot have children with controllers).
    """
    inner, absolute = inner_path(cgroups_path, container_id)
    if _fs.magic(BASE) == _fs.V2_MAGIC:
        cgroup = _rooted(Cgroup(2, (), BASE, inner))
        if not absolute:
            own = next((path for _, controllers, path in _cgroups_of("self") if not controllers), "/")
            above = _Mounts("cgroup2").start(cgroup, own).rpartition("/")[0]
            cgroup.path = _join(above, inner)
        return [cgroup]
    return _find_v1(inner, absolute)


def _find_v1(inner: str, absolute: bool) -> list[Cgroup]:
    mounts = _Mounts("cgroup")
    found = []
    for _, controllers, own in _cgroups_of("self"):
        if not controllers:
            continue
        names = tuple(controllers.split(","))
        cgroup = _default_mount(names) or mounts.find(names)
        if cgroup is not None:
            start = "" if absolute else mounts.start(cgroup, own)
            cgroup.path = _join(start, inner)
            found.append(cgroup)
    if not found:
        raise PyociError(f"no cgroup hierarchy is mounted on this host, looked for {BASE} and in /proc/self/mountinfo")
    if not any("devices" in cgroup.controllers for cgroup in found):
        raise PyociError("the cgroup v1 controller devices is not mounted; without it every device could be used")
    if _fs.magic(BASE + "/unified") == _fs.V2_MAGIC:
        found.append(_rooted(Cgroup(2, (), BASE + "/unified", inner)))
    return found


def current_path(cgroup: Cgroup, pid: int) -> str:
    """Where a process is in the hierarchy of `cgroup`, relative to its mount.

    OSError when it has ended, or is where the mount does not show it.
    """
    cgroup.open_root()
    hierarchy = ",".join(cgroup.controllers)
    for _, controllers, path in _cgroups_of(pid):
        if controllers == hierarchy:
            found = _Mounts("cgroup" if cgroup.version == 1 else "cgroup2").visible(cgroup, path)
            if found is not None:
                return found
    raise OSError(ENOENT, posix.strerror(ENOENT))


def _rooted(cgroup: Cgroup) -> Cgroup:
    cgroup.open_root()
    return cgroup


def _join(start: str, inner: str) -> str:
    start = clean(start)
    return f"{start}/{inner}" if start else inner


def _cgroups_of(pid: int | str) -> list[tuple[str, str, str]]:
    """(hierarchy, controllers, path) of a process in every hierarchy, cgroups(7); v2 has no controllers."""
    found = []
    for line in _fs.read_proc(f"/proc/{pid}/cgroup").split("\n")[:-1]:
        hierarchy, controllers, path = line.split(":", 2)
        found.append((hierarchy, controllers, path))
    return found


def _default_mount(controllers: tuple[str, ...]) -> Cgroup | None:
    """The hierarchy under BASE with the usual name: cpu,cpuacct or cpu, and systemd for name=systemd."""
    joined = ",".join(controllers).removeprefix("name=")
    cgroup = _try_mount(controllers, f"{BASE}/{joined}")
    if cgroup or len(controllers) == 1:
        return cgroup
    try:  # the kernel's order may be another than that of the name, but there is a link for each controller
        target = posix.readlink(f"{BASE}/{controllers[0]}")
    except OSError:
        return None
    return None if "/" in target else _try_mount(controllers, f"{BASE}/{target}")


def _try_mount(controllers: tuple[str, ...], mount: str) -> Cgroup | None:
    cgroup = Cgroup(1, controllers, mount, "")
    try:
        cgroup.open_root()
    except OSError as error:
        if error.errno not in (ENOENT, ENOTDIR):
            raise
    except PyociError:  # a plain directory, or another mount on top
        pass
    else:
        return cgroup
    return None


class _Mounts:
    """The mounts of one filesystem type in /proc/self/mountinfo, read when first asked for."""

    __slots__ = ("_entries", "_type")

    def __init__(self, type: str) -> None:
        self._type = type
        self._entries: list[tuple[str, str, list[str]]] | None = None

    def _read(self) -> list[tuple[str, str, list[str]]]:
        """(mount point, root within the hierarchy, super options) of every such mount, proc_pid_mountinfo(5)."""
        if self._entries is None:
            self._entries = []
            # not splitlines(): any user may have a mount (FUSE), with all but a line feed in its name
            for line in _fs.read_proc("/proc/self/mountinfo").split("\n")[:-1]:
                left, _, right = line.partition(" - ")
                kind, _, options = right.split(" ", 2)
                if kind == self._type:
                    fields = left.split(" ")
                    self._entries.append((_unescape(fields[4]), _unescape(fields[3]), options.split(",")))
        return self._entries

    def find(self, controllers: tuple[str, ...]) -> Cgroup | None:
        for mount, _, options in self._read():
            if controllers[0] in options and (cgroup := _try_mount(controllers, mount)):
                return cgroup
        return None

    def start(self, cgroup: Cgroup, own: str) -> str:
        """visible() of the runtime's own cgroup; as the kernel says it where no mount explains it."""
        found = self.visible(cgroup, own)
        return own if found is None else found

    def visible(self, cgroup: Cgroup, own: str) -> str | None:
        """The path of a process's cgroup `own` relative to the mount of its hierarchy; None if not shown there."""
        if own == "/" or posix.fstat(cgroup.root).st_ino == _ROOT_INODE:
            return own
        for mount, root, _ in reversed(self._read()):  # the last one is on top
            if mount == cgroup.mount and (own == root or own.startswith(root.rstrip("/") + "/")):
                return own[len(root) :]
        return None


def _unescape(field: str) -> str:
    if "\\" not in field:
        return field
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(code, char)
    return field
