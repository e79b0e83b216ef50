"""What a mount of type cgroup in config.json becomes, as data for the plan (runc: mountCgroupV1, mountCgroupV2)."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.linux.cgroups.cgroup import Cgroup


class HierarchyMount:
    """One directory inside of the tmpfs that a v1 "cgroup" mount is.

    `name` is the directory. With `data` a new mount of filesystem type "cgroup", `source` its source and `data` its
    options; without, a recursive bind mount of the host's directory `source`. `links` are symbolic links to be made
    beside it which point to `name` (cpu -> cpu,cpuacct).
    """

    __slots__ = ("data", "links", "name", "source")

    def __init__(self, name: str, source: str, data: str, links: tuple[str, ...]) -> None:
        self.name = name
        self.source = source
        self.data = data
        self.links = links


class ContainerMounts:
    """`version` 1: a tmpfs (mode=755) at the destination, with `hierarchies`.

    `version` 2: a mount of type cgroup2; if that fails with EPERM or EBUSY a bind mount of `bind_source` (a user
    namespace without a cgroup namespace of its own may not mount cgroup2).
    """

    __slots__ = ("bind_source", "hierarchies", "version")

    def __init__(self, version: int, hierarchies: tuple[HierarchyMount, ...], bind_source: str) -> None:
        self.version = version
        self.hierarchies = hierarchies
        self.bind_source = bind_source


def for_v1(cgroups: list[Cgroup], private_namespace: bool) -> ContainerMounts:
    """The v1 hierarchies; as in runc the v2 tree of a hybrid host stays outside."""
    found = []
    for cgroup in cgroups:
        name = cgroup.mount.rpartition("/")[2]
        links = tuple(part for part in cgroup.controllers if part != name) if len(cgroup.controllers) > 1 else ()
        if private_namespace:
            source = "systemd" if cgroup.controllers == ("name=systemd",) else "cgroup"
            found.append(HierarchyMount(name, source, ",".join(cgroup.controllers), links))
        else:
            found.append(HierarchyMount(name, str(cgroup), "", links))
    return ContainerMounts(1, tuple(found), "")


def for_v2(cgroup: Cgroup, private_namespace: bool) -> ContainerMounts:
    """The v2 tree, or where that cannot be mounted the container's part of it or all of the host's."""
    return ContainerMounts(2, (), str(cgroup) if private_namespace else cgroup.mount)


def for_own(container_id: str, private_namespace: bool) -> ContainerMounts:
    """What a container sees that stays in the cgroups of the runtime."""
    from oci_runtime.linux.cgroups import layout

    cgroups = layout.find(None, container_id)
    for cgroup in cgroups:
        cgroup.path = cgroup.path.rpartition("/")[0]
    if cgroups[0].version == 2:
        return for_v2(cgroups[0], private_namespace)
    return for_v1([cgroup for cgroup in cgroups if cgroup.version == 1], private_namespace)
