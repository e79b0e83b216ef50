"""linux.netDevices: network devices of the host moved into the container's network namespace, by pyroute2."""

from __future__ import annotations

from oci_runtime.errors import PyociError, SystemCallError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from oci_runtime.spec.types import NetDevice

RT_SCOPE_UNIVERSE = 0
IFA_F_PERMANENT = 0x80


def move_net_devices(pid: int, devices: Mapping[str, NetDevice]) -> None:
    """Moves each device to the network namespace of `pid`, renamed as wanted, with its permanent global addresses, and
    up (config-linux.md, Network Devices)."""
    from pyroute2 import IPRoute, NetNS
    from pyroute2.netlink.exceptions import NetlinkError

    with IPRoute() as host, NetNS(f"/proc/{pid}/ns/net") as inside:
        for name, device in devices.items():
            pointer = "/linux/netDevices/" + name.replace("~", "~0").replace("/", "~1")
            try:
                _move(host, inside, pid, name, device.get("name") or name, pointer)
            except NetlinkError as error:
                raise SystemCallError(f"cannot move network device {name}", error.code, pointer) from error


def _move(host: Any, inside: Any, pid: int, name: str, new_name: str, pointer: str) -> None:
    found = host.link_lookup(ifname=name)
    if not found:
        raise PyociError(f"network device {name} does not exist ({pointer})")
    index = found[0]
    if inside.link_lookup(ifname=new_name):
        raise PyociError(f"network device {new_name} is there already in the container ({pointer})")
    addresses = [_kept(address) for address in host.get_addr(index=index) if _is_kept(address)]
    host.link("set", index=index, state="down")
    host.link("set", index=index, net_ns_pid=pid, ifname=new_name)
    index = inside.link_lookup(ifname=new_name)[0]
    for address in addresses:
        inside.addr("add", index=index, **address)
    inside.link("set", index=index, state="up")


def _is_kept(address: Any) -> bool:
    flags = address.get_attr("IFA_FLAGS") or address["flags"]
    return address["scope"] == RT_SCOPE_UNIVERSE and bool(flags & IFA_F_PERMANENT)


def _kept(address: Any) -> dict[str, Any]:
    kept = {"family": address["family"], "prefixlen": address["prefixlen"], "address": address.get_attr("IFA_ADDRESS")}
    local = address.get_attr("IFA_LOCAL")
    if local:
        kept["local"] = local
    broadcast = address.get_attr("IFA_BROADCAST")
    if broadcast:
        kept["broadcast"] = broadcast
    return kept
