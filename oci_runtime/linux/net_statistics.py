"""The traffic of a container's network interfaces, in the shape of "network_interfaces" in runc's `events --stats`."""

from __future__ import annotations

import posix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# fields of /proc/PID/net/dev, proc_pid_net(5); eight are of what was received, eight of what was sent
_FIELDS = {
    "RxBytes": 0,
    "RxPackets": 1,
    "RxErrors": 2,
    "RxDropped": 3,
    "TxBytes": 8,
    "TxPackets": 9,
    "TxErrors": 10,
    "TxDropped": 11,
}


def of_process(pid: int) -> list[dict[str, Any]]:
    """The interfaces, without the loopback one, in the network namespace of a process. Raises OSError."""
    fd = posix.open(f"/proc/{pid}/net/dev", posix.O_RDONLY | posix.O_CLOEXEC)
    text = b""
    try:
        while more := posix.read(fd, 65536):
            text += more
    finally:
        posix.close(fd)
    return parse(text.decode("utf-8", "surrogateescape"))


def parse(text: str) -> list[dict[str, Any]]:
    """What /proc/PID/net/dev says."""
    found = []
    # the container names its interfaces, and the kernel lets it have some of what Python takes for spaces and line ends
    for line in text.split("\n")[2:-1]:  # the first two are titles
        name, _, numbers = line.lstrip(" ").rpartition(":")
        values = numbers.split()
        if name != "lo":
            found.append({"Name": name, **{field: int(values[index]) for field, index in _FIELDS.items()}})
    return found
