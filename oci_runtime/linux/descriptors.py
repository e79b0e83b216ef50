"""Opens what a plan needs from the host: trees of mounts and directories, before the container's own view begins."""

from __future__ import annotations

import posix
from errno import EMFILE

from oci_runtime._shim import ffi, lib
from oci_runtime.errors import PyociError, SystemCallError
from oci_runtime.plan.operations import Device, DeviceNodes, Directory, Program, Tree
from oci_runtime.plan.process import OPEN_FILES_OF_INIT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.plan.operations import Descriptor, Plan

AT_FDCWD = -100
AT_RECURSIVE = 0x8000
AT_SYMLINK_NOFOLLOW = 0x100
OPEN_TREE_CLONE = 1
PROC_SUPER_MAGIC = 0x9FA0  # statfs(2)
RLIMIT_NOFILE = 7  # getrlimit(2)
_NO_LIMIT = 2**64 - 1
# what the runtime has open besides the plan's descriptors: cgroups, namespaces, sockets
_HANDFUL = 96


def is_directory(path: str) -> bool:
    """Whether the path leads to a directory."""
    try:
        return posix.stat(path).st_mode & 0o170000 == 0o040000
    except (OSError, ValueError):
        return False


class OpenFilesLimit:
    """RLIMIT_NOFILE while a process is made for a container: raised where that takes more, but for nothing that the
    process or a hook inherits. `soft`, `hard`: as it was.
    """

    __slots__ = ("_raised", "hard", "soft")

    def __init__(self) -> None:
        limits = ffi.new("uint64_t[2]")
        error = lib.sys_getrlimit(RLIMIT_NOFILE, limits)
        # one that is not known is not changed, as it could not be restored
        self.soft, self.hard = (_NO_LIMIT, _NO_LIMIT) if error else (int(limits[0]), int(limits[1]))
        self._raised = False

    def make_room(self, descriptors: int) -> None:
        """For so many besides a handful, as far as one may: root may exceed the hard limit."""
        wanted = descriptors + _HANDFUL
        if wanted <= self.soft:
            return
        self._raised = True
        if lib.sys_prlimit(0, RLIMIT_NOFILE, wanted, max(wanted, self.hard)):
            lib.sys_prlimit(0, RLIMIT_NOFILE, min(wanted, self.hard), self.hard)

    def restore(self) -> None:
        """For the runtime itself."""
        if self._raised:
            lib.sys_prlimit(0, RLIMIT_NOFILE, self.soft, self.hard)

    def restore_for(self, init: int) -> None:
        """For init, when it has made the mounts; what is too low for it is set last, see plan_open_files()."""
        if self._raised:
            soft = max(self.soft, OPEN_FILES_OF_INIT)
            lib.sys_prlimit(init, RLIMIT_NOFILE, soft, max(soft, self.hard))

    @property
    def too_low_for_init(self) -> tuple[int, int] | None:
        """The limit as it was, if init itself has to set it."""
        return (self.soft, self.hard) if self._raised and self.soft < OPEN_FILES_OF_INIT else None


def open_descriptors(plan: Plan) -> None:
    """Opens them in their order. SystemCallError names the property whose path does not open."""
    for descriptor in plan.descriptors:
        open_descriptor(descriptor)


def open_descriptor(descriptor: Descriptor) -> None:
    """Opens it, if it is one that has a path."""
    if isinstance(descriptor, Tree):
        descriptor.fd = _open_tree(descriptor)
    elif isinstance(descriptor, (DeviceNodes, Device)):
        from oci_runtime.linux.device_nodes import open_device, open_device_nodes

        if isinstance(descriptor, Device):
            open_device(descriptor)
        else:
            open_device_nodes(descriptor)
    elif isinstance(descriptor, Directory):
        try:
            descriptor.fd = posix.open(descriptor.path, posix.O_PATH | posix.O_DIRECTORY | posix.O_CLOEXEC)
        except OSError as error:
            raise SystemCallError(f"cannot open {descriptor.path}", error.errno or 0, descriptor.pointer) from error
    elif isinstance(descriptor, Program):
        from oci_runtime.linux.program_in_tmpfs import open_program

        descriptor.fd = open_program(descriptor.code)


def close_descriptors(plan: Plan) -> None:
    """Closes those that are open, when the plan will not run."""
    for descriptor in plan.descriptors:
        if descriptor.fd >= 0:
            posix.close(descriptor.fd)
            descriptor.fd = -1


def _open_tree(tree: Tree) -> int:
    flags = OPEN_TREE_CLONE | (AT_RECURSIVE if tree.recursive else 0) | (AT_SYMLINK_NOFOLLOW if tree.is_link else 0)
    path = tree.path.encode("utf-8", "surrogateescape")
    fd: int = lib.sys_open_tree(AT_FDCWD, path, flags)
    if fd < 0:
        hint = ", for too many mounts must be open at once (ulimit -Hn)" if fd == -EMFILE else ""
        raise SystemCallError(f"cannot open {tree.path}{hint}", -fd, tree.pointer)
    try:
        if tree.must_be_proc and lib.sys_filesystem_magic(fd) != PROC_SUPER_MAGIC:
            raise PyociError(f"only a procfs can be bound on /proc, and {tree.path} is none ({tree.pointer})")
        if tree.id_mapping:
            _map_ids(tree, fd)
    except BaseException:
        posix.close(fd)
        raise
    return fd


def _map_ids(tree: Tree, fd: int) -> None:
    from oci_runtime.linux.user_namespace import namespace_with

    assert tree.id_mapping
    uids, gids, recursive = tree.id_mapping
    namespace = namespace_with(uids, gids)  # type: ignore[arg-type]
    error = lib.sys_mount_idmap(fd, recursive, namespace)
    posix.close(namespace)
    if error:
        raise SystemCallError(f"cannot map the ids of {tree.path}", -error, tree.pointer)
