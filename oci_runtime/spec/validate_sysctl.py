"""The rules for `linux.sysctl`: only what belongs to a namespace of the container may be set (config-linux.md)."""

from __future__ import annotations

from oci_runtime.errors import Problem

TYPE_CHECKING = False

IPC_SYSCTLS = ("msgmax", "msgmnb", "msgmni", "sem", "shm_rmid_forced", "shmall", "shmmax", "shmmni")
"""Below kernel."""


def components(key: str) -> list[str]:
    """The path below /proc/sys that a sysctl names, as sysctl.d(5) reads it.

    The first separator, "." or "/", is the separator; the other one then stands for the separator inside a name, so
    both net.ipv4.conf.eno2/100.rp_filter and net/ipv4/conf/eno2.100/rp_filter lead to net, ipv4, conf, eno2.100,
    rp_filter.
    """
    dot, slash = key.find("."), key.find("/")
    if slash >= 0 and (dot < 0 or slash < dot):
        return key.split("/")
    return [part.replace("/", ".") for part in key.split(".")]


def validate_sysctl(sysctl: dict[str, str], namespaces: dict[str, str], problems: list[Problem]) -> None:
    """Append a problem for each sysctl that is not the container's own."""
    for key in sysctl:
        message = _refusal(components(key), namespaces)
        if message:
            problems.append(Problem("/linux/sysctl/" + key.replace("~", "~0").replace("/", "~1"), message))


def _refusal(path: list[str], namespaces: dict[str, str]) -> str:
    if len(path) < 2 or any(part in ("", ".", "..") for part in path):
        return "its key must be the name of a sysctl, such as net.ipv4.ip_forward"
    if path[0] == "net":
        needed = "network"
    elif path[:2] == ["fs", "mqueue"] or (path[0] == "kernel" and len(path) == 2 and path[1] in IPC_SYSCTLS):
        needed = "ipc"
    elif path[0] == "user":
        needed = "user"
    elif path == ["kernel", "domainname"]:
        needed = "uts"
    elif path == ["kernel", "hostname"]:
        return "must be set by the property /hostname instead"
    else:
        return (
            "does not belong to a namespace and would change the host; net.*, fs.mqueue.*, user.* and some kernel.* do"
        )
    return "" if needed in namespaces else f'needs a "{needed}" namespace in /linux/namespaces'
