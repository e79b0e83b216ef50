"""process.capabilities: capabilities(7)."""

from __future__ import annotations

from oci_runtime._shim import lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from oci_runtime.plan.operations import Plan
    from oci_runtime.spec.types import Process

# linux/capability.h, in the order of their numbers
NAMES = (
    "CAP_CHOWN CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER CAP_FSETID CAP_KILL CAP_SETGID CAP_SETUID CAP_SETPCAP "
    "CAP_LINUX_IMMUTABLE CAP_NET_BIND_SERVICE CAP_NET_BROADCAST CAP_NET_ADMIN CAP_NET_RAW CAP_IPC_LOCK CAP_IPC_OWNER "
    "CAP_SYS_MODULE CAP_SYS_RAWIO CAP_SYS_CHROOT CAP_SYS_PTRACE CAP_SYS_PACCT CAP_SYS_ADMIN CAP_SYS_BOOT CAP_SYS_NICE "
    "CAP_SYS_RESOURCE CAP_SYS_TIME CAP_SYS_TTY_CONFIG CAP_MKNOD CAP_LEASE CAP_AUDIT_WRITE CAP_AUDIT_CONTROL CAP_SETFCAP "
    "CAP_MAC_OVERRIDE CAP_MAC_ADMIN CAP_SYSLOG CAP_WAKE_ALARM CAP_BLOCK_SUSPEND CAP_AUDIT_READ CAP_PERFMON CAP_BPF "
    "CAP_CHECKPOINT_RESTORE"
).split()


def mask(names: Iterable[str], available: int) -> int:
    """The set as bits. What cannot be granted here is left out, as the specification has it (config.md,
    capabilities): `available` are those that the kernel knows and the runtime's bounding set has."""
    bits = 0
    for name in names:
        bits |= 1 << NAMES.index(name)
    return bits & available


def plan_bounding_set(plan: Plan, process: Process, available: int) -> None:
    """Gives up what the process may never have; needs CAP_SETPCAP, so it comes before the others."""
    sets = process.get("capabilities", {})
    plan.add(
        lib.OP_BOUNDING_SET, "/process/capabilities/bounding", (), (_signed(mask(sets.get("bounding", ()), available)),)
    )


def plan_capabilities(plan: Plan, process: Process, available: int) -> None:
    """The other four sets, exactly as configured (CVE-2022-29162: no inheritable ones by default)."""
    sets = process.get("capabilities", {})
    effective, permitted, inheritable, ambient = (
        _signed(mask(sets.get(name, ()), available))
        for name in ("effective", "permitted", "inheritable", "ambient")  # type: ignore[attr-defined]
    )
    plan.add(lib.OP_CAPABILITIES, "/process/capabilities", (), (effective, permitted, inheritable, ambient))


def _signed(bits: int) -> int:
    return bits - (1 << 64) if bits >> 63 else bits
