"""To whom a container's cgroup is delegated (Runtime Spec, config-linux.md, Cgroup ownership)."""

from __future__ import annotations

import posix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.plan.namespaces import Namespaces
    from oci_runtime.spec.types import Config, Mount


def cgroup_owner(config: Config, namespaces: Namespaces) -> int | None:
    """The host uid of process.user.uid, if the process, which has a cgroup namespace of its own, may write to its mount
    of the cgroup; else None."""
    if not any(map(_is_writable_cgroup, config.get("mounts", ()))):
        return None
    if posix.geteuid() != 0:
        return None  # it is his who makes it, and he can give nothing away
    uid = config["process"].get("user", {}).get("uid", 0)
    if not namespaces.has("user"):
        return uid
    for mapping in config.get("linux", {}).get("uidMappings", ()):
        if 0 <= uid - mapping["containerID"] < mapping["size"]:
            return mapping["hostID"] + uid - mapping["containerID"]
    return None


def _is_writable_cgroup(mount: Mount) -> bool:
    return (
        mount.get("source") == "cgroup"
        and mount["destination"] == "/sys/fs/cgroup"
        and "ro" not in mount.get("options", ())
    )
