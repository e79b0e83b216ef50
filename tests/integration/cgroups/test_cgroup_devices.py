"""Device rules, enforced by the kernel: the devices controller of v1, and our eBPF program on v2."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from cgroup_support import BASE, Child, in_v2_view, run_inside, v1_only
from hypothesis import given, settings
from hypothesis import strategies as st

from oci_runtime._shim import ffi, lib
from oci_runtime.errors import PyociError, SystemCallError
from oci_runtime.linux.cgroups import manager
from oci_runtime.linux.cgroups.manager import Manager

Make = Callable[..., Manager]
RuleList = Sequence[dict[str, object]]
DENY_ALL = {"allow": False, "access": "rwm"}
ALLOW_ALL = {"allow": True, "access": "rwm"}

# Numbers without a driver: what passes the cgroup fails with ENXIO, what does not with EPERM.
NODES = [(kind, major, minor) for kind in "bc" for major in (241, 242) for minor in (7, 8)]
FLAGS = {"r": os.O_RDONLY, "w": os.O_WRONLY, "rw": os.O_RDWR}
ASKED = [*FLAGS, "m"]


def node_path(directory: Path, node: tuple[str, int, int]) -> Path:
    return directory / "{}-{}-{}".format(*node)


def make_nodes(directory: Path) -> None:
    for kind, major, minor in NODES:
        mode = (stat.S_IFBLK if kind == "b" else stat.S_IFCHR) | 0o600
        os.mknod(node_path(directory, (kind, major, minor)), mode, os.makedev(major, minor))


def permitted(directory: Path, node: tuple[str, int, int], asked: str) -> bool:
    """Whether the kernel lets this process open, or make (asked "m"), the device."""
    kind, major, minor = node
    try:
        if asked == "m":
            path = directory / "made"
            os.mknod(path, (stat.S_IFBLK if kind == "b" else stat.S_IFCHR) | 0o600, os.makedev(major, minor))
            path.unlink()
        else:
            os.close(os.open(node_path(directory, node), FLAGS[asked] | os.O_NONBLOCK))
    except OSError as error:
        if error.errno == errno.EPERM:
            return False
        if error.errno not in (errno.ENXIO, errno.ENODEV):
            raise
    return True


def expected(rules: RuleList, node: tuple[str, int, int], asked: str) -> bool:
    """The specification, without anything of the implementation: each access is decided by the last rule about it."""
    for access in asked:
        allowed = access == "m"  # the default rules
        if access != "m":
            for rule in rules:
                wanted = (rule.get("type", "a"), rule.get("major", -1), rule.get("minor", -1))
                matches = all(a in (b, "a", -1) for a, b in zip(wanted, node, strict=True))
                if matches and access in str(rule["access"]):
                    allowed = bool(rule["allow"])
        if not allowed:
            return False
    return True


def answers(directory: Path, out: int) -> int:
    """What the kernel permits of everything, as a string of 0 and 1."""
    text = "".join("01"[permitted(directory, node, asked)] for node in NODES for asked in ASKED)
    os.write(out, text.encode())
    return 0


def ask_kernel(made: Manager, directory: Path) -> str:
    out, into = os.pipe()
    try:
        assert run_inside(made, lambda: answers(directory, into)) == 0
        return os.read(out, 4096).decode()
    finally:
        os.close(out)
        os.close(into)


def right_answers(rules: RuleList) -> str:
    return "".join("01"[expected(rules, node, asked)] for node in NODES for asked in ASKED)


numbers = st.sampled_from([241, 242, -1])
rule = st.fixed_dictionaries(
    {"allow": st.booleans(), "access": st.sampled_from(["r", "w", "rw", "rwm", "m", "wm"])},
    optional={
        "type": st.sampled_from(["a", "b", "c"]),
        "major": st.sampled_from([241, 242, -1]),
        "minor": st.sampled_from([7, 8, -1]),
    },
)
rule_lists = st.lists(rule, max_size=8)

OVERLAPPING: list[RuleList] = [
    [],
    [DENY_ALL],
    [ALLOW_ALL],
    [{"allow": True, "access": "rw"}],
    [DENY_ALL, {"allow": True, "type": "c", "major": 241, "minor": 7, "access": "rw"}],
    [DENY_ALL, {"allow": True, "type": "c", "major": 241, "minor": 7, "access": "r"}],
    [DENY_ALL, {"allow": True, "major": 241, "minor": 7, "access": "rw"}],
    [ALLOW_ALL, {"allow": False, "type": "c", "major": 241, "minor": 7, "access": "w"}],
    [ALLOW_ALL, {"allow": False, "type": "b", "access": "rw"}],
    [DENY_ALL, {"allow": True, "type": "c", "major": 241, "minor": 7, "access": "rw"},
     {"allow": False, "type": "c", "major": 241, "access": "w"}],
    [{"allow": True, "type": "c", "major": 241, "access": "r"},
     {"allow": True, "type": "c", "major": 241, "access": "w"}],
    [{"allow": True, "type": "c", "access": "rw"}, DENY_ALL, {"allow": True, "type": "b", "access": "r"}],
    [ALLOW_ALL, {"allow": False, "access": "w"}, {"allow": True, "type": "c", "access": "w"}],
]  # fmt: skip

# What v1 refuses, and v2 does: an exception from an exception, and one access that two rules allow together.
ONLY_V2: list[RuleList] = [
    [{"allow": True, "type": "c", "access": "rw"},
     {"allow": False, "type": "c", "major": 241, "minor": 7, "access": "w"}],
    [{"allow": True, "type": "c", "major": 241, "access": "rw"},
     {"allow": False, "type": "c", "minor": 7, "access": "r"}],
    [ALLOW_ALL, {"allow": False, "type": "c", "access": "rw"},
     {"allow": True, "type": "c", "major": 241, "access": "rw"}],
]  # fmt: skip


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Path]:
    """A directory of device files, in a filesystem of its own: /tmp may be mounted nodev."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "dev", "none", tmp_path], check=True)
    make_nodes(tmp_path)
    yield tmp_path
    subprocess.run(["umount", "--lazy", tmp_path], check=True)


def use_default_devices() -> int:
    """Exit status 0 if these can be used and no other."""
    for device in ("null", "zero", "full", "random", "urandom"):
        os.close(os.open(f"/dev/{device}", os.O_RDWR))
    os.close(os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY))
    try:
        os.open("/dev/kmsg", os.O_RDONLY)
    except OSError as error:
        return 0 if error.errno == errno.EPERM else 1
    return 2


@v1_only
class TestV1:
    @pytest.mark.parametrize("rules", OVERLAPPING)
    def test_rules_in_order(self, created: Make, nodes: Path, rules: RuleList) -> None:
        made = created({"devices": rules})
        assert ask_kernel(made, nodes) == right_answers(rules)

    @pytest.mark.parametrize("rules", ONLY_V2)
    def test_exception_from_an_exception(self, created: Make, rules: RuleList) -> None:
        with pytest.raises(PyociError, match=r"/linux/resources/devices.*exception"):
            created({"devices": rules})

    def test_default_devices(self, created: Make) -> None:
        assert run_inside(created(None), use_default_devices) == 0
        assert run_inside(created({"devices": [DENY_ALL]}), use_default_devices) == 0

    def test_update_does_not_interrupt(self, name: str, created: Make) -> None:
        one = {"allow": True, "type": "c", "major": 241, "minor": 7, "access": "rw"}
        other = {"allow": True, "type": "b", "major": 242, "minor": 8, "access": "rwm"}
        made = created({"devices": [DENY_ALL, one]})
        made.apply_devices({"devices": [DENY_ALL, other]})  # type: ignore[arg-type]
        listed = (BASE / "devices" / name / "devices.list").read_text().splitlines()
        assert "b 242:8 rwm" in listed
        assert not any("241:7" in line for line in listed)
        assert "c 1:3 rwm" in listed

    def test_parent_that_allows_less(self, name: str, created: Make) -> None:
        created({"devices": [DENY_ALL]})
        below = manager.new(f"/{name}/below", name, None)
        below.create()
        with pytest.raises(SystemCallError, match=r"parent.*c 241:7 rw.*/linux/resources/devices"):
            below.apply({"devices": [{"allow": True, "type": "c", "major": 241, "minor": 7, "access": "rw"}]})
        below.close()


def attached(directory: Path) -> list[int]:
    """Ids of the attached device programs: bpf(2), BPF_PROG_QUERY."""
    fd = os.open(directory, os.O_RDONLY)
    ids = ffi.new("unsigned int[]", 64)
    address = int(ffi.cast("uintptr_t", ids))
    words = b"".join(n.to_bytes(4, "little") for n in (fd, 6, 0, 0))
    attributes = ffi.new("char[]", words + address.to_bytes(8, "little") + (64).to_bytes(8, "little"))
    assert lib.sys_bpf(16, attributes, 32) == 0
    os.close(fd)
    return list(ids[0 : int.from_bytes(ffi.buffer(attributes)[24:28], "little")])


class TestV2:
    @pytest.mark.parametrize("rules", OVERLAPPING + ONLY_V2)
    def test_rules_in_order(self, name: str, nodes: Path, rules: RuleList) -> None:
        def body() -> None:
            made = manager.new(f"/{name}", name, None)
            made.create()
            made.apply({"devices": rules})  # type: ignore[arg-type]
            assert ask_kernel(made, nodes) == right_answers(rules)
            made.delete()

        in_v2_view(body)

    def test_any_rules(self, name: str, nodes: Path) -> None:
        """Random lists, one container updated from each to the next: the kernel agrees with the specification."""

        def body() -> None:
            made = manager.new(f"/{name}", name, None)
            made.create()

            @settings(max_examples=200, deadline=None, database=None)
            @given(rule_lists)
            def check(rules: RuleList) -> None:
                made.apply_devices({"devices": rules})  # type: ignore[arg-type]
                assert ask_kernel(made, nodes) == right_answers(rules)

            check()
            made.delete()

        in_v2_view(body)

    def test_default_devices(self, name: str) -> None:
        def body() -> None:
            made = manager.new(f"/{name}", name, None)
            made.create()
            made.apply(None)
            assert run_inside(made, use_default_devices) == 0

        in_v2_view(body)

    def test_update_replaces_the_program(self, name: str) -> None:
        def body() -> None:
            made = manager.new(f"/{name}", name, None)
            made.create()
            made.apply({"devices": [ALLOW_ALL]})  # type: ignore[arg-type]
            first = attached(BASE / name)
            later = manager.from_state(made.to_state())
            later.apply_devices({"devices": [DENY_ALL]})  # type: ignore[arg-type]
            second = attached(BASE / name)
            assert len(first) == len(second) == 1
            assert first != second

        in_v2_view(body)

    def test_program_of_a_cgroup_that_was_there_is_replaced(self, name: str) -> None:
        def body() -> None:
            made = manager.new(f"/{name}", name, None)
            made.create()
            made.apply(None)
            again = manager.new(f"/{name}", name, None)
            again.create()
            again.apply(None)
            assert len(attached(BASE / name)) == 1

        in_v2_view(body)

    def test_child_of_a_filtered_process(self, name: str, nodes: Path) -> None:
        """Not only the process that was moved: those it forks too."""

        def body() -> None:
            made = manager.new(f"/{name}", name, None)
            made.create()
            made.apply(None)

            def forks() -> int:
                return Child(lambda: int(permitted(nodes, NODES[0], "r"))).run()

            assert run_inside(made, forks) == 0

        in_v2_view(body)
