"""linux.intelRdt: groups of the resctrl filesystem (config-linux.md, IntelRdt; the kernel's resctrl.rst)."""

from __future__ import annotations

import posix

from oci_runtime._shim import lib
from oci_runtime.errors import PyociError, SystemCallError
from oci_runtime.linux.descriptors import is_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypedDict

    from oci_runtime.spec.types import IntelRdt

    class Groups(TypedDict):
        """What state.json records: absolute paths, '' for none. `own` is a group that goes with the container."""

        group: str
        own: str
        monitoring: str


RDTGROUP_SUPER_MAGIC = 0x7655821
_POINTER = "/linux/intelRdt"
_O_PATH_DIRECTORY = posix.O_PATH | posix.O_DIRECTORY | posix.O_CLOEXEC | posix.O_NOFOLLOW


def find_mount() -> str:
    """Where resctrl is mounted. PyociError when it is nowhere."""
    fd = posix.open("/proc/self/mountinfo", posix.O_RDONLY | posix.O_CLOEXEC)
    text = b""
    while more := posix.read(fd, 65536):
        text += more
    posix.close(fd)
    for line in text.split(b"\n"):
        before, separator, after = line.partition(b" - ")
        if separator and after.startswith(b"resctrl "):
            return before.split()[4].decode("unicode_escape")
    raise PyociError(
        f"{_POINTER}: no resctrl filesystem is mounted; it needs a CPU with RDT and `mount -t resctrl resctrl "
        "/sys/fs/resctrl`"
    )


def plan_groups(rdt: IntelRdt, container_id: str, mount: str) -> Groups:
    """The groups of a container, to be recorded before they are made.

    PyociError when a closID that brings no schemata of its own does not exist.
    """
    clos = rdt.get("closID", "")
    group = mount if clos == "/" else f"{mount}/{clos or container_id}"
    exists = is_directory(group)
    if clos and not exists and not _wanted_schemata(rdt):
        raise PyociError(f"{_POINTER}/closID: the group {group} does not exist, and no schemata are given to make it")
    own = group if not clos and not exists else ""
    return {"group": group, "own": own, "monitoring": _monitoring(rdt, group, container_id)}


def _monitoring(rdt: IntelRdt, group: str, container_id: str) -> str:
    return f"{group}/mon_groups/{container_id}" if rdt.get("enableMonitoring") else ""


def make_groups(rdt: IntelRdt, groups: Groups, pid: int) -> None:
    """Makes the groups, writes the schemata and puts the process in. SystemCallError names what the kernel refuses."""
    existed = _make(groups["group"], _POINTER + "/closID")
    wanted = _wanted_schemata(rdt)
    if wanted and existed:
        _compare(wanted, read_file(groups["group"], "schemata"), groups["group"])
    elif wanted:
        _write(groups["group"], "schemata", "\n".join(wanted) + "\n", _POINTER)
    _write(groups["group"], "tasks", f"{pid}\n", _POINTER)
    if groups["monitoring"]:
        _make(groups["monitoring"], _POINTER + "/enableMonitoring")
        _write(groups["monitoring"], "tasks", f"{pid}\n", _POINTER + "/enableMonitoring")


def update_group(rdt: IntelRdt, groups: Groups) -> Callable[[], None]:
    """Writes the schemata of `rdt` to a container's group; the result takes it back. SystemCallError when refused."""
    group = groups["group"]
    before = read_file(group, "schemata")
    _write(group, "schemata", "\n".join(_wanted_schemata(rdt)) + "\n", _POINTER)
    return lambda: _write(group, "schemata", before, _POINTER)


def remove_groups(groups: Groups) -> None:
    """Removes the container's own group, or its monitoring group in somebody else's."""
    for path in (groups["monitoring"], groups["own"]):
        if path:
            try:
                if _is_group(path):
                    posix.rmdir(path)
            except FileNotFoundError:
                pass
            except OSError as error:
                raise SystemCallError(f"cannot remove the resctrl group {path}", error.errno or 0) from error


def _is_group(path: str) -> bool:
    """Whether it is in resctrl: a record could say anything. Raises OSError."""
    directory = posix.open(path, _O_PATH_DIRECTORY)
    try:
        return bool(lib.sys_filesystem_magic(directory) == RDTGROUP_SUPER_MAGIC)
    finally:
        posix.close(directory)


def _wanted_schemata(rdt: IntelRdt) -> list[str]:
    lines = [rdt.get("l3CacheSchema", ""), rdt.get("memBwSchema", ""), *rdt.get("schemata", ())]
    return [line for line in lines if line]


def _compare(wanted: list[str], present: str, group: str) -> None:
    """An existing group must have the schemata that are asked for; the kernel prints them in a form of its own."""
    there = dict(_parsed(line) for line in present.splitlines() if ":" in line)
    for line in wanted:
        resource, values = _parsed(line)
        found = there.get(resource, {})
        if any(found.get(domain) != value for domain, value in values.items()):
            raise PyociError(f"{_POINTER}: the group {group} exists with other schemata than {line!r}")


def _parsed(line: str) -> tuple[str, dict[str, int]]:
    """`L3:0=ff;1=0f` as ("L3", {"0": 255, "1": 15}); bandwidths are decimal."""
    resource, _, domains = line.partition(":")
    resource = resource.strip()
    base = 10 if resource.startswith(("MB", "SMBA")) else 16
    values = {}
    for domain in domains.split(";"):
        name, _, value = domain.partition("=")
        try:
            values[name.strip().lstrip("0") or "0"] = int(value.strip(), base)
        except ValueError:
            raise PyociError(f"{_POINTER}: {line!r} is no schema; one looks like L3:0=ff;1=c0") from None
    return resource, values


def _make(path: str, pointer: str) -> bool:
    """Whether it existed."""
    try:
        posix.mkdir(path, 0o755)
    except FileExistsError:
        return True
    except OSError as error:
        raise SystemCallError(f"cannot make the resctrl group {path}", error.errno or 0, pointer) from error
    return False


def _open(group: str, name: str, flags: int) -> int:
    directory = posix.open(group, _O_PATH_DIRECTORY)
    try:
        if lib.sys_filesystem_magic(directory) != RDTGROUP_SUPER_MAGIC:
            raise PyociError(f"{group} is not in a resctrl filesystem ({_POINTER})")
        return posix.open(name, flags | posix.O_CLOEXEC | posix.O_NOFOLLOW, dir_fd=directory)
    finally:
        posix.close(directory)


def _write(group: str, name: str, text: str, pointer: str) -> None:
    try:
        fd = _open(group, name, posix.O_WRONLY)
        try:
            posix.write(fd, text.encode())
        finally:
            posix.close(fd)
    except OSError as error:
        raise SystemCallError(f"cannot write {text.strip()!r} to {group}/{name}", error.errno or 0, pointer) from error


def read_file(group: str, name: str) -> str:
    """A file of a group, or of another directory of resctrl. Raises OSError."""
    fd = _open(group, name, posix.O_RDONLY)
    try:
        return posix.read(fd, 65536).decode()
    finally:
        posix.close(fd)
