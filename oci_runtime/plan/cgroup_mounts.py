"""mounts of type cgroup: the container's own part of the hierarchies."""

from __future__ import annotations

from oci_runtime._shim import lib
from oci_runtime.paths import clean
from oci_runtime.plan.mount_options import NODEV, NOEXEC, NOSUID, RDONLY, REC, SLAVE, MountOptions
from oci_runtime.plan.mounts import open_tree, plan_more_propagation, plan_tree
from oci_runtime.plan.operations import Tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.linux.cgroups.mounts import ContainerMounts
    from oci_runtime.plan.context import Context
    from oci_runtime.plan.operations import Number, Plan
    from oci_runtime.spec.types import Mount

TMPFS_OPTIONS = ("mode=755",)


def plan_cgroup_mount(plan: Plan, mount: Mount, options: MountOptions, pointer: str, context: Context) -> None:
    """v1: a tmpfs with one directory a hierarchy. v2: the one tree."""
    destination = clean(mount["destination"])
    mounts = context.cgroup_mounts
    assert mounts
    # cgroups are the host's own: what the configuration does not ask for is not given, as by runc
    options.top[0] |= (NOSUID | NODEV | NOEXEC) & ~options.top[1]
    mounted = mounts.version == 2 and ("cgroup" in context.namespaces.new or not context.namespaces.has("user"))
    if mounts.version == 1:
        _plan_v1(plan, mounts, destination, options, pointer, context)
    elif mounted:
        data = tuple(options.data)
        propagation = options.propagation[0] if options.propagation else 0
        numbers = (len(data), options.attributes(), propagation, 0)
        plan.add(lib.OP_MOUNT, pointer, ("cgroup2", "cgroup", destination, data), numbers)
        plan_more_propagation(plan, destination, options, pointer)
    else:
        # a user namespace that does not own the cgroup namespace may not mount it
        tree = Tree(mounts.bind_source, True, pointer)
        plan_tree(plan, tree, destination, options, pointer, context)


def _plan_v1(
    plan: Plan, mounts: ContainerMounts, destination: str, options: MountOptions, pointer: str, context: Context
) -> None:
    attributes = options.attributes()
    # under a shared root, too: nobody has asked for what the container mounts there to show on the host
    slave = context.bind_propagation or SLAVE | REC
    strings = ("tmpfs", "tmpfs", destination, TMPFS_OPTIONS)
    plan.add(lib.OP_MOUNT, pointer, strings, (len(TMPFS_OPTIONS), attributes & ~RDONLY))
    for hierarchy in mounts.hierarchies:
        path = f"{destination}/{hierarchy.name}"
        if hierarchy.data:
            data = tuple(hierarchy.data.split(","))
            plan.add(lib.OP_MOUNT, pointer, ("cgroup", hierarchy.source, path, data), (len(data), attributes))
        else:
            tree = Tree(hierarchy.source, True, pointer)
            opened = open_tree(plan, tree, context)
            numbers: tuple[Number, ...] = (opened, *options.top, *options.recursive, 0, 0, slave)
            plan.add(lib.OP_BIND, pointer, (tree.path, None, path), numbers)
        for link in hierarchy.links:
            plan.add(lib.OP_SYMLINK, pointer, (hierarchy.name, f"{destination}/{link}"))
    for propagation in options.propagation:
        numbers_of_propagation = (0, 0, 0, 0, 0, propagation | REC)
        plan.add(lib.OP_MOUNT_ATTRIBUTES, pointer, (None, None, destination), numbers_of_propagation)
