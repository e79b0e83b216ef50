"""What is different when the runtime is not root of the host: an ordinary user, or root of a user namespace."""

from __future__ import annotations

from errno import EACCES, EPERM, EROFS

from oci_runtime.errors import Problem, PyociError, SpecError, SystemCallError
from oci_runtime.spec.validate_ids import is_mapped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from oci_runtime.linux.cgroups.manager import Manager
    from oci_runtime.linux.cgroups.mounts import ContainerMounts
    from oci_runtime.plan.namespaces import Namespaces
    from oci_runtime.spec.types import Config, Linux, Mount, Resources
    from oci_runtime.state.store import Container

DENIED = (EACCES, EPERM, EROFS)


def check_config(config: Config, text: bytes, bundle: str) -> None:
    """SpecError for what an ordinary user cannot have, whatever subordinate ids and cgroups are his."""
    problems: list[Problem] = []
    linux = config.get("linux", {})
    if not any(namespace["type"] == "user" for namespace in linux.get("namespaces", ())):
        why = 'must have a "user" namespace, as you are not root; see `pyoci spec --rootless`'
        problems.append(Problem("/linux/namespaces" if "namespaces" in linux else "", why))
    if linux.get("netDevices"):
        problems.append(Problem("/linux/netDevices", "only root of the host can move network devices"))
    for i, mount in enumerate(config.get("mounts", ())):
        _check_mount(mount, f"/mounts/{i}", linux, problems)
    if problems:
        from oci_runtime.spec.explain import spec_error

        raise spec_error(problems, config, text.decode(), f"{bundle}/config.json")


def _check_mount(mount: Mount, at: str, linux: Linux, problems: list[Problem]) -> None:
    options = mount.get("options", [])
    if "uidMappings" in mount or "idmap" in options or "ridmap" in options:
        problems.append(Problem(at, "only root of the host can map the ids of a mount"))
    if mount.get("type") == "bind" or "bind" in options or "rbind" in options:
        return
    for i, option in enumerate(options):
        name, _, value = option.partition("=")
        mappings = linux.get("uidMappings", []) if name == "uid" else linux.get("gidMappings", [])
        if name in ("uid", "gid") and mappings and value.isdecimal() and not is_mapped(int(value), mappings):
            problems.append(Problem(f"{at}/options/{i}", f"must be an id that /linux/{name}Mappings maps"))


def create_cgroups(manager: Manager, container: Container, owner: int | None) -> Manager | None:
    """Makes those that the runtime may make, and records them; None when there are none, and the container stays in the
    runtime's own. For a container without cgroupsPath, which names cgroups that it must have."""
    try:
        manager.create_permitted(owner)
        state = manager.to_state()
    except SystemCallError as error:
        if error.errno not in DENIED:
            raise
        state = {"cgroups": []}
    if state != container.record["cgroups"]:
        container.record["cgroups"] = state if state["cgroups"] else None
        container.save()
    return manager if state["cgroups"] else None


def check_without_cgroups(linux: Linux, namespaces: Namespaces, warn: Callable[[str], None]) -> None:
    """SpecError for limits that a container without cgroups would not have."""
    wanted = [name for name, value in linux.get("resources", {}).items() if value and name != "devices"]
    if wanted:
        why = (
            "cannot be had, as the runtime may not make a cgroup here; "
            "must be left out, or /linux/cgroupsPath name a cgroup below one that is delegated to you"
        )
        raise SpecError(f"/linux/resources: {why}", [Problem(f"/linux/resources/{name}", why) for name in wanted])
    if "pid" not in namespaces.new:
        warn("without a cgroup and a pid namespace of its own the container's processes cannot all be killed")


def apply_devices(manager: Manager, resources: Resources | None) -> None:
    """The device rules, where the kernel takes them. Else as in runc: nobody here can make a device either."""
    try:
        manager.apply_devices(resources)
    except SpecError:
        raise
    except SystemCallError as error:
        if error.errno not in DENIED:
            raise
    except PyociError:
        pass  # no cgroup of the devices controller


def cgroup_mounts(manager: Manager | None, container_id: str, private_namespace: bool) -> ContainerMounts:
    """What a mount of type cgroup becomes: the container's cgroups, and the runtime's where it has none."""
    from oci_runtime.linux.cgroups import mounts

    own = mounts.for_own(container_id, private_namespace)
    if manager is None:
        return own
    found = manager.mounts_for_container(private_namespace)
    if found.version == 2:
        return found
    names = [hierarchy.name for hierarchy in found.hierarchies]
    others = [hierarchy for hierarchy in own.hierarchies if hierarchy.name not in names]
    return mounts.ContainerMounts(1, (*found.hierarchies, *others), "")
