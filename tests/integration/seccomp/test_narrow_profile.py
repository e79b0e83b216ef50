"""A profile need allow only what the process calls, and what changes ids and executes: init wants no more of it."""

from __future__ import annotations

import pytest
from containers import Bundle, Pyoci

# prctl, capset and set*id: between the filter, which needs CAP_SYS_ADMIN, and the process lie its user and capabilities
CHANGE_AND_EXECUTE = ("prctl", "capset", "setgroups", "setresgid", "setresuid", "chdir", "getcwd", "execve", "mmap")
BUSYBOX = ("arch_prctl", "set_tid_address", "set_robust_list", "rseq", "prlimit64", "readlinkat", "getrandom", "brk")
CAT = ("mprotect", "getuid", "getgid", "fstat", "newfstatat", "write", "exit_group", "futex", "sendfile")
IDENTITY = ("geteuid", "getegid", "getgroups", "read", "open", "openat", "close", "lseek", "socket", "connect")


@pytest.mark.parametrize("no_new_privileges", [False, True])
@pytest.mark.parametrize("home", [False, True])
@pytest.mark.parametrize("uid", [0, 1000])
def test_a_narrow_profile(bundle: Bundle, pyoci: Pyoci, uid: int, home: bool, no_new_privileges: bool) -> None:
    names = CHANGE_AND_EXECUTE + BUSYBOX + CAT + IDENTITY
    bundle.linux["seccomp"] = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [{"names": list(names), "action": "SCMP_ACT_ALLOW"}],
    }
    bundle.process["noNewPrivileges"] = no_new_privileges
    bundle.process["user"] = {"uid": uid, "gid": uid, "umask": 0o27}
    bundle.process["env"] = ["PATH=/bin"] + (["HOME=/"] if home else [])
    container = pyoci.run(bundle.args("grep", "^Umask\\|^Seccomp:", "/proc/self/status"))
    assert container.out.split() == ["Umask:", "0027", "Seccomp:", "2"]
