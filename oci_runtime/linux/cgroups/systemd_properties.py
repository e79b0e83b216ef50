"""linux.resources and annotations as properties of a systemd unit. Pure but for what it is given to ask.

Whatever has a property is given to systemd too, as otherwise its next reload may set the file of the cgroup back.
Names and types: org.freedesktop.systemd1(5), systemd.resource-control(5). What runc's documentation maps is here too.
"""

from __future__ import annotations

from oci_runtime.linux.cgroups import devices
from oci_runtime.linux.cgroups.cgroup import refuse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from oci_runtime.spec.types import CPU, BlockIO, Memory, Resources

INFINITY = 0xFFFFFFFFFFFFFFFF  # as systemd writes "no limit"
# Who may set annotations must not draw other processes into the unit, to die with it, or move it elsewhere.
_NOT_BY_ANNOTATION = ("PIDs", "PIDFDs", "Slice", "Delegate", "Scope")
_DEFAULT_PERIOD = 100000  # µs
_PERCENT = 10000  # µs of a second: systemd has whole percents of a CPU
_MAX_CPUSET = 8192  # the kernel's own limit, CONFIG_NR_CPUS

# the first version of systemd that has it
_IDLE_VERSION = 252
_OOM_POLICY_VERSION = 253
_ZSWAP_VERSION = 253

_UNIFIED_BYTES = {
    "memory.high": "MemoryHigh",
    "memory.low": "MemoryLow",
    "memory.max": "MemoryMax",
    "memory.min": "MemoryMin",
    "memory.swap.max": "MemorySwapMax",
    "memory.zswap.max": "MemoryZSwapMax",
    "pids.max": "TasksMax",
}


class Property:
    """One property: `signature` is the type of its D-Bus value, which has the form that Bus.call() takes.

    `pointer` is the JSON pointer of the annotation that asks for it.
    """

    __slots__ = ("name", "pointer", "signature", "value")

    def __init__(self, name: str, signature: str, value: Any, pointer: str = "") -> None:
        self.name = name
        self.signature = signature
        self.value = value
        self.pointer = pointer

    def __repr__(self) -> str:
        return f"{self.name}={self.signature} {self.value!r}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Property) and repr(self) == repr(other)

    __hash__ = None  # type: ignore[assignment]


def rounded(resources: Resources) -> Resources:
    """The resources with the CPU quota that systemd can express, whole percents of a CPU, rounded up as in runc.

    The same must be written to the cgroup, or the next reload would change it.
    """
    cpu = resources.get("cpu") or {}
    quota, period = cpu.get("quota") or 0, cpu.get("period") or _DEFAULT_PERIOD
    if quota <= 0 or quota * 1000000 // period % _PERCENT == 0:
        return resources
    return {**resources, "cpu": {**cpu, "quota": _quota_per_second(quota, period) * period // 1000000}}


def _quota_per_second(quota: int, period: int) -> int:
    """µs of CPU time in each second, whole percents."""
    return -(-(quota * 1000000 // period) // _PERCENT) * _PERCENT


def for_v2(resources: Resources, pointer: str, version: Callable[[], int], *, bfq: bool = False) -> list[Property]:
    """The properties for pure v2. `version` tells that of systemd. SpecError for what is refused.

    `bfq`: the weight of block I/O is that of the BFQ scheduler, which systemd computes from IOWeight.
    """
    found: list[Property] = []
    if memory := resources.get("memory"):
        _memory_v2(found, memory, pointer + "/memory")
    if cpu := resources.get("cpu"):
        _cpu_v2(found, cpu, version)
        _cpuset(found, cpu, pointer + "/cpu")
    _tasks_max(found, resources)
    if block_io := resources.get("blockIO"):
        _io(found, block_io, bfq)
    unified = resources.get("unified") or {}
    for key, value in unified.items():
        _unified(found, key, value.strip(), f"{pointer}/unified/{key}", unified, version)
    return found


def for_v1(resources: Resources, pointer: str) -> list[Property]:
    """The properties for v1, without those of devices. SpecError for what is refused."""
    found: list[Property] = []
    if limit := (resources.get("memory") or {}).get("limit"):
        found.append(_limit("MemoryLimit", limit))
    if cpu := resources.get("cpu"):
        if shares := cpu.get("shares"):
            found.append(Property("CPUShares", "t", shares))
        _quota(found, cpu.get("quota") or 0, cpu.get("period") or 0)
        _cpuset(found, cpu, pointer + "/cpu")
    _tasks_max(found, resources)
    if block_io := resources.get("blockIO"):
        if weight := block_io.get("weight"):
            found.append(Property("BlockIOWeight", "t", weight))
        weights = [
            (_node(entry), entry["weight"]) for entry in block_io.get("weightDevice") or () if entry.get("weight")
        ]
        if weights:
            found.append(Property("BlockIODeviceWeight", "a(st)", weights))
        _throttle(found, block_io, "throttleReadBpsDevice", "BlockIOReadBandwidth")
        _throttle(found, block_io, "throttleWriteBpsDevice", "BlockIOWriteBandwidth")
    return found


def _limit(name: str, value: int) -> Property:
    return Property(name, "t", INFINITY if value < 0 else value)


def _memory_v2(found: list[Property], memory: Memory, pointer: str) -> None:
    from oci_runtime.linux.cgroups.limits_v2 import swap_to_v2

    limit = memory.get("limit") or 0
    if limit:
        found.append(_limit("MemoryMax", limit))
    if reservation := memory.get("reservation"):
        found.append(_limit("MemoryLow", reservation))
    swap = swap_to_v2(memory.get("swap") or 0, limit, pointer)
    if swap is not None:
        found.append(Property("MemorySwapMax", "t", INFINITY if swap == "max" else int(swap)))


def _cpu_v2(found: list[Property], cpu: CPU, version: Callable[[], int]) -> None:
    if cpu.get("idle") == 1 and version() >= _IDLE_VERSION:
        found.append(Property("CPUWeight", "t", 0))  # systemd's word for idle
    elif shares := cpu.get("shares"):
        from oci_runtime.linux.cgroups.limits_v2 import shares_to_weight

        found.append(Property("CPUWeight", "t", shares_to_weight(shares)))
    _quota(found, cpu.get("quota") or 0, cpu.get("period") or 0)


def _quota(found: list[Property], quota: int, period: int) -> None:
    if period:
        found.append(Property("CPUQuotaPeriodUSec", "t", period))
    if quota or period:
        per_second = _quota_per_second(quota, period or _DEFAULT_PERIOD) if quota > 0 else INFINITY
        found.append(Property("CPUQuotaPerSecUSec", "t", per_second))


def _cpuset(found: list[Property], cpu: CPU, pointer: str) -> None:
    if cpus := cpu.get("cpus"):
        found.append(Property("AllowedCPUs", "ay", bit_mask(cpus, pointer + "/cpus")))
    if mems := cpu.get("mems"):
        found.append(Property("AllowedMemoryNodes", "ay", bit_mask(mems, pointer + "/mems")))


def bit_mask(text: str, pointer: str) -> bytes:
    """The set that a list such as 0-2,7 names, bit N of the bytes for number N. SpecError."""
    mask = 0
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first and not dash:
            continue
        last = last if dash else first
        if not (_is_number(first) and _is_number(last)) or not int(first) <= int(last) < _MAX_CPUSET:
            raise refuse(pointer, f"{text!r} is no list of numbers, such as 0-2,7")
        mask |= (1 << int(last) + 1) - (1 << int(first))
    if not mask:
        raise refuse(pointer, f"{text!r} names nothing; valid is a list of numbers, such as 0-2,7")
    return mask.to_bytes((mask.bit_length() + 7) // 8, "little")


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 6


def _tasks_max(found: list[Property], resources: Resources) -> None:
    limit = resources.get("pids", {}).get("limit")
    if limit is not None:
        found.append(_limit("TasksMax", limit or 1))  # systemd takes no 0; 1 is what limits_v1.pids_max() makes of it


def _io(found: list[Property], block_io: BlockIO, bfq: bool) -> None:
    if weight := block_io.get("weight"):
        found.append(Property("IOWeight", "t", io_weight(weight, bfq)))
    weights = [
        (_node(entry), io_weight(entry["weight"], bfq))
        for entry in block_io.get("weightDevice") or ()
        if entry.get("weight")
    ]
    if weights:
        found.append(Property("IODeviceWeight", "a(st)", weights))
    _throttle(found, block_io, "throttleReadBpsDevice", "IOReadBandwidthMax")
    _throttle(found, block_io, "throttleWriteBpsDevice", "IOWriteBandwidthMax")
    _throttle(found, block_io, "throttleReadIOPSDevice", "IOReadIOPSMax")
    _throttle(found, block_io, "throttleWriteIOPSDevice", "IOWriteIOPSMax")


def io_weight(weight: int, bfq: bool) -> int:
    """IOWeight for blockIO.weight (10 to 1000): what limits_v2 writes, or what systemd makes BFQ's weight of."""
    if not bfq:
        return 1 + (weight - 10) * 9999 // 990
    return weight if weight <= 100 else 100 + (weight - 100) * 11


def _throttle(found: list[Property], block_io: BlockIO, name: str, target: str) -> None:
    throttles: list[Any] = block_io.get(name) or []  # type: ignore[assignment]
    limits = [(_node(entry), entry.get("rate", 0) or INFINITY) for entry in throttles]
    if limits:
        found.append(Property(target, "a(st)", limits))


def _node(entry: Mapping[str, Any]) -> str:
    return f"/dev/block/{entry['major']}:{entry['minor']}"


def _unified(
    found: list[Property], key: str, value: str, pointer: str, unified: Mapping[str, str], version: Callable[[], int]
) -> None:
    """Those files that have a property; the others, and what no property can express, are only written."""
    if key == "cpu.max":
        _unified_cpu_max(found, value)
    elif key == "cpu.idle":
        if value == "1" and version() >= _IDLE_VERSION:
            found.append(Property("CPUWeight", "t", 0))
    elif key == "cpu.weight":
        if _is_count(value) and unified.get("cpu.idle", "0").strip() == "0":
            found.append(Property("CPUWeight", "t", int(value)))
    elif key == "io.weight":
        weight = value.removeprefix("default ").strip()
        if _is_count(weight):
            found.append(Property("IOWeight", "t", int(weight)))
    elif key in ("cpuset.cpus", "cpuset.mems"):
        if value:
            name = "AllowedCPUs" if key == "cpuset.cpus" else "AllowedMemoryNodes"
            found.append(Property(name, "ay", bit_mask(value, pointer)))
    elif key in _UNIFIED_BYTES and (key != "memory.zswap.max" or version() >= _ZSWAP_VERSION):
        _unified_limit(found, key, value)


def _unified_cpu_max(found: list[Property], value: str) -> None:
    quota, _, period = value.partition(" ")
    period = period.strip() or str(_DEFAULT_PERIOD)
    if _is_count(period) and (quota == "max" or _is_count(quota)):
        _quota(found, 0 if quota == "max" else int(quota), int(period))


def _unified_limit(found: list[Property], key: str, value: str) -> None:
    name = _UNIFIED_BYTES[key]
    if value == "max":
        found.append(Property(name, "t", INFINITY))
    elif _is_count(value):
        found.append(Property(name, "t", max(int(value), 1 if name == "TasksMax" else 0)))


def _is_count(text: str) -> bool:
    """A number that D-Bus' uint64 holds. What is none the kernel refuses, with its own reason."""
    return text.isascii() and text.isdecimal() and len(text) < 21 and int(text) <= INFINITY


def oom_policy(resources: Resources, version: Callable[[], int]) -> list[Property]:
    """memory.oom.group, whose property systemd only takes when the unit is made."""
    value = (resources.get("unified") or {}).get("memory.oom.group", "").strip()
    policy = {"0": "continue", "1": "kill"}.get(value)
    if policy is None or version() < _OOM_POLICY_VERSION:
        return []
    return [Property("OOMPolicy", "s", policy)]


def for_devices(resources: Resources | None, pointer: str) -> list[Property]:
    """The device rules, which with v1 systemd writes itself: it would allow all devices otherwise.

    It knows only what is allowed. What it cannot express is put in place after it by devices_v1.
    """
    from oci_runtime.linux.cgroups import devices_v1

    target = devices_v1.reduce(devices.parse(resources, pointer))
    nothing = Property("DeviceAllow", "a(ss)", [])
    if target.default and not target.exceptions:
        return [nothing, Property("DevicePolicy", "s", "auto")]
    allowed = [] if target.default else [(_device(device), access) for device, access in target.exceptions.items()]
    entries = [(path, _modes(access)) for path, access in allowed if path]
    return [nothing, Property("DevicePolicy", "s", "strict"), Property("DeviceAllow", "a(ss)", entries)]


def _device(device: tuple[int, int, int]) -> str:
    """As in systemd.resource-control(5), DeviceAllow; '' for a minor number of every major one."""
    kind, major, minor = device
    name = "block" if kind == devices.BLOCK else "char"
    if major == devices.ALL:
        return f"{name}-*" if minor == devices.ALL else ""
    return f"{name}-{major}" if minor == devices.ALL else f"/dev/{name}/{major}:{minor}"


def _modes(access: int) -> str:
    return devices.entry_text((devices.ANY, 0, 0), access).rpartition(" ")[2]


def from_annotations(annotations: Mapping[str, str]) -> list[Property]:
    """The properties of the annotations org.systemd.property.NAME, in their order. Raises SpecError."""
    from oci_runtime.annotations import SYSTEMD_PROPERTY

    found = []
    for key, text in annotations.items():
        name = key.removeprefix(SYSTEMD_PROPERTY)
        if name != key:
            found.append(_annotated(name, text, f"/annotations/{key.replace('~', '~0').replace('/', '~1')}"))
    return found


def _annotated(name: str, text: str, pointer: str) -> Property:
    from oci_runtime.linux.cgroups import systemd_gvariant

    if len(name) < 3 or not (name.isascii() and name.isalpha()):
        raise refuse(
            pointer, f"{name!r} is no name of a property; valid are at least three letters, such as CollectMode"
        )
    if name in _NOT_BY_ANNOTATION:
        raise refuse(pointer, f"{name} cannot be set by an annotation: it is what makes the unit this container's")
    try:
        signature, value = systemd_gvariant.parse(text)
    except ValueError as error:
        raise refuse(
            pointer, f"{text!r} is no value in the text format of GVariant, such as uint64 5, true or 'text': {error}"
        ) from None
    stem = name.removesuffix("Sec")
    if stem not in ("", name) and stem[-1].islower():  # documented in seconds, but D-Bus wants microseconds
        return _microseconds(stem + "USec", signature, value, pointer)
    return Property(name, signature, value, pointer)


def _microseconds(name: str, signature: str, value: Any, pointer: str) -> Property:
    from oci_runtime.linux.cgroups.systemd_gvariant import INTEGERS

    if signature not in (*INTEGERS, "d"):
        raise refuse(pointer, f"{value!r} is not a number; valid are seconds, such as 90 or 0.5")
    microseconds = int(value * 1000000) if abs(value) < INFINITY else -1
    if not 0 <= microseconds <= INFINITY:
        raise refuse(pointer, f"{value!r} seconds are out of range; valid is 0 to {INFINITY // 1000000}")
    return Property(name, "t", microseconds, pointer)
