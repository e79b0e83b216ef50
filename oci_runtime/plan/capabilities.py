"""process.capabilities: capabilities(7)."""

from __future__ import annotations

from oci_runtime._shim import lib
from oci_runtime.spec.validate_process import CAPABILITIES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from oci_runtime.plan.context import Context
    from oci_runtime.plan.operations import Plan
    from oci_runtime.spec.types import Process


def mask(names: Iterable[str]) -> int:
    """The set as bits."""
    bits = 0
    for name in names:
        bits |= 1 << CAPABILITIES.index(name)
    return bits


def names(bits: int) -> list[str]:
    """The set of `bits` by name."""
    return [name for number, name in enumerate(CAPABILITIES) if bits >> number & 1]


def plan_bounding_set(plan: Plan, process: Process, context: Context) -> None:
    """Gives up what the process may never have; needs CAP_SETPCAP, so it comes before the others."""
    sets = process.get("capabilities", {})
    bounding = _grant(sets.get("bounding", ()), context.capabilities, context)
    plan.add(lib.OP_BOUNDING_SET, "/process/capabilities/bounding", (), (_signed(bounding),))


def plan_capabilities(plan: Plan, process: Process, context: Context) -> None:
    """The other four sets, exactly as configured (CVE-2022-29162: no inheritable ones by default), but for what the
    kernel would refuse: capset(2), and for the ambient set prctl(2)."""
    sets = process.get("capabilities", {})
    available = context.capabilities
    permitted = _grant(sets.get("permitted", ()), available, context)
    effective = _grant(sets.get("effective", ()), permitted, context)
    inheritable = _grant(sets.get("inheritable", ()), available & mask(sets.get("bounding", ())), context)
    ambient = _grant(sets.get("ambient", ()), permitted & inheritable, context)
    numbers = (_signed(effective), _signed(permitted), _signed(inheritable), _signed(ambient))
    plan.add(lib.OP_CAPABILITIES, "/process/capabilities", (), numbers)


def _grant(names: Iterable[str], grantable: int, context: Context) -> int:
    """What cannot be granted is left out and told (config.md, capabilities)."""
    bits = mask(names)
    context.capabilities_denied |= bits & ~grantable
    return bits & grantable


def _signed(bits: int) -> int:
    return bits - (1 << 64) if bits >> 63 else bits
