"""linux.netDevices: network devices of the host moved into the container's network namespace, by pyroute2."""

from __future__ import annotations

import posix

from oci_runtime._shim import lib
from oci_runtime.errors import PyociError, SystemCallError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from oci_runtime.spec.types import NetDevice

CLONE_NEWNET = 0x40000000
RT_SCOPE_UNIVERSE = 0
IFA_F_PERMANENT = 0x80
IFF_UP = 1
_TEMPLATE = "%d"
# seconds that all devices may take
_TIMEOUT = 30.0


def move_net_devices(pid: int, devices: Mapping[str, NetDevice]) -> None:
    """Moves each device to the network namespace of `pid`, renamed as wanted, with its permanent global addresses, and
    up (config-linux.md, Network Devices).

    pyroute2 brings threads or event loops of its own and needs to be in both namespaces, so a child does the work, and
    ends without cleaning up behind it: closing pyroute2's sockets has been seen to wait for ever.
    """
    result, end = posix.pipe()
    child = posix.fork()
    if not child:
        posix.close(result)
        _work(end, pid, devices)
    posix.close(end)
    try:
        _check(child, result)
    finally:
        posix.close(result)


def _check(child: int, result: int) -> None:
    """Waits for the child, whose answer is a JSON array: nothing, [message], or [message, errno, pointer]."""
    from select import POLLIN, poll

    poller = poll()
    poller.register(result, POLLIN)
    answered = poller.poll(int(_TIMEOUT * 1000))
    text = b""
    while answered and (data := posix.read(result, 4096)):
        text += data
    if not answered:
        posix.kill(child, 9)
    posix.waitpid(child, 0)
    if not text:
        raise PyociError(f"moving network devices did not come to an end in {_TIMEOUT:g} s (/linux/netDevices)")
    from json import loads

    answer = loads(text)
    if len(answer) == 1:
        raise PyociError(answer[0])
    if answer:
        raise SystemCallError(*answer)


def _work(end: int, pid: int, devices: Mapping[str, NetDevice]) -> None:
    """The child."""
    answer: list[object] = []
    try:
        _move_all(pid, devices)
    except SystemCallError as error:
        answer = [error.operation, error.errno, error.pointer]
    except BaseException as error:
        known = isinstance(error, PyociError)
        answer = [str(error) if known else f"cannot move network devices: {error!r} (/linux/netDevices)"]
    from json import dumps

    posix.write(end, dumps(answer).encode())
    posix._exit(0)


def _move_all(pid: int, devices: Mapping[str, NetDevice]) -> None:
    from pyroute2 import IPRoute
    from pyroute2.netlink.exceptions import NetlinkError

    host_namespace = posix.open("/proc/self/ns/net", posix.O_RDONLY | posix.O_CLOEXEC)
    target = posix.open(f"/proc/{pid}/ns/net", posix.O_RDONLY | posix.O_CLOEXEC)
    # A socket belongs to the namespace that it was made in; the look-up makes sure that it is made now.
    _enter(target)
    inside = IPRoute()
    inside.link_lookup(ifname="lo")
    _enter(host_namespace)
    host = IPRoute()
    for name, device in devices.items():
        pointer = "/linux/netDevices/" + name.replace("~", "~0").replace("/", "~1")
        try:
            _move(host, inside, target, name, device.get("name") or name, pointer)
        except NetlinkError as error:
            raise SystemCallError(f"cannot move network device {name}", error.code, pointer) from error


def _enter(namespace: int) -> None:
    error = lib.sys_setns(namespace, CLONE_NEWNET)
    if error:
        raise SystemCallError("cannot enter the network namespace", -error, "/linux/netDevices")


def _move(host: Any, inside: Any, target: int, name: str, new_name: str, pointer: str) -> None:
    found = host.link_lookup(ifname=name)
    if not found:
        raise PyociError(f"network device {name} does not exist ({pointer})")
    index = found[0]
    if inside.link_lookup(ifname=new_name):
        raise PyociError(f"network device {new_name} is there already in the container ({pointer})")
    was_up = host.get_links(index)[0]["flags"] & IFF_UP
    addresses = [_kept(address) for address in host.get_addr(index=index) if _is_kept(address)]
    before = _indices(inside)
    host.link("set", index=index, state="down")
    try:
        host.link("set", index=index, net_ns_fd=target, ifname=new_name)
    except BaseException:
        if was_up:
            _set_up(host, index, addresses)
        raise
    if new_name.endswith(_TEMPLATE):  # the kernel has filled it in
        index = (_indices(inside) - before).pop()
    else:
        index = inside.link_lookup(ifname=new_name)[0]
    _set_up(inside, index, addresses)


def _indices(namespace: Any) -> set[int]:
    return {link["index"] for link in namespace.get_links()}


def _set_up(namespace: Any, index: int, addresses: list[dict[str, Any]]) -> None:
    """Gives the device those of its addresses that it has lost, and sets it up."""
    from errno import EEXIST

    from pyroute2.netlink.exceptions import NetlinkError

    for address in addresses:
        try:
            namespace.addr("add", index=index, **address)
        except NetlinkError as error:
            if error.code != EEXIST:
                raise
    namespace.link("set", index=index, state="up")


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
