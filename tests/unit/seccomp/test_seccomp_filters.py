"""Compiled filters, installed for real: each call below is made by a process under the filter."""

from __future__ import annotations

import errno
import platform
import subprocess
from pathlib import Path
from typing import Any

import pytest
from seccomp_tools import X86_64, Interpreter, Profile, engine_profile, verdicts

from oci_runtime.errors import SpecError
from oci_runtime.linux import seccomp_compiler
from oci_runtime.linux.seccomp_compiler import compile_filter

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="the tables hold x86_64's system call numbers")

GETPID, MKDIR, GETPPID, PERSONALITY, CLONE3, MADE_UP = 39, 83, 110, 135, 435, 999
SIGSYS = 31
EPERM, ENOSYS, EFAULT = f"errno {errno.EPERM}", f"errno {errno.ENOSYS}", f"errno {errno.EFAULT}"


def allow_but(*syscalls: dict[str, Any], **rest: Any) -> Profile:
    return {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": list(syscalls), **rest}


def deny_but(*names: str, **rest: Any) -> Profile:
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "syscalls": [{"names": list(names), "action": "SCMP_ACT_ALLOW"}],
        **rest,
    }


def check(op: str, value: int, value_two: int | None = None, index: int = 0) -> dict[str, Any]:
    arg: dict[str, Any] = {"index": index, "op": f"SCMP_CMP_{op}", "value": value}
    return arg if value_two is None else {**arg, "valueTwo": value_two}


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"action": "SCMP_ACT_ERRNO"}, EPERM),
        ({"action": "SCMP_ACT_ERRNO", "errnoRet": 100}, "errno 100"),
        ({"action": "SCMP_ACT_ERRNO", "errnoRet": 0}, "return 0"),
        ({"action": "SCMP_ACT_KILL"}, f"signal {SIGSYS}"),
        ({"action": "SCMP_ACT_KILL_THREAD"}, f"signal {SIGSYS}"),
        ({"action": "SCMP_ACT_KILL_PROCESS"}, f"signal {SIGSYS}"),
        ({"action": "SCMP_ACT_TRAP"}, "sigsys 0"),
        # With no tracer there.
        ({"action": "SCMP_ACT_TRACE"}, ENOSYS),
        ({"action": "SCMP_ACT_LOG"}, EFAULT),
        # What the default does needs no rule, and libseccomp would refuse it.
        ({"action": "SCMP_ACT_ALLOW"}, EFAULT),
    ],
)
def test_actions(probe: Path, tmp_path: Path, entry: dict[str, Any], expected: str) -> None:
    profile = allow_but({"names": ["mkdir"], **entry})
    assert verdicts(probe, tmp_path, profile, [f"native:{MKDIR}", f"native:{MADE_UP}"]) == [expected, ENOSYS]


@pytest.mark.parametrize(
    ("args", "refused", "passed"),
    [
        ([check("EQ", 7)], [7], [6, 8, 7 << 32]),
        ([check("NE", 7)], [6, 8, 7 << 32], [7]),
        ([check("LT", 7)], [0, 6], [7, 1 << 32]),
        ([check("LE", 7)], [0, 7], [8, 1 << 32]),
        ([check("GT", 7)], [8, 1 << 32], [0, 7]),
        ([check("GE", 7)], [7, 1 << 32], [0, 6]),
        ([check("MASKED_EQ", 0xF0, 0x30)], [0x30, 0x3F, 0x130], [0x20, 0x70, 0]),
        # valueTwo means something to MASKED_EQ only, and without one it is 0.
        ([check("MASKED_EQ", 0xF0)], [0, 0x0F], [0x10]),
        ([check("EQ", 2**64 - 1)], [2**64 - 1], [2**32 - 1, 0]),
        # Two checks of one argument are alternatives.
        ([check("EQ", 3), check("EQ", 5)], [3, 5], [4]),
    ],
)
def test_argument_checks(
    probe: Path, tmp_path: Path, args: list[dict[str, Any]], refused: list[int], passed: list[int]
) -> None:
    entry = {"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 99, "args": args}
    calls = [f"native:{MKDIR}:{value}" for value in refused + passed]
    got = verdicts(probe, tmp_path, allow_but(entry), calls)
    assert [verdict == "errno 99" for verdict in got] == [True] * len(refused) + [False] * len(passed)


def test_checks_of_several_arguments_must_all_hold(probe: Path, tmp_path: Path) -> None:
    entry = {
        "names": ["mkdir"],
        "action": "SCMP_ACT_ERRNO",
        "errnoRet": 99,
        "args": [check("EQ", 0), check("EQ", 5, index=1)],
    }
    got = verdicts(probe, tmp_path, allow_but(entry), [f"native:{MKDIR}:0:5", f"native:{MKDIR}:0:4"])
    assert got == ["errno 99", EFAULT]


def test_unknown_names_are_skipped(probe: Path, tmp_path: Path) -> None:
    profile = allow_but({"names": ["no_such_call", "mkdir", "näh", "\ud800"], "action": "SCMP_ACT_ERRNO"})
    assert verdicts(probe, tmp_path, profile, [f"native:{MKDIR}", f"native:{GETPID}"])[0] == EPERM


def test_empty_profile(probe: Path, tmp_path: Path) -> None:
    got = verdicts(probe, tmp_path, {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 7}, [f"native:{GETPID}"])
    assert got == ["errno 7"]


def test_calls_newer_than_the_profile_are_unknown(probe: Path, tmp_path: Path) -> None:
    calls = [f"native:{GETPPID}", f"native:{PERSONALITY}", f"native:{CLONE3}", f"native:{MADE_UP}"]
    old = verdicts(probe, tmp_path, deny_but("getpid", "personality"), calls)
    assert (old[0], old[2:]) == (EPERM, [ENOSYS, ENOSYS])
    assert old[1].startswith("return")
    new = verdicts(probe, tmp_path, deny_but("getpid", "clone3"), calls)
    assert new == [EPERM, EPERM, f"errno {errno.EINVAL}", ENOSYS]


def test_newness_is_decided_before_killing(probe: Path, tmp_path: Path) -> None:
    profile = deny_but("getpid") | {"defaultAction": "SCMP_ACT_KILL_PROCESS"}
    got = verdicts(probe, tmp_path, profile, ["native:1", f"native:{MADE_UP}"])
    assert got == [f"signal {SIGSYS}", ENOSYS]


def test_other_architectures(probe: Path, tmp_path: Path) -> None:
    i386_getppid, i386_getpid, x32_getppid = 64, 20, 0x40000000 | GETPPID
    calls = [f"i386:{i386_getppid}", f"i386:{i386_getpid}", f"i386:{MADE_UP}", f"native:{x32_getppid}"]
    profile = deny_but("getpid", "mkdir", "clone3")
    killed = f"signal {SIGSYS}"
    assert verdicts(probe, tmp_path, profile, calls) == [killed] * 4
    profile["architectures"] = ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]
    got = verdicts(probe, tmp_path, profile, calls)
    assert got[0] == EPERM
    assert got[1].startswith("return")
    assert got[2:] == [ENOSYS, EPERM]


def test_notify(probe: Path, tmp_path: Path) -> None:
    profile = allow_but(
        {"names": ["getppid"], "action": "SCMP_ACT_NOTIFY"}, flags=["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]
    )
    bpf, flags, notify = compile_filter(profile)
    assert (flags, notify) == (1 << 3 | 1 << 5, True)
    path = tmp_path / "filter.bpf"
    path.write_bytes(bpf)
    run = subprocess.run([probe, "notify", str(flags), path], capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout == f"notified {GETPPID} 0\n"


@pytest.mark.parametrize(
    ("names", "flags"),
    [
        (None, 4),
        ([], 0),
        (["SECCOMP_FILTER_FLAG_TSYNC"], 0),
        (["SECCOMP_FILTER_FLAG_LOG"], 2),
        (["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_TSYNC"], 6),
    ],
)
def test_flags(probe: Path, tmp_path: Path, names: list[str] | None, flags: int) -> None:
    profile = allow_but({"names": ["mkdir"], "action": "SCMP_ACT_ERRNO"})
    if names is not None:
        profile["flags"] = names
    assert compile_filter(profile)[1] == flags
    assert verdicts(probe, tmp_path, profile, [f"native:{MKDIR}"]) == [EPERM]


def test_engine_profile(probe: Path, tmp_path: Path) -> None:
    calls = [f"native:{MKDIR}", "native:321", "native:101", f"native:{MADE_UP}"]
    mkdir, bpf, ptrace, made_up = verdicts(probe, tmp_path, engine_profile(), calls)
    assert (mkdir, bpf, made_up) == (EFAULT, EPERM, ENOSYS)
    assert ptrace != EPERM


def test_large_filters_are_trees() -> None:
    interpreter = Interpreter(compile_filter(engine_profile())[0])
    steps = []
    for number in range(460):
        interpreter.decide(X86_64, number)
        steps.append(interpreter.steps)
    # One after the other they would take more than 400.
    assert max(steps) < 50


@pytest.mark.parametrize(
    ("profile", "pointer"),
    [
        ({"defaultAction": "SCMP_ACT_NOTIFY"}, "/defaultAction"),
        ({"defaultAction": "ALLOW"}, "/defaultAction"),
        ({}, "/defaultAction"),
        (allow_but(defaultErrnoRet=1), "/defaultErrnoRet"),
        (deny_but("getpid", defaultErrnoRet=4096), "/defaultErrnoRet"),
        (deny_but("getpid", architectures=["SCMP_ARCH_X86", "SCMP_ARCH_VAX"]), "/architectures/1"),
        (deny_but("getpid", architectures=["SCMP_ARCH_S390X"]), "/architectures"),
        (deny_but("getpid", flags=["SECCOMP_FILTER_FLAG_LOG", "LOG"]), "/flags/1"),
        (deny_but("getpid", flags=["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]), "/flags/0"),
        (deny_but("getpid", ""), "/syscalls/0/names/1"),
        (deny_but("get\0pid"), "/syscalls/0/names/0"),
        (allow_but({"names": ["read", "write"], "action": "SCMP_ACT_NOTIFY"}), "/syscalls/0/names/1"),
        (allow_but({"names": ["read"], "action": "DENY"}), "/syscalls/0/action"),
        (allow_but({"names": ["read"], "action": "SCMP_ACT_KILL", "errnoRet": 1}), "/syscalls/0/errnoRet"),
        (allow_but({"names": ["read"], "action": "SCMP_ACT_TRACE", "errnoRet": 65536}), "/syscalls/0/errnoRet"),
        *(
            (
                allow_but({"names": ["a"], "action": "SCMP_ACT_LOG"}, {"names": ["read"], "action": act, "args": args}),
                f"/syscalls/1/args/{place}",
            )
            for act, args, place in [
                ("SCMP_ACT_ERRNO", [check("EQ", 1), check("IS", 1)], "1/op"),
                ("SCMP_ACT_ERRNO", [check("EQ", 1, index=6)], "0/index"),
                ("SCMP_ACT_ERRNO", [check("EQ", -1)], "0/value"),
                ("SCMP_ACT_ERRNO", [check("EQ", 1, 2**64)], "0/valueTwo"),
                # Even if the rule would be left out.
                ("SCMP_ACT_ALLOW", [check("EQ", 2**64)], "0/value"),
            ]
        ),
    ],
)
def test_errors_point_at_the_place(profile: Profile, pointer: str) -> None:
    with pytest.raises(SpecError) as caught:
        compile_filter(profile)
    assert [problem.pointer for problem in caught.value.problems] == [f"/linux/seccomp{pointer}"]
    assert str(caught.value).startswith(f"/linux/seccomp{pointer}: ")
    assert "\n" not in str(caught.value)


def test_filter_too_long_for_the_kernel() -> None:
    checks = [check("EQ", value << 32 | value) for value in range(1500)]
    profile = allow_but({"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "args": checks})
    with pytest.raises(SpecError, match="more than 4096 BPF instructions"):
        compile_filter(profile)


def test_features() -> None:
    known = seccomp_compiler.known_architectures()
    assert {"SCMP_ARCH_X86_64", "SCMP_ARCH_X32", "SCMP_ARCH_S390X", "SCMP_ARCH_PARISC64"} <= set(known)
    assert known == sorted(known)
    assert len(seccomp_compiler.known_actions()) == 9
    assert len(seccomp_compiler.known_operators()) == 7
    assert set(seccomp_compiler.supported_flags()) <= set(seccomp_compiler.known_flags())
    assert "SECCOMP_FILTER_FLAG_LOG" in seccomp_compiler.supported_flags()
    assert seccomp_compiler.library_version() >= (2, 5, 0)


def test_every_known_action_and_operator_compiles() -> None:
    for action in seccomp_compiler.known_actions():
        default = "SCMP_ACT_LOG" if action == "SCMP_ACT_ALLOW" else "SCMP_ACT_ALLOW"
        for op in seccomp_compiler.known_operators():
            entry = {"names": ["mkdir"], "action": action, "args": [{"index": 5, "op": op, "value": 1}]}
            assert compile_filter({"defaultAction": default, "syscalls": [entry]})[0]
