"""mounts/uidMappings and gidMappings: id-mapped mounts, mount_setattr(2)."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.plan.context import Context
    from oci_runtime.plan.mount_options import MountOptions
    from oci_runtime.spec.types import Mount


def mapping_of(mount: Mount, options: MountOptions, context: Context) -> tuple[object, object, bool]:
    """(uidMappings, gidMappings, recursive); the container's own mappings where the mount names none."""
    uid = mount.get("uidMappings") or context.id_mappings[0]
    gid = mount.get("gidMappings") or context.id_mappings[1]
    return uid, gid, options.id_map == "ridmap"
