"""Device rules with cgroup v1, where a cgroup has a default and a set of exceptions to it.

The kernel ignores silently what would be an exception to an exception, and matches an access against one exception at a
time. So the rules are first reduced to such a set here, and what cannot be expressed is refused.
"""

from __future__ import annotations

import posix
from errno import EPERM

from oci_runtime.errors import PyociError, SystemCallError
from oci_runtime.linux.cgroups import _fs
from oci_runtime.linux.cgroups.devices import ALL, ANY, BLOCK, CHAR, MKNOD, READ, WRITE, Rule, entry_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from oci_runtime.linux.cgroups.cgroup import Cgroup

    Device = tuple[int, int, int]

_BITS = {"r": READ, "w": WRITE, "m": MKNOD}


class Filter:
    """`default` is what holds for a device that no exception matches; `exceptions` map devices to access bits."""

    __slots__ = ("default", "exceptions")

    def __init__(self, default: bool = False, exceptions: dict[Device, int] | None = None) -> None:
        self.default = default
        self.exceptions: dict[Device, int] = exceptions or {}

    def add(self, rule: Rule) -> None:
        """Apply the next rule; PyociError when v1 cannot express the result."""
        if rule.type == ANY:
            self.default = rule.allow
            self.exceptions = {}
            return
        device = (rule.type, rule.major, rule.minor)
        if rule.allow != self.default:
            self.exceptions[device] = self.exceptions.get(device, 0) | rule.access
            return
        for other, access in list(self.exceptions.items()):
            if not access & rule.access:
                continue
            if _covers(device, other):
                if left := access & ~rule.access:
                    self.exceptions[other] = left
                else:
                    del self.exceptions[other]
            elif _overlap(device, other):
                raise PyociError(
                    f"{rule.pointer}: {rule!r} is an exception from {entry_text(other, access)!r}, which cgroup v1"
                    " cannot express; give the rule for the single device alone, or list the devices instead of *"
                )


def _covers(device: Device, other: Device) -> bool:
    return device[0] == other[0] and device[1] in (ALL, other[1]) and device[2] in (ALL, other[2])


def _overlap(one: Device, two: Device) -> bool:
    return one[0] == two[0] and all(ALL in (one[i], two[i]) or one[i] == two[i] for i in (1, 2))


def reduce(rules: Iterable[Rule]) -> Filter:
    """The filter that the rules, applied in order to one that allows nothing, amount to."""
    target = Filter()
    for rule in rules:
        target.add(rule)
    return target


def transition(current: Filter, target: Filter) -> list[tuple[bool, str]]:
    """(allow?, line) writes that turn `current` into `target` without taking away what both allow, where possible.

    devices.list does not show the exceptions of a cgroup that allows by default, so from such a one all is set anew.
    """
    writes: list[tuple[bool, str]] = []
    old: dict[Device, int] = current.exceptions
    if current.default or target.default:
        writes.append((target.default, "a *:* rwm"))
        old = {}
    for device, access in old.items():
        if lost := access & ~target.exceptions.get(device, 0):
            writes.append((target.default, entry_text(device, lost)))
    for device, access in target.exceptions.items():
        if gained := access & ~old.get(device, 0):
            writes.append((not target.default, entry_text(device, gained)))
    return writes


def read_list(text: str) -> Filter:
    """What a devices.list shows."""
    found = Filter()
    for line in text.splitlines():
        kind, numbers, modes = line.split(" ")
        if kind == "a":
            return Filter(default=True)
        major, minor = (ALL if number == "*" else int(number) for number in numbers.split(":"))
        device = (BLOCK if kind == "b" else CHAR, major, minor)
        found.exceptions[device] = sum(_BITS[mode] for mode in modes)
    return found


def apply(cgroup: Cgroup, rules: list[Rule], pointer: str) -> None:
    """Make the rules hold in the cgroup, and see that they do. Raises PyociError."""
    target = reduce(rules)
    directory = cgroup.require()
    try:
        before = read_list(_fs.read(directory, "devices.list"))
        _write(directory, transition(before, target), pointer)
        after = read_list(_fs.read(directory, "devices.list"))
    except OSError as error:
        raise SystemCallError(f"cannot set the device rules of {cgroup}", error.errno or 0, pointer) from None
    if after.default != target.default or (not target.default and after.exceptions != target.exceptions):
        raise PyociError(f"{pointer}: the kernel did not take the device rules of {cgroup} as they were given")


def _write(directory: int, writes: list[tuple[bool, str]], pointer: str) -> None:
    files: dict[bool, int] = {}
    try:
        for allow, line in writes:
            if allow not in files:
                files[allow] = _fs.open_at(directory, "devices.allow" if allow else "devices.deny", posix.O_WRONLY)
            try:
                posix.write(files[allow], line.encode())
            except OSError as error:
                if error.errno != EPERM or not allow:
                    raise
                raise SystemCallError(f"the parent cgroup does not allow {line!r}", EPERM, pointer) from None
    finally:
        for fd in files.values():
            posix.close(fd)
