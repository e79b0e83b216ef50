"""What the kernel tells of a container's resctrl groups, in the shape of "intel_rdt" in runc's `events --stats`.

Files: the kernel's filesystems/resctrl.
"""

from __future__ import annotations

import posix
from errno import ENOENT

from oci_runtime.linux.resctrl import read_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from oci_runtime.linux.resctrl import Groups

_L3 = ("cbm_mask", "min_cbm_bits", "num_closids")
_MB = ("bandwidth_gran", "delay_linear", "min_bandwidth", "num_closids")
_BANDWIDTHS = ("mbm_total_bytes", "mbm_local_bytes")


def collect(groups: Groups, mount: str) -> dict[str, Any]:
    """All there is to know; `mount` is the root of the filesystem. Raises OSError."""
    root, own = _schemata(mount), _schemata(groups["group"])
    found: dict[str, Any] = {}
    if information := _information(mount, "L3", _L3):
        found["l3_cache_info"] = information
        found["l3_cache_schema_root"], found["l3_cache_schema"] = _line(root, "L3"), _line(own, "L3")
    if information := _information(mount, "MB", _MB):
        found["mem_bw_info"] = information
        found["mem_bw_schema_root"], found["mem_bw_schema"] = _line(root, "MB"), _line(own, "MB")
    found["schemata"] = own
    features = _optional(mount, "info/L3_MON/mon_features").split()
    monitored = groups["monitoring"] or groups["group"]
    if any(feature in features for feature in _BANDWIDTHS):
        found["mbm_stats"] = [_counters(node, _BANDWIDTHS, features) for node in _nodes(monitored)]
    if "llc_occupancy" in features:
        found["cmt_stats"] = [_counters(node, ("llc_occupancy",), features) for node in _nodes(monitored)]
    return {name: value for name, value in found.items() if value or name.endswith("_stats")}


def _schemata(group: str) -> list[str]:
    return [line.strip() for line in read_file(group, "schemata").splitlines()]


def _line(schemata: list[str], resource: str) -> str:
    """The schema of a resource; with code and data prioritised there are two, of which runc too shows the last."""
    return next((line for line in reversed(schemata) if resource in line), "")


def _information(mount: str, resource: str, files: tuple[str, ...]) -> dict[str, int | str]:
    """Empty when the machine cannot control that resource."""
    found: dict[str, int | str] = {}
    for file in files:
        text = _optional(mount, f"info/{resource}/{file}").strip()
        if value := text if file == "cbm_mask" else int(text or 0):
            found[file] = value
    return found


def _nodes(group: str) -> list[str]:
    return [f"{group}/mon_data/{name}" for name in sorted(posix.listdir(f"{group}/mon_data"))]


def _counters(node: str, files: tuple[str, ...], features: list[str]) -> dict[str, int]:
    """0 for what is not counted, or cannot be just now."""
    found = {}
    for file in files:
        text = read_file(node, file).strip() if file in features else ""
        found[file] = int(text) if text.isdecimal() else 0  # "Unavailable" and "Error" are words of the kernel's
    return found


def _optional(directory: str, file: str) -> str:
    try:
        return read_file(directory, file)
    except OSError as error:
        if error.errno != ENOENT:
            raise
        return ""
