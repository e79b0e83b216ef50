"""process.capabilities: capabilities(7)."""

from __future__ import annotations

from oci_runtime._shim import lib
from oci_runtime.spec.validate_process import CAPABILITIES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from oci_runtime.plan.operations import Plan
    from oci_runtime.spec.types import Process


def mask(names: Iterable[str], available: int) -> int:
    """The set as bits. What cannot be granted here is left out, as the specification has it (config.md,
    capabilities): `available` are those that the kernel knows and the runtime's bounding set has."""
    bits = 0
    for name in names:
        bits |= 1 << CAPABILITIES.index(name)
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
    numbers = (
        _signed(mask(sets.get("effective", ()), available)),
        _signed(mask(sets.get("permitted", ()), available)),
        _signed(mask(sets.get("inheritable", ()), available)),
        _signed(mask(sets.get("ambient", ()), available)),
    )
    plan.add(lib.OP_CAPABILITIES, "/process/capabilities", (), numbers)


def _signed(bits: int) -> int:
    return bits - (1 << 64) if bits >> 63 else bits
