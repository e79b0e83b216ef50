"""mounts: in the configuration's order, each made detached and moved to where it belongs."""

from __future__ import annotations

from oci_runtime._shim import lib
from oci_runtime.paths import clean, join
from oci_runtime.plan.mount_options import PRIVATE, RDONLY, REC, SLAVE, MountOptions
from oci_runtime.plan.operations import Tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.plan.context import Context
    from oci_runtime.plan.operations import Plan
    from oci_runtime.spec.types import Config, Mount

# Other destinations inside procfs would let a container shadow what LSM labels and settings are written through
# (CVE-2019-16884). These are what LXCFS and its like provide.
ALLOWED_IN_PROC = (
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
    "/proc/loadavg",
    "/proc/slabinfo",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/sys/crypto/fips_enabled",
    "/proc/net/dev",
)


def plan_mounts(plan: Plan, config: Config, context: Context) -> None:
    """All mounts. A tmpfs stays writable until the end, since later mounts need directories in it: see read_only()."""
    for i, mount in enumerate(config.get("mounts", ())):
        pointer = f"/mounts/{i}"
        options = MountOptions(mount.get("options", ()))
        if options.remount:
            _plan_remount(plan, mount, options, pointer)
        elif options.bind or mount.get("type") == "bind":
            _plan_bind(plan, mount, options, pointer, context)
        elif mount.get("type") in ("cgroup", "cgroup2"):
            from oci_runtime.plan.cgroup_mounts import plan_cgroup_mount

            plan_cgroup_mount(plan, mount, options, pointer, context)
        else:
            plan_filesystem(plan, mount, options, pointer, context)


def plan_read_only_tmpfs(plan: Plan, config: Config, context: Context) -> None:
    """What plan_mounts() left writable: each tmpfs, that of the v1 cgroups too, which no later mount covers."""
    mounts = config.get("mounts", ())
    for i, mount in enumerate(mounts):
        kind = mount.get("type", "")
        if kind != "tmpfs" and not (kind.startswith("cgroup") and _is_v1(context)):
            continue
        words = mount.get("options", ())
        if "ro" not in words and "rro" not in words:
            continue
        options = MountOptions(words)
        if options.attributes() & RDONLY and not options.bind and not options.remount:
            path = clean(mount["destination"])
            if not any(_covers(later, path) for later in mounts[i + 1 :]):
                plan.add(lib.OP_MOUNT_ATTRIBUTES, f"/mounts/{i}/options", (None, None, path), (0, RDONLY))


def _covers(mount: Mount, path: str) -> bool:
    """Whether the mount, made later, leaves nothing to be seen of one at `path`."""
    destination = clean(mount["destination"])
    above = path == destination or destination == "/" or path.startswith(f"{destination}/")
    return above and "remount" not in mount.get("options", ())


def _is_v1(context: Context) -> bool:
    return context.cgroup_mounts is not None and context.cgroup_mounts.version == 1


def proc_flag(destination: str) -> int:
    """Whether the destination may lie in procfs."""
    return lib.MOUNT_OVER_PROC if destination == "/proc" or destination in ALLOWED_IN_PROC else 0


def plan_filesystem(plan: Plan, mount: Mount, options: MountOptions, pointer: str, context: Context) -> None:
    """A new filesystem: proc, tmpfs, devpts, overlay, …"""
    kind = mount.get("type", "")
    destination = clean(mount["destination"])
    flags = proc_flag(destination)
    attributes = options.attributes()
    data = options.superblock + options.data
    source = mount.get("source", "")
    if kind == "tmpfs":
        attributes &= ~RDONLY
        if not any(option.startswith("mode=") for option in data):
            flags |= lib.MOUNT_KEEP_MODE
        if options.copy_up:
            flags |= lib.MOUNT_COPY_UP
    elif kind in ("proc", "sysfs"):
        flags |= lib.MOUNT_NO_SYMLINK
    elif attributes & RDONLY and source.startswith("/"):
        data.append("ro")  # a block device: its filesystem must not write either
    if context.mount_label and kind not in ("proc", "sysfs"):
        data.append(context.mount_label)
    propagation = options.propagation[0] if options.propagation else 0
    plan.add(
        lib.OP_MOUNT, pointer, (kind, source, destination, tuple(data)), (len(data), attributes, propagation, flags)
    )
    plan_more_propagation(plan, destination, options, pointer)


def _plan_bind(plan: Plan, mount: Mount, options: MountOptions, pointer: str, context: Context) -> None:
    destination = clean(mount["destination"])
    tree = Tree(join(context.bundle, mount.get("source", "")), options.bind == "rbind", f"{pointer}/source")
    tree.must_be_proc = destination == "/proc"
    if options.of_bind:
        tree.is_link = "src-nofollow" in options.of_bind or "copy-symlink" in options.of_bind
    if options.data:
        context.options_left_out.append((", ".join(options.data), f"{pointer}/options"))
    if options.id_map or "uidMappings" in mount:
        from oci_runtime.plan.id_mapped_mounts import mapping_of

        tree.id_mapping = mapping_of(mount, options, context)
    plan_tree(plan, tree, destination, options, pointer, context)


def plan_tree(plan: Plan, tree: Tree, destination: str, options: MountOptions, pointer: str, context: Context) -> None:
    """Attaches a tree of the host. Its mounts are peers of the host's until `bind_propagation` makes them slaves."""
    propagation = options.propagation[0] if options.propagation else 0
    flags = proc_flag(destination)
    if options.flagged:
        flags |= lib.MOUNT_PLAIN
    for option in options.of_bind:
        flags |= lib.MOUNT_OVER_LINK if option == "dest-nofollow" else 0
        flags |= lib.MOUNT_COPY_LINK if option == "copy-symlink" else 0
    attributes = (*options.bind_attributes(), *options.recursive, propagation, flags, context.bind_propagation)
    opened = open_tree(plan, tree, context)
    plan.add(lib.OP_BIND, pointer, (tree.path, None, destination), (opened, *attributes))
    plan_more_propagation(plan, destination, options, pointer)


def open_tree(plan: Plan, tree: Tree, context: Context) -> Tree | int:
    """Has a tree opened, and returns OP_BIND's first number: by init in its turn, for then it shows what was mounted
    before, and mountinfo has the mounts in their order; or by the runtime, where init would see another one by that
    path, or where the tree is to stay a peer of the host's."""
    inside = _path_in_root(tree.path, context)
    in_turn = "mount" in context.namespaces.new and context.bind_propagation
    if in_turn and not tree.id_mapping:
        in_turn = not tree.path.startswith(("/proc/", "/dev/"))
    if tree.must_be_proc or not (in_turn or inside):
        plan.needs(tree)
        return tree
    help_wanted = lib.TREE_MAPPED if tree.id_mapping else lib.TREE_HELPED if context.namespaces.has("user") else 0
    numbers = (int(tree.recursive), int(tree.is_link), help_wanted, int(bool(inside)), tree)
    plan.add(lib.OP_OPEN_TREE, tree.pointer, (inside or tree.path,), numbers)
    return -1


def _path_in_root(path: str, context: Context) -> str:
    """The path inside the container's root that a path of the host stands for, if by their letters it does; else ''.

    The mounts that the configuration lists before are found there, and no symbolic link of the image leads out of it.
    """
    rootfs = context.rootfs
    if rootfs == "/" or not path.startswith(rootfs):
        return ""  # the host's own root: nothing there was made for the container
    path = clean(path)
    if path == rootfs:
        return "/"
    return path[len(rootfs) :] if path.startswith(f"{rootfs}/") else ""


def _plan_remount(plan: Plan, mount: Mount, options: MountOptions, pointer: str) -> None:
    """Flags of the mount; those that are not named stay, as with mount(8). Without bind, options of its filesystem."""
    data = () if options.bind else (*options.superblock, *options.data)
    if data:
        plan.add(lib.OP_RECONFIGURE, pointer, (None, None, clean(mount["destination"]), data), (len(data),))
    propagation = options.propagation[0] if options.propagation else 0
    numbers = (0, *options.top, *options.recursive, propagation)
    plan.add(lib.OP_MOUNT_ATTRIBUTES, pointer, (None, None, clean(mount["destination"])), numbers)


def plan_more_propagation(plan: Plan, destination: str, options: MountOptions, pointer: str) -> None:
    for propagation in options.propagation[1:]:
        plan.add(lib.OP_MOUNT_ATTRIBUTES, pointer, (None, None, destination), (0, 0, 0, 0, 0, propagation))


def bind_propagation(rootfs_propagation: str | None, new_user_namespace: bool) -> int:
    """What a tree of the host becomes first (MS_ flags).

    A slave: the host's mounts show, the container's don't. Only a shared root lets them be peers, and never under a
    new user namespace, whose owner is not trusted with the host's mounts.
    """
    if rootfs_propagation in ("shared", "rshared") and not new_user_namespace:
        return 0
    if rootfs_propagation in ("private", "rprivate"):
        return PRIVATE | REC
    return SLAVE | REC
