"""linux.seccomp in real containers: what the filter does to the process, from which moment on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from containers import Bundle, Pyoci
from process_support import fields

EPERM, ENOSYS = 1, 38
# by init once the filter is loaded, and by a shell
NEEDED = """
    access arch_prctl brk capget capset chdir clone close close_range dup2 execve exit exit_group fchownat fcntl fork
    fstat getcwd getegid geteuid getgid getpid getppid getuid ioctl lseek mmap mprotect munmap newfstatat open openat
    openat2 prctl prlimit64 read readlink rseq rt_sigaction rt_sigprocmask rt_sigreturn sendmsg set_robust_list
    set_tid_address setgid setgroups setresgid setresuid setuid stat statx umask uname vfork wait4 write
"""
ALLOW, ERRNO = "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"


def refuse(*names: str, **more: Any) -> dict[str, Any]:
    """A filter that allows all but `names`."""
    return {"defaultAction": ALLOW, "syscalls": [{"names": list(names), "action": ERRNO, **more}]}


@pytest.fixture(params=[True, False], ids=["nnp", "privileged"])
def nnp(request: pytest.FixtureRequest, bundle: Bundle) -> bool:
    """With and without noNewPrivileges: the filter is loaded at a different moment, as different users."""
    wanted = bool(request.param)
    bundle.process["noNewPrivileges"] = wanted
    return wanted


@pytest.mark.parametrize("uid", [0, 1000])
def test_a_call_is_refused(bundle: Bundle, pyoci: Pyoci, nnp: bool, uid: int) -> None:
    bundle.process["user"] = {"uid": uid, "gid": uid}
    bundle.linux["seccomp"] = refuse("mkdir", "mkdirat", errnoRet=ENOSYS)
    done = pyoci.run(bundle.shell("mkdir /tmp/d || true; cat /proc/self/status"))
    assert "Function not implemented" in done.err
    status = fields(done.out)
    assert (status["Seccomp"], status["Seccomp_filters"]) == ("2", "1")
    assert status["NoNewPrivs"] == str(int(nnp))


def test_the_filter_holds_for_exec(bundle: Bundle, pyoci: Pyoci, nnp: bool) -> None:
    bundle.linux["seccomp"] = refuse("mkdir", "mkdirat")
    container = pyoci.run_detached(bundle.args("/bin/sleep", "60"))
    done = container.exec("mkdir", "/tmp/d", check=False)
    assert done.code == 1
    assert "Operation not permitted" in done.err
    assert not (bundle.rootfs / "tmp/d").exists()


def test_arguments_are_compared(bundle: Bundle, pyoci: Pyoci) -> None:
    """kill(2) with signal 15 only."""
    bundle.linux["seccomp"] = refuse("kill", args=[{"index": 1, "value": 15, "op": "SCMP_CMP_EQ"}])
    script = "sleep 9 & kill -15 $! 2>/dev/null && echo killed || echo refused; kill -9 $! && echo killed"
    bundle.capabilities("CAP_KILL")
    assert pyoci.run(bundle.shell(script)).out.split() == ["refused", "killed"]


def test_a_default_action_that_refuses(bundle: Bundle, pyoci: Pyoci, nnp: bool) -> None:
    """A list of what is allowed: what init itself needs after loading the filter must be in it, as with runc."""
    bundle.linux["seccomp"] = {
        "defaultAction": ERRNO,
        "defaultErrnoRet": EPERM,
        "syscalls": [{"names": NEEDED.split(), "action": ALLOW}],
    }
    done = pyoci.run(bundle.shell("echo runs; mkdir /tmp/d || true"))
    assert done.out == "runs\n"
    assert "Operation not permitted" in done.err


@pytest.mark.parametrize("action", ["SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL", "SCMP_ACT_TRAP"])
def test_actions_that_kill(bundle: Bundle, pyoci: Pyoci, action: str) -> None:
    bundle.linux["seccomp"] = {"defaultAction": ALLOW, "syscalls": [{"names": ["mkdir", "mkdirat"], "action": action}]}
    assert pyoci.run(bundle.args("mkdir", "/tmp/d"), check=False).code == 128 + 31  # SIGSYS


def test_log_lets_it_happen(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.linux["seccomp"] = {
        "defaultAction": ALLOW,
        "flags": ["SECCOMP_FILTER_FLAG_LOG"],
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_LOG"}],
    }
    pyoci.run(bundle.args("mkdir", "/tmp/d"))
    assert (bundle.rootfs / "tmp/d").is_dir()


@pytest.mark.parametrize("flags", [None, [], ["SECCOMP_FILTER_FLAG_SPEC_ALLOW"], ["SECCOMP_FILTER_FLAG_TSYNC"]])
def test_flags(bundle: Bundle, pyoci: Pyoci, flags: list[str] | None) -> None:
    bundle.linux["seccomp"] = refuse("mkdir")
    if flags is not None:
        bundle.linux["seccomp"]["flags"] = flags
    assert fields(pyoci.run(bundle.args("cat", "/proc/self/status")).out)["Seccomp"] == "2"


def test_calls_newer_than_the_profile_are_unknown(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.linux["seccomp"] = {
        "defaultAction": ERRNO,
        "defaultErrnoRet": EPERM,
        "syscalls": [
            {"names": sorted(name for name in _names() if name not in ("mkdir", "openat2", "clone3")), "action": ALLOW}
        ],
    }
    done = pyoci.run(bundle.shell("echo runs; mkdir /tmp/d || true"))
    assert done.out == "runs\n"
    assert "Operation not permitted" in done.err


def _names() -> set[str]:
    """Those of the engines' profile."""
    profile = json.loads((Path(__file__).parents[2] / "bundles/engine.json").read_text())["linux"]["seccomp"]
    return {name for rule in profile["syscalls"] if rule["action"] == ALLOW for name in rule["names"]}


# --- the cache


def test_the_second_time_libseccomp_is_not_needed(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.linux["seccomp"] = refuse("mkdir", "mkdirat")
    bundle.args("mkdir", "/tmp/d")
    trace = bundle.path / "maps"
    assert pyoci.run(bundle, check=False).code == 1
    assert len(list((pyoci.root / "~seccomp").iterdir())) == 1
    # A hook of the runtime looks at what its parent has mapped.
    hook = {"path": "/bin/sh", "args": ["sh", "-c", f"cat /proc/$PPID/maps > {trace}"]}
    bundle.config["hooks"] = {"createRuntime": [hook]}
    assert pyoci.run(bundle, check=False).code == 1
    assert "_shim" in trace.read_text()
    assert "seccomp" not in trace.read_text().replace("~seccomp", "")
    shutil.rmtree(pyoci.root / "~seccomp")
    assert pyoci.run(bundle, check=False).code == 1
    assert "libseccomp" in trace.read_text()


def test_a_damaged_entry_is_made_anew(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.linux["seccomp"] = refuse("mkdir", "mkdirat")
    bundle.args("mkdir", "/tmp/d")
    pyoci.run(bundle, check=False)
    (entry,) = (pyoci.root / "~seccomp").iterdir()
    content = bytearray(entry.read_bytes())
    content[-1] ^= 0xFF
    entry.write_bytes(content)
    assert pyoci.run(bundle, check=False).code == 1
    assert entry.read_bytes() != bytes(content)
