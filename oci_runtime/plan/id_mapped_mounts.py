"""mounts/uidMappings and gidMappings, and crun's mappings in the option: id-mapped mounts, mount_setattr(2)."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from oci_runtime.plan.context import Context
    from oci_runtime.plan.mount_options import MountOptions
    from oci_runtime.spec.types import IDMapping, Mount

FORM = "must be idmap, or ridmap, or either with mappings as in idmap=uids=0-1000-10#10-2000-1;gids=0-1000-10"


def mapping_of(mount: Mount, options: MountOptions, context: Context) -> tuple[object, object, bool]:
    """(uidMappings, gidMappings, recursive). Both are None where the mount names none: those of the container's user
    namespace, made or joined."""
    recursive = options.id_map.startswith("ridmap")
    if "uidMappings" in mount:
        return mount["uidMappings"], mount.get("gidMappings"), recursive
    text = options.id_map.partition("=")[2]
    uids, gids = parse(text, *context.id_mappings) if text else (None, None)
    return uids, gids, recursive


def parse(text: str, uids: Sequence[IDMapping], gids: Sequence[IDMapping]) -> tuple[list[IDMapping], list[IDMapping]]:
    """The mappings in an option (crun(1), idmap mount options), where those of the container's user namespace are
    `uids` and `gids`. ValueError says what is wrong."""
    found: dict[str, list[IDMapping]] = {}
    for part in text.split(";"):
        name, _, ranges = part.partition("=")
        if name not in ("uids", "gids") or name in found:
            raise ValueError(FORM)
        mappings = uids if name == "uids" else gids
        found[name] = [_range(each, mappings) for each in ranges.split("#") if each]
    if not found.get("uids") or not found.get("gids"):
        raise ValueError("needs both uids and gids")
    return found["uids"], found["gids"]


def _range(text: str, mappings: Sequence[IDMapping]) -> IDMapping:
    """One of `first-host-size`; with a leading @ `host` is an id of the container's user namespace."""
    numbers = text.removeprefix("@").split("-")
    if len(numbers) != 3:
        raise ValueError(FORM)
    first, host, size = (_number(number) for number in numbers)
    if text[0] == "@":
        host = _host_id(host, mappings)
    if not size or first + size > 0xFFFFFFFF or host + size > 0xFFFFFFFF:
        raise ValueError("a range must have at least one id, and none beyond 4294967294")
    return {"containerID": first, "hostID": host, "size": size}


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise ValueError(FORM)
    return int(text)


def _host_id(identifier: int, mappings: Sequence[IDMapping]) -> int:
    for mapping in mappings:
        if mapping["containerID"] <= identifier < mapping["containerID"] + mapping["size"]:
            return mapping["hostID"] + identifier - mapping["containerID"]
    raise ValueError(f"id {identifier} of a range with @ is in none of the container's mappings")
