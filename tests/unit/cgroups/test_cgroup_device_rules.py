"""Device rules: reading them, reducing them for v1, and the shape of the v2 program. The kernel's part of it is in
tests/integration/cgroups."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from oci_runtime.errors import PyociError, SpecError
from oci_runtime.linux.cgroups import bpf, devices, devices_v1
from oci_runtime.linux.cgroups.devices import ALL, ANY, BLOCK, CHAR, MKNOD, READ, RWM, WRITE, Rule

DENY_ALL = {"allow": False, "access": "rwm"}


def own(*entries: dict[str, object]) -> list[str]:
    """The rules of the configuration, without the default ones."""
    rules = devices.parse({"devices": list(entries)}, "/r")  # type: ignore[arg-type]
    return [repr(rule) for rule in rules if rule.pointer != "/r/devices"]


def test_default_rules_come_last() -> None:
    rules = devices.parse({"devices": [DENY_ALL]}, "/r")  # type: ignore[arg-type]
    assert [rule.text() for rule in rules] == [
        "a *:* rwm", "c *:* m", "b *:* m", "c 1:3 rwm", "c 1:8 rwm", "c 1:7 rwm", "c 5:0 rwm", "c 1:5 rwm", "c 1:9 rwm",
        "c 136:* rwm", "c 5:2 rwm", "c 10:200 rwm",
    ]  # fmt: skip
    assert [rule.text() for rule in devices.parse(None, "/r")] == [rule.text() for rule in rules[1:]]


def test_entries() -> None:
    assert own({"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rw"}) == ["allow c 10:229 rw"]
    assert own({"allow": True, "type": "b", "major": -1, "access": "mr"}) == ["allow b *:* rm"]
    assert own(DENY_ALL, {"allow": True, "type": "a", "access": "rwm"}) == ["allow a *:* rwm"]


def test_type_a_with_anything_else_is_both_types() -> None:
    assert own({"allow": True, "major": 1, "minor": 3, "access": "r"}) == ["allow c 1:3 r", "allow b 1:3 r"]
    assert own({"allow": False, "type": "a", "access": "w"}) == ["deny c *:* w", "deny b *:* w"]


@pytest.mark.parametrize(
    ("entry", "pointer"),
    [
        ({"allow": True}, "/r/devices/0/access"),
        ({"allow": True, "access": ""}, "/r/devices/0/access"),
        ({"allow": True, "access": "rx"}, "/r/devices/0/access"),
        ({"allow": True, "access": "r", "type": "p"}, "/r/devices/0/type"),
        ({"allow": True, "access": "r", "major": -2}, "/r/devices/0/major"),
        ({"allow": True, "access": "r", "minor": 1 << 32}, "/r/devices/0/minor"),
    ],
)
def test_wrong_entries(entry: dict[str, object], pointer: str) -> None:
    with pytest.raises(SpecError) as caught:
        own(entry)
    assert caught.value.problems[0].pointer == pointer


numbers = st.sampled_from([1, 2, ALL])
single = st.builds(Rule, st.booleans(), st.sampled_from([BLOCK, CHAR]), numbers, numbers, st.integers(1, RWM))
everything = st.builds(Rule, st.booleans(), st.just(ANY), st.just(ALL), st.just(ALL), st.just(RWM))
rule_lists = st.lists(single | everything, max_size=8)
DEVICES = [(kind, major, minor) for kind in (BLOCK, CHAR) for major in (1, 2, 3) for minor in (1, 2, 3)]


def by_the_rules(rules: list[Rule], device: tuple[int, int, int], bit: int) -> bool:
    allowed = False
    for rule in rules:
        matches = all(a in (b, ALL) for a, b in zip((rule.major, rule.minor), device[1:], strict=True))
        if rule.type in (ANY, device[0]) and matches and rule.access & bit:
            allowed = rule.allow
    return allowed


def by_the_filter(found: devices_v1.Filter, device: tuple[int, int, int], bit: int) -> bool:
    for (kind, major, minor), access in found.exceptions.items():
        if kind == device[0] and major in (ALL, device[1]) and minor in (ALL, device[2]) and access & bit:
            return not found.default
    return found.default


@given(rule_lists)
def test_filter_is_exact_or_refused(rules: list[Rule]) -> None:
    try:
        found = devices_v1.reduce(rules)
    except PyociError:
        assume(False)
    for device in DEVICES:
        for bit in (MKNOD, READ, WRITE):
            assert by_the_filter(found, device, bit) == by_the_rules(rules, device, bit)


def play(found: devices_v1.Filter, writes: list[tuple[bool, str]]) -> devices_v1.Filter:
    """What the kernel does with writes to devices.allow and devices.deny."""
    result = devices_v1.Filter(found.default, dict(found.exceptions))
    for allow, line in writes:
        if line == "a *:* rwm":
            result = devices_v1.Filter(allow)
            continue
        ((device, access),) = devices_v1.read_list(line).exceptions.items()
        before = result.exceptions.get(device, 0)
        after = before | access if allow != result.default else before & ~access
        result.exceptions.pop(device, None)
        if after:
            result.exceptions[device] = after
    return result


@given(rule_lists, rule_lists)
def test_transition(old: list[Rule], new: list[Rule]) -> None:
    try:
        before, target = devices_v1.reduce(old), devices_v1.reduce(new)
    except PyociError:
        assume(False)
    writes = devices_v1.transition(before, target)
    after = play(before, writes)
    assert (after.default, after.exceptions) == (target.default, target.exceptions)
    if not before.default and not target.default:
        kept = {d: a & target.exceptions.get(d, 0) for d, a in before.exceptions.items()}
        for step in range(len(writes)):
            now = play(before, writes[:step]).exceptions
            assert all(now.get(device, 0) & access == access for device, access in kept.items() if access)


def test_read_list() -> None:
    assert devices_v1.read_list("a *:* rwm\n").default is True
    found = devices_v1.read_list("c 1:3 rwm\nb *:* m\nc 136:* rw\n")
    assert not found.default
    assert found.exceptions == {(CHAR, 1, 3): RWM, (BLOCK, ALL, ALL): MKNOD, (CHAR, 136, ALL): READ | WRITE}


@given(rule_lists)
def test_every_jump_of_the_program_is_forward_and_inside(rules: list[Rule]) -> None:
    program = bpf.assemble(rules)
    size = len(program) // 8
    for place in range(size):
        code = program[8 * place]
        offset = int.from_bytes(program[8 * place + 2 : 8 * place + 4], "little", signed=True)
        if code & 7 in (5, 6) and code != 0x95:
            assert offset >= 0
            assert place + 1 + offset < size
    assert program[-8] == 0x95


def test_program_too_long_for_its_jumps() -> None:
    rules = [Rule(True, CHAR, number, number, READ) for number in range(20000)]
    with pytest.raises(PyociError, match="too many device rules"):
        bpf.assemble(rules)
