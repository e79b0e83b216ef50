"""Planning needs no privilege and no system call: it runs in a process that may make none but to end."""

from __future__ import annotations

import ctypes
import os
import struct

import pytest
from plans import NAMES, bundle, context_for

from oci_runtime.linux.seccomp_compiler import compile_filter
from oci_runtime.plan.container import plan_container
from oci_runtime.plan.exec_process import plan_exec_process

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
# memory, the interpreter's locks, the test's result and the end
ALLOWED = ["brk", "mmap", "munmap", "mremap", "madvise", "mprotect", "futex", "write", "exit_group", "rt_sigreturn"]


def forbid_system_calls(program: bytes) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    memory = ctypes.create_string_buffer(program, len(program))
    fprog = ctypes.create_string_buffer(struct.pack("@HP", len(program) // 8, ctypes.addressof(memory)))
    assert libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    assert libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, fprog, 0, 0) == 0


def plan_everything(name: str) -> bytes:
    config = CONFIGS[name]
    plan = plan_container(config, context_for(config))
    execution = plan_exec_process(config["process"], config.get("linux", {}), context_for(config))
    str(plan)
    return plan.encode() + execution.encode()


CONFIGS = {name: bundle(name) for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("uid", [0, 65534])
def test_planning_makes_no_system_call(name: str, uid: int) -> None:
    expected = plan_everything(name)  # modules that the configuration needs are imported now
    profile = {"defaultAction": "SCMP_ACT_KILL_PROCESS", "syscalls": [{"names": ALLOWED, "action": "SCMP_ACT_ALLOW"}]}
    program, _, _ = compile_filter(profile)
    result, end = os.pipe()
    child = os.fork()
    if not child:
        code = 1
        try:
            if uid and not os.geteuid():
                os.setresuid(uid, uid, uid)
            forbid_system_calls(program)
            data = plan_everything(name)
            os.write(end, struct.pack("=Q", hash(data) & (1 << 64) - 1))
            code = 0
        finally:
            os._exit(code)
    os.close(end)
    answer = os.read(result, 8)
    os.close(result)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert struct.unpack("=Q", answer)[0] == hash(expected) & (1 << 64) - 1
