"""linux.netDevices: moved into the container, with what belongs to them (config-linux.md, Network Devices)."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from containers import Bundle, Pyoci
from namespace_support import only


def ip(*argv: str) -> None:
    subprocess.run(["ip", *argv], check=True)


@pytest.fixture
def veth() -> Iterator[str]:
    """A device of the host, one end of a pair; the other one, on the host, has a p at its end."""
    name = f"pv{uuid.uuid4().hex[:8]}"
    ip("link", "add", name, "type", "veth", "peer", "name", f"{name}p")
    yield name
    # with the container's network namespace the device ends, and its peer with it
    subprocess.run(["ip", "link", "del", f"{name}p"], stderr=subprocess.DEVNULL, check=False)


def device_in(pid: int, name: str) -> dict[str, Any]:
    """What ip(8) has to say about a device of the container."""
    command = ["nsenter", f"--net=/proc/{pid}/ns/net", "ip", "-json", "-details", "address", "show", name]
    found: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)[0]
    return found


def test_a_device_keeps_what_it_has(bundle: Bundle, pyoci: Pyoci, veth: str) -> None:
    ip("link", "set", veth, "mtu", "1400", "address", "02:00:00:12:34:56", "alias", "some alias")
    ip("addr", "add", "10.9.8.7/24", "brd", "10.9.8.255", "dev", veth)
    ip("addr", "add", "10.9.8.8/32", "dev", veth)
    ip("addr", "add", "fd00:1234::1/64", "dev", veth, "nodad")
    bundle.linux["netDevices"] = {veth: {}}
    container = pyoci.run_detached(bundle.args("/bin/sleep", "60"))
    device = device_in(container.pid, veth)
    assert device["mtu"] == 1400
    assert device["address"] == "02:00:00:12:34:56"
    assert "UP" in device["flags"]
    addresses = {(each["local"], each["prefixlen"]) for each in device["addr_info"] if each["scope"] == "global"}
    assert addresses == {("10.9.8.7", 24), ("10.9.8.8", 32), ("fd00:1234::1", 64)}
    assert next(each for each in device["addr_info"] if each["local"] == "10.9.8.7")["broadcast"] == "10.9.8.255"
    assert not os.path.exists(f"/sys/class/net/{veth}")


def test_a_device_that_was_up_is_renamed(bundle: Bundle, pyoci: Pyoci, veth: str) -> None:
    ip("link", "set", veth, "up")
    bundle.linux["netDevices"] = {veth: {"name": "eth7"}}
    bundle.shell("ip -o link")
    done = pyoci.run(bundle)
    line = next(line for line in done.out.splitlines() if " eth7" in line)
    assert ",UP" in line
    assert veth not in done.out


def test_several_devices(bundle: Bundle, pyoci: Pyoci, veth: str) -> None:
    """Both ends, so that each has its carrier."""
    a, b = veth, f"{veth}p"
    ip("addr", "add", "10.9.7.1/30", "dev", a)
    ip("addr", "add", "10.9.7.2/30", "dev", b)
    bundle.linux["netDevices"] = {a: {"name": "left"}, b: {"name": "right"}}
    done = pyoci.run(bundle.shell("ip -o addr; cat /sys/class/net/left/operstate"))
    assert "10.9.7.1/30" in done.out
    assert "10.9.7.2/30" in done.out
    assert done.out.endswith("up\n")


def test_into_a_user_namespaces_network(bundle: Bundle, pyoci: Pyoci, veth: str) -> None:
    bundle.user_namespace()
    bundle.linux["netDevices"] = {veth: {"name": "eth0"}}
    assert "eth0" in pyoci.run(bundle.args("ip", "-o", "link")).out


def test_a_name_that_no_device_can_have(bundle: Bundle, pyoci: Pyoci, veth: str) -> None:
    bundle.linux["netDevices"] = {veth: {"name": "bad name"}}
    done = pyoci.run(bundle, check=False)
    assert done.code != 0
    assert f"/linux/netDevices/{veth}" in done.err
    assert os.path.exists(f"/sys/class/net/{veth}")


def test_a_device_that_is_not_there(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.linux["netDevices"] = {"nosuchdevice0": {}}
    done = pyoci.run(bundle, check=False)
    assert done.code != 0
    assert "nosuchdevice0" in done.err
    assert "/linux/netDevices/nosuchdevice0" in done.err


def test_a_name_that_is_taken(bundle: Bundle, pyoci: Pyoci, veth: str) -> None:
    """The device stays on the host, as it was."""
    ip("link", "set", veth, "up")
    ip("addr", "add", "10.9.6.1/24", "dev", veth)
    bundle.linux["netDevices"] = {veth: {"name": "lo"}}
    done = pyoci.run(bundle, check=False)
    assert done.code != 0
    assert f"/linux/netDevices/{veth}" in done.err
    shown = subprocess.run(["ip", "-o", "addr", "show", veth], capture_output=True, text=True, check=True).stdout
    assert "10.9.6.1/24" in shown


def test_a_device_that_cannot_leave_its_namespace(bundle: Bundle, pyoci: Pyoci, veth: str) -> None:
    bridge = f"{veth}b"
    ip("link", "add", bridge, "type", "bridge")
    try:
        ip("addr", "add", "10.9.5.1/24", "dev", bridge)
        ip("link", "set", bridge, "up")
        bundle.linux["netDevices"] = {bridge: {"name": "eth0"}}
        done = pyoci.run(bundle, check=False)
        assert done.code != 0
        assert f"/linux/netDevices/{bridge}" in done.err
        shown = subprocess.run(["ip", "-o", "addr", "show", bridge], capture_output=True, text=True, check=True).stdout
        assert "10.9.5.1/24" in shown
    finally:
        ip("link", "del", bridge)


def test_devices_need_a_network_namespace(bundle: Bundle, pyoci: Pyoci, veth: str) -> None:
    """To move one to the network namespace where it is already makes no sense, nor to leave it out in silence."""
    only(bundle, "pid", "mount", "ipc", "uts")
    bundle.linux["netDevices"] = {veth: {"name": "eth0"}}
    done = pyoci.run(bundle.unmount("/sys"), check=False)
    assert os.path.exists(f"/sys/class/net/{veth}")
    assert done.code != 0
    assert "/linux/netDevices" in done.err


def test_the_kernel_fills_in_a_template(bundle: Bundle, pyoci: Pyoci, veth: str) -> None:
    ip("addr", "add", "10.9.4.1/30", "dev", veth)
    ip("addr", "add", "10.9.4.2/30", "dev", f"{veth}p")
    bundle.linux["netDevices"] = {veth: {"name": "net%d"}, f"{veth}p": {"name": "net%d"}}
    done = pyoci.run(bundle.args("ip", "-o", "-4", "addr"))
    found = {line.split()[1]: line.split()[3] for line in done.out.splitlines()}
    assert found == {"lo": "127.0.0.1/8", "net0": "10.9.4.1/30", "net1": "10.9.4.2/30"}
