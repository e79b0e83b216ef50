"""root, linux.rootfsPropagation: the container's root filesystem and the step into it."""

from __future__ import annotations

from oci_runtime._shim import lib
from oci_runtime.paths import clean, join
from oci_runtime.plan.mount_options import PRIVATE, PROPAGATION, RDONLY, REC, SLAVE
from oci_runtime.plan.operations import Directory, Tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.plan.context import Context
    from oci_runtime.plan.operations import Plan
    from oci_runtime.spec.types import Config


def rootfs_path(config: Config, bundle: str) -> str:
    """The root filesystem's path on the host (config.md: relative to the bundle)."""
    return join(bundle, config["root"]["path"])


def plan_root(plan: Plan, config: Config, context: Context) -> None:
    """Makes the root filesystem known to init. It is mounted where there is to be any mount, in the runtime's mount
    namespace if the container has none of its own."""
    path = rootfs_path(config, context.bundle)
    context.rootfs = clean(path)
    own = context.namespaces.has("mount")
    context.mounts = own or bool(config.get("mounts") or config["root"].get("readonly"))
    if not context.mounts:
        directory = Directory(path, "/root/path")
        plan.needs(directory)
        plan.add(lib.OP_ROOTFS_DIRECTORY, "/root/path", (), (directory,))
        return
    tree = Tree(path, True, "/root/path")
    plan.needs(tree)
    if own:
        plan.add(lib.OP_HOST_PROPAGATION, "/linux/rootfsPropagation", (), (SLAVE | REC,))
    # pivot_root(2) wants no shared root; "shared" means a new peer group, without the host, and comes later
    propagation = context.bind_propagation or PRIVATE
    plan.add(
        lib.OP_ROOTFS, "/root/path", (path,), (tree, propagation & ~REC, int(propagation & REC != 0), int(not own))
    )


def plan_enter_root(plan: Plan, config: Config, context: Context) -> None:
    """The change of root, and then linux.rootfsPropagation: an unbindable root would let no path be made read-only.

    Private or slave it has been from the start (`bind_propagation`), and mounts that were made shared since stay it."""
    if not context.namespaces.has("mount"):
        code = lib.OP_CHROOT
    elif context.no_pivot:
        code = lib.OP_MOVE_ROOT
    else:
        code = lib.OP_PIVOT_ROOT
    plan.add(code, "/root/path")
    propagation = config.get("linux", {}).get("rootfsPropagation")
    kind = PROPAGATION[propagation] if propagation else 0
    if kind and not kind & (PRIVATE | SLAVE) and context.mounts:
        numbers = (0, 0, 0, 0, 0, kind)
        plan.add(lib.OP_MOUNT_ATTRIBUTES, "/linux/rootfsPropagation", (None, None, "/"), numbers)


def plan_root_attributes(plan: Plan, config: Config, context: Context) -> None:
    """root.readonly, when nothing needs to be written any more."""
    if config["root"].get("readonly"):
        plan.add(lib.OP_MOUNT_ATTRIBUTES, "/root/readonly", (None, None, "/"), (0, RDONLY))
