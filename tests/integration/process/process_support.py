"""What a process finds out about itself."""

from __future__ import annotations

# capabilities(7), by number
CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_KILL, CAP_SETGID, CAP_SETUID, CAP_SETPCAP = 0, 1, 5, 6, 7, 8
CAP_NET_BIND_SERVICE, CAP_NET_RAW, CAP_SYS_ADMIN, CAP_SYS_NICE, CAP_SYS_RESOURCE = 10, 13, 21, 23, 24


def fields(status: str) -> dict[str, str]:
    """The lines of /proc/PID/status."""
    return {name: value.strip() for name, _, value in (line.partition(":") for line in status.splitlines())}


def capability_sets(status: str) -> dict[str, int]:
    """Inh, Prm, Eff, Bnd and Amb as bits."""
    found = fields(status)
    return {name: int(found[f"Cap{name}"], 16) for name in ("Inh", "Prm", "Eff", "Bnd", "Amb")}


def bits(*numbers: int) -> int:
    return sum(1 << number for number in numbers)
