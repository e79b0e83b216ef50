"""Sources of bind mounts that init may not open, or whose ids it may not map (native/init/source.c)."""

from __future__ import annotations

import posix
from errno import EINVAL

from oci_runtime._shim import lib
from oci_runtime.errors import SystemCallError
from oci_runtime.linux.descriptors import AT_FDCWD, AT_RECURSIVE, AT_SYMLINK_NOFOLLOW, OPEN_TREE_CLONE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.linux.conversation import Report
    from oci_runtime.linux.spawn import Child
    from oci_runtime.plan.operations import Plan, Tree


class MountSources:
    """Answers REPORT_TREE. It keeps the user namespaces that it makes, since mounts often have the same mappings."""

    __slots__ = ("child", "namespaces", "plan")

    def __init__(self, child: Child, plan: Plan) -> None:
        self.child = child
        self.plan = plan
        self.namespaces: list[tuple[object, object, int]] = []

    def close(self) -> None:
        """Closes them."""
        while self.namespaces:
            posix.close(self.namespaces.pop()[2])

    def provide(self, report: Report) -> None:
        """Opens a tree, or takes the one that came, maps its ids where they are to be mapped, and lets init go on.

        SystemCallError when the kernel refuses it.
        """
        operation = self.plan.operations[report.op]
        tree: Tree = operation.n[4]
        if not report.value:
            fd = report.descriptor
        elif report.descriptor < 0:
            fd = self._open(tree, report.value)
        else:
            fd = self._open_inside(tree, operation.s[0], report)
        try:
            if tree.id_mapping:
                self._map_ids(tree, fd)
            lib.sys_send_descriptor(self.child.socket, b"t", 1, fd)
        finally:
            posix.close(fd)

    def _open(self, tree: Tree, errno: int) -> int:
        """In the container's mount namespace. What that does not give away, as mounts of the host cover a part of it,
        is opened in the host's, where root may leave them out; but flags are not locked there, so it has none that
        matter."""
        flags = _flags(tree)
        path = tree.path.encode("utf-8", "surrogateescape")
        fd = -errno
        if errno != EINVAL and posix.geteuid() == 0:
            root = self._of_child("root", posix.O_PATH, tree.pointer)
            fd = lib.sys_open_tree_of(self.child.pidfd, root, path, flags, False)
            posix.close(root)
        if fd == -EINVAL and posix.geteuid() == 0:
            fd = lib.sys_open_tree(AT_FDCWD, path, flags)
            if fd >= 0 and posix.fstatvfs(fd).f_flag & (posix.ST_RDONLY | posix.ST_NODEV):
                posix.close(fd)
                fd = -EINVAL
        if fd < 0:
            below = fd == -EINVAL and not tree.recursive  # mount_namespaces(7)
            why = ": there are mounts below it, which only root of the host can leave out; use rbind" if below else ""
            raise SystemCallError(f"cannot open {tree.path}{why}", -fd, tree.pointer)
        return fd

    def _open_inside(self, tree: Tree, path: str, report: Report) -> int:
        """In the container's root, whose descriptor has come: a link of the image must not lead out of it."""
        fd: int = -report.value
        try:
            if report.value != EINVAL and posix.geteuid() == 0:
                name = path.encode("utf-8", "surrogateescape")
                fd = lib.sys_open_tree_of(self.child.pidfd, report.descriptor, name, _flags(tree), True)
        finally:
            posix.close(report.descriptor)
        if fd < 0:
            raise SystemCallError(f"cannot open {tree.path}", -fd, tree.pointer)
        return fd

    def _map_ids(self, tree: Tree, fd: int) -> None:
        assert tree.id_mapping
        uids, gids, recursive = tree.id_mapping
        error = lib.sys_mount_idmap(fd, recursive, self._namespace(uids, gids, tree.pointer))
        if error:
            why = " (does its filesystem have no id-mapped mounts?)" if error == -EINVAL else ""
            raise SystemCallError(f"cannot map the ids of {tree.path}{why}", -error, tree.pointer)

    def _namespace(self, uids: object, gids: object, pointer: str) -> int:
        """A descriptor of a user namespace with these mappings; without them the container's."""
        for known_uids, known_gids, fd in self.namespaces:
            if (known_uids, known_gids) == (uids, gids):
                return fd
        if uids:
            from oci_runtime.linux.user_namespace import namespace_with

            fd = namespace_with(uids, gids)  # type: ignore[arg-type]
        else:
            fd = self._of_child("ns/user", posix.O_RDONLY, pointer)
        self.namespaces.append((uids, gids, fd))
        return fd

    def _of_child(self, name: str, flags: int, pointer: str) -> int:
        path = f"/proc/{self.child.pid}/{name}"
        try:
            return posix.open(path, flags | posix.O_CLOEXEC)
        except OSError as error:
            raise SystemCallError(f"cannot open {path}", error.errno or 0, pointer) from error


def _flags(tree: Tree) -> int:
    return OPEN_TREE_CLONE | (AT_RECURSIVE if tree.recursive else 0) | (AT_SYMLINK_NOFOLLOW if tree.is_link else 0)
