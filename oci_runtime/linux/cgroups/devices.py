"""Device rules: those of the configuration, then the devices that every container may use.

Rules are applied in order (Runtime Specification, Allowed Device list); before the first nothing is allowed.
"""

from __future__ import annotations

from oci_runtime.linux.cgroups.cgroup import refuse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.spec.types import DeviceRule, Resources

# linux/bpf.h, BPF_DEVCG_*; ANY is ours
ANY, BLOCK, CHAR = 0, 1, 2
MKNOD, READ, WRITE = 1, 2, 4
RWM = MKNOD | READ | WRITE
ALL = -1  # every major or minor number

_MODES = (("r", READ), ("w", WRITE), ("m", MKNOD))
_TYPES = {"a": ANY, "b": BLOCK, "c": CHAR}


class Rule:
    """Allows or denies the `access` bits to devices of a type and number.

    The type ANY stands only for every device with RWM, and so replaces all rules before it.
    """

    __slots__ = ("access", "allow", "major", "minor", "pointer", "type")

    def __init__(self, allow: bool, type: int, major: int, minor: int, access: int, pointer: str = "") -> None:
        self.allow = allow
        self.type = type
        self.major = major
        self.minor = minor
        self.access = access
        self.pointer = pointer

    def __repr__(self) -> str:
        return f"{'allow' if self.allow else 'deny'} {self.text()}"

    def text(self) -> str:
        """As devices.allow and devices.deny of cgroup v1 take it."""
        return entry_text((self.type, self.major, self.minor), self.access)


def entry_text(device: tuple[int, int, int], access: int) -> str:
    """TYPE MAJOR:MINOR ACCESS, as in the devices.* files of cgroup v1."""
    kind, major, minor = device
    modes = "".join(letter for letter, bit in _MODES if access & bit)
    return f"{'abc'[kind]} {'*' if major < 0 else major}:{'*' if minor < 0 else minor} {modes}"


# As in runc. Any node may be made, since that alone gives no access; 136 are the pseudoterminals, 5:2 is ptmx, and
# 10:200 (net/tun) was once in Docker's list and is relied upon.
_DEFAULTS = (
    (CHAR, ALL, ALL, MKNOD),
    (BLOCK, ALL, ALL, MKNOD),
    (CHAR, 1, 3, RWM),  # null
    (CHAR, 1, 8, RWM),  # random
    (CHAR, 1, 7, RWM),  # full
    (CHAR, 5, 0, RWM),  # tty
    (CHAR, 1, 5, RWM),  # zero
    (CHAR, 1, 9, RWM),  # urandom
    (CHAR, 136, ALL, RWM),
    (CHAR, 5, 2, RWM),
    (CHAR, 10, 200, RWM),
)


def parse(resources: Resources | None, pointer: str) -> list[Rule]:
    """All rules for a container, in order. Raises SpecError."""
    rules: list[Rule] = []
    for index, entry in enumerate((resources or {}).get("devices") or ()):
        _add(rules, entry, f"{pointer}/devices/{index}")
    rules.extend(Rule(True, *default, pointer + "/devices") for default in _DEFAULTS)
    return rules


def _add(rules: list[Rule], entry: DeviceRule, pointer: str) -> None:
    access = 0
    for letter in entry.get("access", ""):
        bit = next((bit for name, bit in _MODES if name == letter), 0)
        if not bit:
            raise refuse(pointer + "/access", f"{letter!r} is unknown; valid are r, w and m")
        access |= bit
    if not access:
        raise refuse(pointer + "/access", "it must name what is allowed or denied: r, w, m or several of them")
    kind = _TYPES.get(entry.get("type") or "a")
    if kind is None:
        raise refuse(pointer + "/type", f"{entry['type']!r} is unknown; valid are a, b and c")
    allow = entry["allow"]
    major = _number(entry.get("major", ALL), pointer + "/major")
    minor = _number(entry.get("minor", ALL), pointer + "/minor")
    if kind != ANY:
        rules.append(Rule(allow, kind, major, minor, access, pointer))
    elif major == minor == ALL and access == RWM:
        rules[:] = [Rule(allow, ANY, ALL, ALL, RWM, pointer)]
    else:  # the kernel would take "a" for everything, whatever numbers and access stand beside it
        rules.append(Rule(allow, CHAR, major, minor, access, pointer))
        rules.append(Rule(allow, BLOCK, major, minor, access, pointer))


def _number(value: int, pointer: str) -> int:
    if not ALL <= value <= 0xFFFFFFFF:
        raise refuse(pointer, f"{value} is out of range; valid is 0 to 4294967295, or -1 for all")
    return value
