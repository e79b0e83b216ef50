"""Plans are pure data: what operations a configuration becomes, in what order, and how init reads them."""

from __future__ import annotations

import copy
import os
import struct
from typing import Any

import pytest
from plans import NAMES, Decoded, bundle, context_for, plan_of, shown

from oci_runtime._shim import ffi, lib
from oci_runtime.plan.capabilities import left_out, mask
from oci_runtime.plan.container import plan_container
from oci_runtime.plan.cpu_lists import bit_mask
from oci_runtime.plan.exec_process import plan_exec_process
from oci_runtime.plan.namespaces import Namespaces, plan_namespaces
from oci_runtime.plan.operations import Blob, Plan
from oci_runtime.plan.sysctl import plan_sysctl
from oci_runtime.plan.time_offsets import plan_time_offsets
from oci_runtime.spec.validate_process import CAPABILITIES

MINIMAL = """LOOPBACK_UP /linux/namespaces
HOSTNAME /hostname
HOST_PROPAGATION /linux/rootfsPropagation
ROOTFS /root/path
MOUNT /mounts/0
MOUNT /mounts/1"""

END = """SESSION_KEYRING
FIND_EXECUTABLE /process/args/0
WORKING_DIRECTORY /process/cwd
SYNC
WAIT_START
WORKING_DIRECTORY /process/cwd
BOUNDING_SET /process/capabilities/bounding
INHERITED /process/user
USER /process/user
CAPABILITIES /process/capabilities
WORKING_DIRECTORY /process/cwd
NO_NEW_PRIVILEGES /process/noNewPrivileges
EXEC /process/args"""


def lines(plan: Plan) -> list[str]:
    return [shown(operation) for operation in plan.operations]


def test_a_minimal_container() -> None:
    found = "\n".join(lines(plan_of(bundle("minimal"))))
    assert found.startswith(MINIMAL)
    assert found.endswith(END)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_configuration_gives_the_same_plan(name: str) -> None:
    config = bundle(name)
    before = copy.deepcopy(config)
    assert str(plan_of(config)) == str(plan_of(config))
    assert config == before, "planning must not change the configuration"


def order(plan: Plan, *names: str) -> list[int]:
    """Where each of these operations stands."""
    found = [line.split()[0] for line in lines(plan)]
    return [found.index(name) for name in names]


def test_privileges_are_given_up_in_an_order_that_works() -> None:
    """seccomp without noNewPrivileges needs CAP_SYS_ADMIN, the bounding set CAP_SETPCAP, setuid(2) comes between; with
    noNewPrivileges the filter is the last thing, since it may forbid all the others."""
    config = bundle("engine")
    config["process"]["noNewPrivileges"] = False
    places = order(plan_of(config), "PIVOT_ROOT", "SYNC", "BOUNDING_SET", "SECCOMP", "USER", "CAPABILITIES", "EXEC")
    assert places == sorted(places)
    config["process"]["noNewPrivileges"] = True
    places = order(plan_of(config), "BOUNDING_SET", "USER", "CAPABILITIES", "NO_NEW_PRIVILEGES", "SECCOMP", "EXEC")
    assert places == sorted(places)


def test_settings_come_before_the_root_is_left() -> None:
    config = bundle("full")
    plan = plan_of(config)
    places = order(plan, "ROOTFS", "SYSCTL", "PIVOT_ROOT", "FIND_EXECUTABLE", "SYNC")
    assert places[0] < places[1]
    assert places[2] < places[3]


def resolve(document: Any, pointer: str) -> Any:
    for step in pointer.split("/")[1:]:
        step = step.replace("~1", "/").replace("~0", "~")
        document = document[int(step)] if isinstance(document, list) else document[step]
    return document


# What every container gets, whether its configuration speaks of it or not.
DEFAULTS = {
    "/linux/rootfsPropagation",
    "/process/capabilities",
    "/process/capabilities/bounding",
    "/process/user",
}


@pytest.mark.parametrize("name", NAMES)
def test_every_operation_names_a_place_in_the_configuration(name: str) -> None:
    config = bundle(name)
    for operation in plan_of(config).operations:
        if operation.pointer and operation.pointer not in DEFAULTS:
            resolve(config, operation.pointer)


@pytest.mark.parametrize("name", NAMES)
def test_every_descriptor_names_a_place_in_the_configuration(name: str) -> None:
    config = bundle(name)
    for descriptor in plan_of(config).descriptors:
        if descriptor.pointer:
            resolve(config, descriptor.pointer)


@pytest.mark.parametrize("name", NAMES)
def test_every_operation_has_words_for_its_failure(name: str) -> None:
    from oci_runtime.linux.conversation import Report
    from oci_runtime.linux.spawn_errors import operation_failure

    plan = plan_of(bundle(name))
    report = ffi.new("struct report *")
    for at, operation in enumerate(plan.operations):
        report.kind, report.value, report.op = lib.REPORT_FAILED, 1, at
        message = str(operation_failure(Report(bytes(ffi.buffer(report)), -1), plan))
        assert f"operation {operation.code} failed" not in message
        if operation.pointer:
            assert operation.pointer in message


# --- encoding


def test_python_and_c_agree_on_the_layout() -> None:
    assert struct.calcsize("=4I") == ffi.sizeof("struct plan_header")
    assert struct.calcsize("=6I8q") == ffi.sizeof("struct plan_op")
    fields = {name: field.offset for name, field in ffi.typeof("struct plan_op").fields}
    assert fields == {"code": 0, "s": 4, "pad": 20, "n": 24}
    assert [name for name, _ in ffi.typeof("struct plan_header").fields] == ["magic", "count", "size", "op_size"]
    assert ffi.typeof("struct plan_op").fields[1][1].type.length == lib.PLAN_STRINGS
    assert ffi.typeof("struct plan_op").fields[3][1].type.length == lib.PLAN_NUMBERS
    assert ffi.typeof("struct report").fields[4][1].type.length == lib.REPORT_TEXT


@pytest.mark.parametrize("name", NAMES)
def test_init_reads_what_was_planned(name: str) -> None:
    plan = plan_of(bundle(name))
    check_encoding(plan)


def check_encoding(plan: Plan) -> None:
    data = plan.encode()
    decoded = Decoded(data)
    assert (decoded.header.magic, decoded.header.size) == (lib.PLAN_MAGIC, len(data))
    assert decoded.header.op_size == ffi.sizeof("struct plan_op")
    assert data.endswith(b"\0")
    for operation, op in zip(plan.operations, decoded.ops, strict=True):
        assert op.code == operation.code
        for text, offset in zip(operation.s, op.s, strict=False):
            check_text(decoded, text, offset)
        for number, encoded in zip(operation.n, op.n, strict=False):
            assert encoded == (number if isinstance(number, int) else number.fd)


def check_text(decoded: Decoded, text: Any, offset: int) -> None:
    if text is None:
        assert offset == 0
    elif isinstance(text, str):
        assert decoded.text(offset) == os.fsencode(text)
    elif isinstance(text, tuple):
        assert decoded.texts(offset, len(text)) == [os.fsencode(each) for each in text]
    else:
        content = text.data if isinstance(text, Blob) else text
        assert decoded.data[offset : offset + len(content)] == content
        assert offset % 8 == 0


def test_every_character_is_encoded_as_utf_8() -> None:
    plan = Plan()
    everything = "".join(map(chr, range(1, 256))) + "€𝄞" + os.fsdecode(b"\xff\xfe")
    plan.add(lib.OP_EXEC, "/process/args", (None, ("", everything, ""), ()), (3, 0))
    check_encoding(plan)


def test_a_lone_surrogate_is_refused_by_name() -> None:
    from oci_runtime.errors import SpecError

    plan = Plan()
    plan.add(lib.OP_HOSTNAME, "/hostname", ("\ud800",))
    with pytest.raises(SpecError, match="/hostname"):
        plan.encode()


# --- one section at a time


def test_namespaces() -> None:
    linux: Any = {
        "namespaces": [
            {"type": "pid"},
            {"type": "network", "path": "/run/netns/a"},
            {"type": "cgroup"},
            {"type": "time"},
            {"type": "user", "path": ""},
        ],
        "timeOffsets": {"boottime": {"secs": -5, "nanosecs": 3}},
    }
    namespaces = Namespaces(linux)
    assert namespaces.new == {"pid", "cgroup", "time", "user"}
    assert namespaces.joined == [("network", "/run/netns/a", "/linux/namespaces/1/path")]
    assert namespaces.clone_flags() == 0x30000000  # CLONE_NEWPID | CLONE_NEWUSER; init makes the two others
    assert namespaces.has("network")
    assert not namespaces.has("ipc")
    plan = Plan()
    plan_namespaces(plan, linux, namespaces)
    assert lines(plan) == ["TIME_NAMESPACE /linux/timeOffsets", "CGROUP_NAMESPACE /linux/namespaces"]
    assert plan.operations[0].s == ("boottime -5 3\n",)


def test_a_time_namespace_without_offsets() -> None:
    plan = Plan()
    plan_time_offsets(plan, {})
    assert plan.operations[0].s == (None,)


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("net.ipv4.ip_forward", "net/ipv4/ip_forward"),
        ("net/ipv4/ip_forward", "net/ipv4/ip_forward"),
        ("net.ipv4.conf.eth0/1.forwarding", "net/ipv4/conf/eth0.1/forwarding"),
        ("net/ipv4/conf/eth0.1/forwarding", "net/ipv4/conf/eth0.1/forwarding"),
        ("kernel.msgmax", "kernel/msgmax"),
    ],
)
def test_sysctl_paths(key: str, path: str) -> None:
    plan = Plan()
    plan_sysctl(plan, {"sysctl": {key: "1"}})
    assert plan.operations[0].s == (path, "1")
    assert plan.operations[0].pointer == "/linux/sysctl/" + key.replace("/", "~1")


def test_cpu_lists() -> None:
    assert bit_mask("0-3,7, 9") == 0b1010001111.to_bytes(8, "little")
    assert bit_mask("0,63") == (1 | 1 << 63).to_bytes(8, "little")
    assert bit_mask("64") == bytes(8) + b"\1" + bytes(7)


def test_capabilities_are_in_the_order_of_the_kernel() -> None:
    assert mask(["CAP_CHOWN"]) == 1
    assert mask(["CAP_SYS_ADMIN", "CAP_CHECKPOINT_RESTORE"]) == 1 << 21 | 1 << 40
    assert mask(CAPABILITIES) == (1 << 41) - 1


def test_what_cannot_be_granted_is_noted() -> None:
    config = bundle("minimal")
    context = context_for(config)
    context.capabilities = mask(["CAP_KILL"])
    plan = plan_container(config, context)
    bounding = next(op for op in plan.operations if op.code == lib.OP_BOUNDING_SET)
    assert bounding.n == (mask(["CAP_KILL"]),)
    both = mask(["CAP_AUDIT_WRITE", "CAP_NET_BIND_SERVICE"])
    assert context.capabilities_denied == dict.fromkeys(("bounding", "permitted", "effective"), both)
    assert list(left_out(context)) == [
        "capabilities that cannot be granted here are left out: CAP_NET_BIND_SERVICE, CAP_AUDIT_WRITE "
        "(/process/capabilities)"
    ]


_KILL = ["CAP_KILL"]


@pytest.mark.parametrize(
    ("sets", "sentences"),
    [
        (
            {"ambient": [*_KILL, "CAP_CHWN"], "bounding": _KILL, "permitted": _KILL, "inheritable": _KILL},
            ["'CAP_CHWN' is no capability, and is left out; did you mean CAP_CHOWN? (/process/capabilities/ambient/1)"],
        ),
        (
            {"bounding": ["CAP_KILL", "net_bind_service"]},
            [
                "'net_bind_service' is no capability, and is left out; did you mean CAP_NET_BIND_SERVICE? "
                "(/process/capabilities/bounding/1)"
            ],
        ),
        ({"permitted": [""]}, ["'' is no capability, and is left out (/process/capabilities/permitted/0)"]),
        (
            {"effective": ["CAP_KILL"]},
            ["CAP_KILL cannot be effective without being permitted: left out (/process/capabilities/effective)"],
        ),
        (
            {"inheritable": ["CAP_KILL"]},
            [
                "CAP_KILL cannot be inheritable without being in the bounding set: left out "
                "(/process/capabilities/inheritable)"
            ],
        ),
        (
            {kind: ["CAP_KILL", "CAP_CHOWN"] for kind in ("bounding", "permitted", "effective", "ambient")},
            [
                "CAP_CHOWN, CAP_KILL cannot be ambient without being permitted and inheritable: left out "
                "(/process/capabilities/ambient)"
            ],
        ),
        ({kind: ["CAP_KILL"] for kind in ("bounding", "permitted", "inheritable", "ambient")}, []),
    ],
)
def test_what_is_left_out_is_told_as_what_it_is(sets: dict[str, list[str]], sentences: list[str]) -> None:
    config = bundle("minimal")
    config["process"]["capabilities"] = sets
    context = context_for(config)
    plan_container(config, context)
    assert list(left_out(context)) == sentences


def test_exec() -> None:
    config = bundle("minimal")
    plan = plan_exec_process(config["process"], config.get("linux", {}), context_for(config))
    assert lines(plan)[:2] == ["ROOTFS_DIRECTORY", "NEW_SESSION"]
    assert lines(plan)[-1] == "EXEC /process/args"
    check_encoding(plan)
    plan = plan_exec_process(config["process"], config.get("linux", {}), context_for(config), "/proc/7/root")
    assert lines(plan)[:2] == ["ROOTFS_DIRECTORY", "CHROOT"]


@pytest.mark.parametrize("selinux", [False, True])
def test_mount_label(selinux: bool) -> None:
    config = bundle("minimal")
    config["linux"]["mountLabel"] = "a:b:c:s0:c1,c2"
    context = context_for(config)
    context.selinux = selinux
    plan = plan_container(config, context)
    labelled = {
        op.s[0] for op in plan.operations if op.code == lib.OP_MOUNT and 'context="a:b:c:s0:c1,c2"' in str(op.s[3])
    }
    assert labelled == ({"tmpfs", "devpts", "mqueue"} if selinux else set())
    assert context.mount_label_left_out != selinux


@pytest.mark.parametrize("kind", ["context", "fscontext", "defcontext", "rootcontext"])
def test_mount_context_type(kind: str) -> None:
    config = bundle("minimal")
    config["linux"]["mountLabel"] = "a:b:c:s0:c1,c2"
    config["linux"]["maskedPaths"] = ["/proc/acpi"]
    config["annotations"] = {"run.oci.mount_context_type": kind}
    plan = plan_of(config)
    option = f'{kind}="a:b:c:s0:c1,c2"'
    labelled = {op.s[0] for op in plan.operations if op.code == lib.OP_MOUNT and option in str(op.s[3])}
    assert labelled == {"tmpfs", "devpts", "mqueue"}
    assert ("/proc/acpi", option) in [op.s[:2] for op in plan.operations if op.code == lib.OP_MASKED_PATH]


@pytest.mark.parametrize("env", [[], ["A=1", "A=2", "B"], ["HOME=/x", "=odd", "A=b=c"]])
def test_environment(env: list[str]) -> None:
    config = bundle("minimal")
    config["process"]["env"] = env
    plan = plan_of(config)
    execute = plan.operations[-1]
    inherited = next(operation for operation in plan.operations if operation.code == lib.OP_INHERITED)
    variables = execute.s[2]
    assert isinstance(variables, tuple)
    assert execute.n[:2] == (1, len(variables))
    assert len({each.split("=")[0] for each in variables}) == len(variables)
    assert (inherited.n[3] == -1) == any(each.startswith("HOME=") for each in env)


def test_the_largest_numbers() -> None:
    config = bundle("minimal")
    most = 2**64 - 1
    scheduler = {"policy": "SCHED_DEADLINE", "runtime": most, "deadline": most, "period": most}
    config["process"]["scheduler"] = scheduler
    config["hooks"] = {"createContainer": [{"path": "/hook", "timeout": most}]}
    decoded = Decoded(plan_of(config).encode())
    op = next(op for op in decoded.ops if op.code == lib.OP_SCHEDULER)
    assert [number & most for number in op.n[4:7]] == [most] * 3


def test_a_plan_that_is_shown_commands_no_terminal() -> None:
    """Values, paths of descriptors and pointers are as config.json has them."""
    hostile = "x\n\x1b]0;title\x07\r\x85\u2028\u202e\x9b"
    config = bundle("minimal")
    config["hostname"] = hostile
    config["process"]["args"] = [hostile]
    config["process"]["env"] = [f"A={hostile}"]
    config["process"]["cwd"] = f"/{hostile}"
    config["root"]["path"] = f"/{hostile}"
    config["linux"]["sysctl"] = {f"net.{hostile}": hostile}
    config["mounts"] += [{"destination": f"/{hostile}", "source": f"/{hostile}", "options": ["bind"]}]
    plan = plan_of(config)
    lines = str(plan).split("\n")
    assert len(lines) == len(plan.operations)
    assert all(line.isprintable() for line in lines)
