"""process.capabilities: capabilities(7)."""

from __future__ import annotations

from oci_runtime._shim import lib
from oci_runtime.spec.validate_process import CAPABILITIES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from oci_runtime.plan.context import Context
    from oci_runtime.plan.operations import Plan
    from oci_runtime.spec.types import Process


def mask(names: Iterable[str]) -> int:
    """The set as bits; what is no capability has none."""
    bits = 0
    for name in names:
        if name in CAPABILITIES:
            bits |= 1 << CAPABILITIES.index(name)
    return bits


def names(bits: int) -> list[str]:
    """The set of `bits` by name."""
    return [name for number, name in enumerate(CAPABILITIES) if bits >> number & 1]


def plan_bounding_set(plan: Plan, process: Process, context: Context) -> None:
    """Gives up what the process may never have; needs CAP_SETPCAP, so it comes before the others."""
    bounding = _grant(process, "bounding", context.capabilities, context)
    plan.add(lib.OP_BOUNDING_SET, "/process/capabilities/bounding", (), (_signed(bounding),))


def plan_capabilities(plan: Plan, process: Process, context: Context) -> None:
    """The other four sets, exactly as configured (CVE-2022-29162: no inheritable ones by default), but for what the
    kernel would refuse: capset(2), and for the ambient set prctl(2)."""
    available = context.capabilities
    bounding = mask(process.get("capabilities", {}).get("bounding", ()))
    permitted = _grant(process, "permitted", available, context)
    effective = _grant(process, "effective", permitted, context)
    inheritable = _grant(process, "inheritable", available & bounding, context)
    ambient = _grant(process, "ambient", permitted & inheritable, context)
    numbers = (_signed(effective), _signed(permitted), _signed(inheritable), _signed(ambient))
    plan.add(lib.OP_CAPABILITIES, "/process/capabilities", (), numbers)


def _grant(process: Process, kind: str, grantable: int, context: Context) -> int:
    """What cannot be granted is left out, and context.capabilities_denied tells it (config.md, capabilities)."""
    wanted: Sequence[str] = process.get("capabilities", {}).get(kind, ())  # type: ignore[assignment]
    bits = mask(wanted)
    if bits & ~grantable:
        context.capabilities_denied[kind] = bits & ~grantable
    if bits.bit_count() < len(wanted):
        _note_unknown(wanted, kind, context)
    return bits & grantable


def _note_unknown(wanted: Sequence[str], kind: str, context: Context) -> None:
    for i, name in enumerate(wanted):
        if name not in CAPABILITIES:
            context.capabilities_unknown.setdefault(name, f"/process/capabilities/{kind}/{i}")


_NEEDED = {
    "effective": "cannot be effective without being permitted",
    "inheritable": "cannot be inheritable without being in the bounding set",
    "ambient": "cannot be ambient without being permitted and inheritable",
}


def left_out(context: Context) -> Iterator[str]:
    """What was, a sentence each."""
    for name, pointer in context.capabilities_unknown.items():
        yield f"{name!r} is no capability, and is left out{_nearest(name)} ({pointer})"
    denied = 0
    for bits in context.capabilities_denied.values():
        denied |= bits & ~context.capabilities
    if denied:
        them = ", ".join(names(denied))
        yield f"capabilities that cannot be granted here are left out: {them} (/process/capabilities)"
    for kind, bits in context.capabilities_denied.items():
        if bits & ~denied:
            yield f"{', '.join(names(bits & ~denied))} {_NEEDED[kind]}: left out (/process/capabilities/{kind})"


def _nearest(name: str) -> str:
    from difflib import get_close_matches

    found = get_close_matches(name.upper().removeprefix("CAP_"), [known[4:] for known in CAPABILITIES], 1)
    return f"; did you mean CAP_{found[0]}?" if found else ""


def _signed(bits: int) -> int:
    return bits - (1 << 64) if bits >> 63 else bits
