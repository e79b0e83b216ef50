"""`update`: changes the limits of a container."""

from __future__ import annotations

from oci_runtime.cli.options import container_id
from oci_runtime.cli.paths import absolute
from oci_runtime.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.cli.main import GlobalOptions
    from oci_runtime.cli.options import Arguments
    from oci_runtime.spec.types import IntelRdt, Resources

SUMMARY = "change the limits of a container"
ARGUMENTS = ("<container-id>", 1, 1)
DESCRIPTION = """What is not named stays as it is, and when one limit is refused all do. The file
of --resources is a JSON object like linux.resources of config.json; with it
only the options of resctrl count too. Sizes are bytes, may end in k, m, g, t
or p, and are unlimited when -1; times are microseconds."""
OPTIONS = (
    ("resources", "r", "text", "", "file of resources, - for standard input"),
    ("blkio-weight", "", "text", "", "weight of the container's block I/O, 10 to 1000"),
    ("cpu-period", "", "text", "", "period in which --cpu-quota may be used"),
    ("cpu-quota", "", "text", "", "CPU time in each period, -1 for no limit"),
    ("cpu-burst", "", "text", "", "unused CPU time that may be used later on"),
    ("cpu-share", "", "text", "", "weight of the container's CPU time, 2 to 262144"),
    ("cpu-rt-period", "", "text", "", "period in which --cpu-rt-runtime may be used"),
    ("cpu-rt-runtime", "", "text", "", "CPU time of realtime processes in each period"),
    ("cpuset-cpus", "", "text", "", "CPUs to use, such as 0-2,7"),
    ("cpuset-mems", "", "text", "", "memory nodes to use"),
    ("kernel-memory", "", "text", "", ""),
    ("kernel-memory-tcp", "", "text", "", ""),
    ("memory", "", "text", "", "limit of memory"),
    ("cpu-idle", "", "text", "", "1: run only when nothing else wants to (SCHED_IDLE), 0: do not"),
    ("memory-reservation", "", "text", "", "memory that is kept when there is little; soft limit"),
    ("memory-swap", "", "text", "", "limit of memory and swap together"),
    ("pids-limit", "", "text", "", "limit of processes, -1 for none"),
    ("l3-cache-schema", "", "text", "", "share of the L3 cache, a line of resctrl's schemata such as L3:0=ff"),
    ("mem-bw-schema", "", "text", "", "memory bandwidth, a line of resctrl's schemata such as MB:0=50"),
)

# options of numbers: the property, its least value, and the one that is too great
_CPU = {
    "cpu-burst": ("burst", 0, 1 << 64),
    "cpu-idle": ("idle", -(1 << 63), 1 << 63),
    "cpu-period": ("period", 0, 1 << 64),
    "cpu-quota": ("quota", -(1 << 63), 1 << 63),
    "cpu-rt-period": ("realtimePeriod", 0, 1 << 64),
    "cpu-rt-runtime": ("realtimeRuntime", -(1 << 63), 1 << 63),
    "cpu-share": ("shares", 0, 1 << 64),
}
_MEMORY = {
    "kernel-memory": "kernel",
    "kernel-memory-tcp": "kernelTCP",
    "memory": "limit",
    "memory-reservation": "reservation",
    "memory-swap": "swap",
}
_UNITS = "bkmgtp"
_MAX_SIZE = (1 << 63) - 1


def main(global_options: GlobalOptions, arguments: Arguments) -> int:
    identifier = container_id(arguments.positional[0])
    file = arguments.text("resources")
    resources = from_file(file) if file else from_options(arguments)
    from oci_runtime.lifecycle.update import update

    update(global_options.root, identifier, resources, schemata(arguments), global_options.warn)
    return 0


def from_file(file: str) -> str | int:
    """The path of --resources, or the descriptor of standard input for -."""
    return 0 if file == "-" else absolute(file, "resources")


def from_options(arguments: Arguments) -> Resources:
    """The resources that the options name. Raises UsageError."""
    cpu: dict[str, int | str] = {}
    for option, (name, least, end) in _CPU.items():
        if text := arguments.text(option):
            cpu[name] = number(text, option, least, end)
    for name in ("cpus", "mems"):
        if text := arguments.text(f"cpuset-{name}"):
            cpu[name] = text
    memory = {name: size(text, option) for option, name in _MEMORY.items() if (text := arguments.text(option))}
    resources: Resources = {}
    if cpu:
        resources["cpu"] = cpu  # type: ignore[typeddict-item]
    if memory:
        resources["memory"] = memory  # type: ignore[typeddict-item]
    if text := arguments.text("pids-limit"):
        resources["pids"] = {"limit": number(text, "pids-limit", -(1 << 63), 1 << 63)}
    if text := arguments.text("blkio-weight"):
        resources["blockIO"] = {"weight": number(text, "blkio-weight", 0, 1 << 16)}
    return resources


def schemata(arguments: Arguments) -> IntelRdt:
    """The schemata that the options name."""
    rdt: IntelRdt = {}
    if schema := arguments.text("l3-cache-schema"):
        rdt["l3CacheSchema"] = schema
    if schema := arguments.text("mem-bw-schema"):
        rdt["memBwSchema"] = schema
    return rdt


def number(text: str, option: str, least: int, end: int) -> int:
    """A decimal number from `least` to below `end`, else UsageError."""
    digits = text.removeprefix("-") if least < 0 else text
    if not (digits.isascii() and digits.isdecimal()) or len(digits) > 40:
        raise UsageError(f"invalid value for {option}: {text!r} is not a decimal number from {least} on")
    value = int(text)
    if not least <= value < end:
        raise UsageError(f"invalid value for {option}: {text!r} is out of range")
    return value


def size(text: str, option: str) -> int:
    """Bytes: -1, or a number, perhaps with a fraction and a unit, a power of 1024, such as 1.5g, 64MiB. UsageError."""
    if text == "-1":
        return -1
    digits = text.rstrip("bBiIkKmMgGtTpP")
    unit = text[len(digits) :].lower()
    digits = digits.removesuffix(" ")
    whole, _, fraction = digits.partition(".")
    known = unit in ("", "b") or (unit[0] in _UNITS[1:] and unit[1:] in ("", "b", "ib"))
    if not known or not _are_digits(whole + fraction) or len(digits) > 40:
        raise UsageError(f"invalid value for {option}: {text!r}; valid are -1, and bytes such as 1048576, 64m, 1.5GiB")
    scaled = int(whole + fraction) * 1024 ** _UNITS.index(unit[:1] or "b")
    value: int = scaled // 10 ** len(fraction)
    if value > _MAX_SIZE:
        raise UsageError(f"invalid value for {option}: {text!r} is out of range; use -1 for no limit")
    return value


def _are_digits(text: str) -> bool:
    return text.isascii() and text.isdecimal()
