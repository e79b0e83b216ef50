"""The rules for `linux.resources`, of config.json and of `update` (config-linux.md, Control groups)."""

from __future__ import annotations

from oci_runtime.errors import Problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.spec.types import CPU, BlockIO, DeviceRule, Memory, Rdma, Resources

_BYTES = ("limit", "reservation", "swap", "kernel", "kernelTCP")


def validate_resources(resources: Resources, at: str, problems: list[Problem], *, partial: bool = False) -> None:
    """Append the problems of resources; `at` is their pointer, empty for a document of its own.

    `partial` resources, those of `update`, add to what is set already, so nothing is missed in them.
    """
    rules = resources.get("devices", [])
    for i in range(len(rules)):
        _device_rule(rules[i], f"{at}/devices/{i}", problems)
    if "memory" in resources:
        _memory(resources["memory"], at + "/memory", partial, problems)
    if "cpu" in resources:
        _cpu(resources["cpu"], at + "/cpu", problems)
    if "blockIO" in resources:
        _block_io(resources["blockIO"], at + "/blockIO", problems)
    if "rdma" in resources:
        _rdma(resources["rdma"], at + "/rdma", problems)
    for i, priority in enumerate(resources.get("network", {}).get("priorities", [])):
        if not valid_interface_name(priority["name"]):
            problems.append(Problem(f"{at}/network/priorities/{i}/name", INTERFACE_NAME))
    for name in resources.get("unified", {}):
        if not name or "/" in name or name in (".", ".."):
            problems.append(
                Problem(
                    f"{at}/unified/{_escape(name)}",
                    "its key must be the name of a file of cgroup v2, such as memory.high",
                )
            )


INTERFACE_NAME = "must be the name of a network interface: 1 to 15 bytes without /, : and blanks, not . or .."


def valid_interface_name(name: str) -> bool:
    """What dev_valid_name() in the kernel says."""
    return (
        0 < len(name.encode("utf-8", "surrogatepass")) <= 15
        and name not in (".", "..")
        and not any(character in "/: \t\n\v\f\r\xa0" for character in name)
    )


def _device_rule(rule: DeviceRule, at: str, problems: list[Problem]) -> None:
    if rule.get("type", "") not in ("", "a", "b", "c"):
        problems.append(Problem(at + "/type", "must be a for all, b for block or c for character devices"))
    if "access" in rule and (not rule["access"] or rule["access"].strip("rwm")):
        problems.append(Problem(at + "/access", "must be made of r for read, w for write and m for mknod"))
    for key, number in (("major", rule.get("major", 0)), ("minor", rule.get("minor", 0))):
        if not -1 <= number <= 0xFFFFFFFF:
            problems.append(Problem(f"{at}/{key}", "must be a device number, or -1 for all"))


def _memory(memory: Memory, at: str, partial: bool, problems: list[Problem]) -> None:
    for key in _BYTES:
        if memory.get(key, 0) < -1:  # type: ignore[operator]
            problems.append(Problem(f"{at}/{key}", "must be a number of bytes, or -1 for no limit"))
    limit, swap = memory.get("limit", 0), memory.get("swap", 0)
    if swap > 0:
        if 0 < swap < limit:
            problems.append(
                Problem(at + "/swap", f"is memory and swap together, so must be at least the limit, {limit}")
            )
        elif limit == 0 and not partial:
            problems.append(Problem(at + "/swap", "is memory and swap together, so needs a limit of the memory too"))
    if memory.get("swappiness", 0) > 100:
        problems.append(Problem(at + "/swappiness", "must be between 0 and 100"))


def _cpu(cpu: CPU, at: str, problems: list[Problem]) -> None:
    quota = cpu.get("quota", 0)
    if 0 < quota < cpu.get("burst", 0):
        problems.append(Problem(at + "/burst", f"must not exceed the quota, {quota}"))
    if cpu.get("idle", 0) not in (0, 1):
        problems.append(Problem(at + "/idle", "must be 0 or 1"))


def _block_io(block: BlockIO, at: str, problems: list[Problem]) -> None:
    _weight(block.get("weight", 0), at + "/weight", problems)
    _weight(block.get("leafWeight", 0), at + "/leafWeight", problems)
    for i, device in enumerate(block.get("weightDevice", [])):
        where = f"{at}/weightDevice/{i}"
        if "weight" not in device and "leafWeight" not in device:
            problems.append(Problem(where, "must have a weight, a leafWeight or both"))
        _weight(device.get("weight", 0), where + "/weight", problems)
        _weight(device.get("leafWeight", 0), where + "/leafWeight", problems)
    for key, devices in block.items():
        if key in (
            "throttleReadBpsDevice",
            "throttleWriteBpsDevice",
            "throttleReadIOPSDevice",
            "throttleWriteIOPSDevice",
        ):
            assert isinstance(devices, list)
            for i, device in enumerate(devices):
                if device["major"] < 0 or device["minor"] < 0:
                    problems.append(Problem(f"{at}/{key}/{i}", "major and minor must be device numbers"))


def _weight(weight: int, at: str, problems: list[Problem]) -> None:
    if weight and not 10 <= weight <= 1000:
        problems.append(Problem(at, "must be between 10 and 1000, or 0 to leave it as it is"))


def _rdma(devices: dict[str, Rdma], at: str, problems: list[Problem]) -> None:
    for name, limits in devices.items():
        if "hcaHandles" not in limits and "hcaObjects" not in limits:
            problems.append(Problem(f"{at}/{_escape(name)}", "must have hcaHandles, hcaObjects or both"))
        if not name or name.split() != [name]:
            problems.append(
                Problem(f"{at}/{_escape(name)}", "its key must be the name of an RDMA device, such as mlx5_1")
            )


def _escape(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
