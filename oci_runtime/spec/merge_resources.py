"""What `update` makes of a container's resources. Pure; 0 of most limits and '' of a set are the same as absent."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from oci_runtime.spec.types import CPU, Memory, Resources

_ZERO_IS_ABSENT = {
    "blockIO": ("weight", "leafWeight"),
    "cpu": ("shares", "quota", "period", "realtimeRuntime", "realtimePeriod", "cpus", "mems"),
    "memory": ("limit", "reservation", "swap"),
    "network": ("classID",),
    "pids": (),
    "rdma": (),
    "unified": (),
}
#: What tells the elements of a list apart.
_IDENTITY = {
    "hugepageLimits": ("pageSize",),
    "priorities": ("name",),
    "throttleReadBpsDevice": ("major", "minor"),
    "throttleReadIOPSDevice": ("major", "minor"),
    "throttleWriteBpsDevice": ("major", "minor"),
    "throttleWriteIOPSDevice": ("major", "minor"),
    "weightDevice": ("major", "minor"),
}
#: It asks how to update, and what no update changes.
_NOT_KEPT = ("checkBeforeUpdate", "kernel", "kernelTCP")


def completed(update: Resources, present: Resources) -> Resources:
    """`update` and of what is `present` that without which it has no meaning.

    These are quota and period, which cgroup v2 has in one file, and memory with swap, whose sum is limited.
    """
    result: Resources = {**update}
    if "cpu" in update:
        result["cpu"] = _with_quota_and_period(update["cpu"], present.get("cpu", {}))
    if "memory" in update:
        result["memory"] = _with_limit_and_swap(update["memory"], present.get("memory", {}))
    return result


def _with_quota_and_period(update: CPU, present: CPU) -> CPU:
    result: CPU = {**update}
    if update.get("quota") and not update.get("period") and present.get("period"):
        result["period"] = present["period"]
    if update.get("period") and not update.get("quota") and present.get("quota"):
        result["quota"] = present["quota"]
    return result


def _with_limit_and_swap(update: Memory, present: Memory) -> Memory:
    result: Memory = {**update}
    if update.get("limit", 0) > 0 and not update.get("swap") and present.get("swap"):
        result["swap"] = present["swap"]
    if update.get("swap") and not update.get("limit") and present.get("limit"):
        result["limit"] = present["limit"]
    return result


def merged(present: Resources, update: Resources) -> Resources:
    """The resources in force when `update` has been applied to those `present`; devices stay what they are."""
    result: dict[str, Any] = {**present}
    for section, changes in update.items():
        if section == "hugepageLimits":
            result[section] = _merged_list(section, result.get(section, ()), changes)  # type: ignore[arg-type]
        elif section in _ZERO_IS_ABSENT:
            result[section] = _merged_section(section, result.get(section, {}), changes)  # type: ignore[arg-type]
    memory, cpu = update.get("memory", {}), update.get("cpu", {})
    if memory.get("limit") == -1 and not memory.get("swap"):
        result["memory"].pop("swap", None)  # unlimited too
    if "idle" in cpu and not cpu.get("shares"):
        result["cpu"].pop("shares", None)  # the kernel sets those of an idle cgroup, or the default
    return result  # type: ignore[return-value]


def _merged_section(name: str, present: Mapping[str, Any], update: Mapping[str, Any]) -> dict[str, Any]:
    result = {**present}
    for key, value in update.items():
        if key in _IDENTITY:
            result[key] = _merged_list(key, present.get(key, ()), value)
        elif name == "rdma":
            result[key] = {**present.get(key, {}), **value}
        elif key not in _NOT_KEPT and (value or key not in _ZERO_IS_ABSENT[name]):
            result[key] = value
    return result


def _merged_list(
    name: str, present: Sequence[Mapping[str, Any]], update: Sequence[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """An element of `update` adds to the present one of the same identity, or is new."""
    result = [*present]
    for element in update:
        identity = [element[key] for key in _IDENTITY[name]]
        for index in range(len(result) - 1, -1, -1):  # of duplicates the last one counts
            if [result[index][key] for key in _IDENTITY[name]] == identity:
                result[index] = {**result[index], **element}
                break
        else:
            result.append(element)
    return result
