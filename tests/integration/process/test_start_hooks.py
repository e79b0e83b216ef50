"""startContainer hooks may come with the image: they have what the container's process has, and nothing more.

Each test fails with the hooks before plan_process() in plan/container.py, unless it says otherwise.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from containers import Bundle, Pyoci
from process_support import fields

ALLOW, ERRNO = "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"
PRIVILEGES = [
    "Uid",
    "Gid",
    "Groups",
    "CapInh",
    "CapPrm",
    "CapEff",
    "CapBnd",
    "CapAmb",
    "NoNewPrivs",
    "Seccomp",
    "Seccomp_filters",
    "Umask",
    "NSsid",
]


def hook(script: str, **more: Any) -> dict[str, Any]:
    return {"path": "/bin/sh", "args": ["sh", "-c", script], **more}


@pytest.fixture(params=[True, False], ids=["nnp", "privileged"])
def nnp(request: pytest.FixtureRequest, bundle: Bundle) -> bool:
    """With and without noNewPrivileges: the filter is loaded at a different moment, as different users."""
    bundle.process["noNewPrivileges"] = request.param
    return bool(request.param)


@pytest.mark.parametrize("verb", ["run", "start"])
@pytest.mark.parametrize("uid", [0, 1000])
def test_a_hook_has_what_the_process_has(bundle: Bundle, pyoci: Pyoci, nnp: bool, uid: int, verb: str) -> None:
    """Ids, groups, the five sets, no_new_privs, filter, umask, session, limits and directory."""
    look = "cat /proc/self/status > /tmp/$0.status; cat /proc/self/limits > /tmp/$0.limits; pwd > /tmp/$0.pwd"
    bundle.process["user"] = {"uid": uid, "gid": uid, "additionalGids": [50], "umask": 0o27}
    bundle.process["capabilities"] = {
        "bounding": ["CAP_CHOWN", "CAP_KILL"],
        "permitted": ["CAP_CHOWN", "CAP_KILL"],
        "effective": ["CAP_KILL"],
        "inheritable": ["CAP_KILL"],
        "ambient": ["CAP_KILL"],
    }
    bundle.process["rlimits"] = [
        {"type": "RLIMIT_NOFILE", "soft": 32, "hard": 40},
        {"type": "RLIMIT_CORE", "soft": 1, "hard": 2},
    ]
    bundle.process["cwd"] = "/home"
    bundle.linux["seccomp"] = {"defaultAction": ALLOW, "syscalls": [{"names": ["mkdir", "mkdirat"], "action": ERRNO}]}
    bundle.config["hooks"] = {"startContainer": [{"path": "/bin/sh", "args": ["sh", "-c", look, "hook"]}]}
    bundle.args("sh", "-c", look, "process")
    if verb == "run":
        pyoci.run(bundle)
    else:
        pyoci.create(bundle).start().wait()
    seen = {who: fields((bundle.rootfs / f"tmp/{who}.status").read_text()) for who in ("hook", "process")}
    for name in PRIVILEGES:
        assert seen["hook"][name] == seen["process"][name], name
    assert seen["hook"]["Uid"].split() == [str(uid)] * 4
    assert seen["hook"]["CapBnd"] == f"{0b100001:016x}"
    assert (seen["hook"]["NoNewPrivs"], seen["hook"]["Seccomp"]) == (str(int(nnp)), "2")
    for name in ("limits", "pwd"):
        texts = [(bundle.rootfs / f"tmp/{who}.{name}").read_text() for who in ("hook", "process")]
        assert texts[0] == texts[1], name


def test_a_hook_of_the_image_does_nothing_that_the_process_could_not(bundle: Bundle, pyoci: Pyoci, nnp: bool) -> None:
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    bundle.capabilities()
    bundle.linux["seccomp"] = {"defaultAction": ALLOW, "syscalls": [{"names": ["mkdir", "mkdirat"], "action": ERRNO}]}
    (bundle.rootfs / "root/secret").write_text("secret\n")
    script = "cat /root/secret; mkdir /tmp/d; chown 0 /tmp/f; mount -t tmpfs none /mnt; echo > /etc/new"
    bundle.config["hooks"] = {"startContainer": [hook(f"exec > /tmp/f 2>&1; {script}; true")]}
    pyoci.run(bundle.args("true"))
    said = (bundle.rootfs / "tmp/f").read_text()
    assert "secret\n" not in said.splitlines(keepends=True)
    assert not (bundle.rootfs / "tmp/d").exists()
    assert not (bundle.rootfs / "etc/new").exists()
    assert (bundle.rootfs / "tmp/f").stat().st_uid == 1000


@pytest.mark.parametrize("dumpable", ["0", "1"])
def test_a_hook_does_not_look_into_init(bundle: Bundle, pyoci: Pyoci, dumpable: str) -> None:
    """CVE-2016-9962, by who has init's very ids, also where fs.suid_dumpable is 1: then it fails with op_user() not
    taking it back (process.c)."""
    setting = Path("/proc/sys/fs/suid_dumpable")
    before = setting.read_text()
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    bundle.capabilities()
    script = "for p in fd environ maps exe root cwd; do ls -l /proc/1/$p; cat /proc/1/$p; readlink /proc/1/$p; done"
    bundle.config["hooks"] = {"startContainer": [hook(f"({script}) 2> /tmp/err | grep -v 1/ > /tmp/out; true")]}
    try:
        setting.write_text(dumpable)
        pyoci.run(bundle.args("true"))
    finally:
        setting.write_text(before)
    assert (bundle.rootfs / "tmp/err").read_text().count("Permission denied") >= 6
    assert [line for line in (bundle.rootfs / "tmp/out").read_text().splitlines() if "->" in line] == []


@pytest.mark.parametrize("verb", ["run", "start"])
@pytest.mark.parametrize("timeout", [0, 60])
def test_a_filter_that_refuses_hooks(bundle: Bundle, pyoci: Pyoci, nnp: bool, verb: str, timeout: int) -> None:
    """One line that says which call; the container is destroyed. Without the reasons of spawn_errors.py it does not."""
    call = "ppoll" if timeout else "clone"
    bundle.linux["seccomp"] = {"defaultAction": ALLOW, "syscalls": [{"names": [call], "action": ERRNO}]}
    bundle.config["hooks"] = {"startContainer": [hook("sleep 60", **({"timeout": timeout} if timeout else {}))]}
    bundle.args("sleep", "100")
    if verb == "run":
        done = pyoci.run(bundle, id="box", check=False)
    else:
        pyoci.create(bundle, id="box")
        done = pyoci("start", "box", check=False)
    assert done.code == 1
    assert f"startContainer hook /bin/sh failed: {call}: Operation not permitted; a filter must allow" in done.err
    assert "(/hooks/startContainer/0)" in done.err
    assert len(done.err.splitlines()) == 1
    assert "does not exist" in pyoci("state", "box", check=False).err


@pytest.mark.parametrize("verb", ["run", "start"])
def test_a_filter_that_kills_init_at_its_hooks(bundle: Bundle, pyoci: Pyoci, nnp: bool, verb: str) -> None:
    """It must not pass for a process that runs. Fails with wait_for_exec() not waiting for REPORT_HOOKS_RAN."""
    bundle.linux["seccomp"] = {
        "defaultAction": ALLOW,
        "syscalls": [{"names": ["clone"], "action": "SCMP_ACT_KILL_PROCESS"}],
    }
    bundle.config["hooks"] = {"startContainer": [hook("true")]}
    bundle.args("sleep", "100")
    if verb == "run":
        done = pyoci.run(bundle, id="box", check=False)
    else:
        pyoci.create(bundle, id="box")
        done = pyoci("start", "box", check=False)
    assert done.code == 1
    assert "init ended before the startContainer hooks had run" in done.err
    assert len(done.err.splitlines()) == 1
    assert "does not exist" in pyoci("state", "box", check=False).err


@pytest.mark.parametrize("timeout", [None, 60])
def test_a_narrow_profile_with_hooks(bundle: Bundle, pyoci: Pyoci, nnp: bool, timeout: int | None) -> None:
    """What init needs for hooks is little, and docs/architecture.md names it."""
    init = "prctl capset setgroups setresgid setresuid chdir getcwd execve mmap clone dup3 lseek wait4 write exit_group"
    busybox = (
        "arch_prctl set_tid_address set_robust_list rseq prlimit64 readlinkat getrandom brk mprotect getuid getgid"
    )
    names = f"{init} {busybox} fstat newfstatat futex open openat close read statx utimensat dup2" + " ppoll" * bool(
        timeout
    )
    bundle.linux["seccomp"] = {
        "defaultAction": ERRNO,
        "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [{"names": names.split(), "action": ALLOW}],
    }
    touch = {"path": "/bin/touch", "args": ["touch", "/tmp/ran"], **({"timeout": timeout} if timeout else {})}
    bundle.config["hooks"] = {"startContainer": [touch, touch]}
    pyoci.run(bundle.args("true"))
    assert (bundle.rootfs / "tmp/ran").exists()


def test_a_hook_that_outlives_its_timeout_out_of_reach(bundle: Bundle, pyoci: Pyoci) -> None:
    """A set-user-ID program, which init, an ordinary user by then, may not kill: its container ends it. Fails with
    op_hook() waiting for what it could not kill (hook.c)."""
    busybox = bundle.rootfs / "bin/suid"
    busybox.write_bytes((bundle.rootfs / "bin/busybox").read_bytes())
    busybox.chmod(0o4755)
    bundle.process["noNewPrivileges"] = False
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    bundle.process["capabilities"] = {"bounding": ["CAP_SETUID", "CAP_SETGID"]}
    bundle.config["hooks"] = {
        "startContainer": [{"path": "/bin/suid", "args": ["su", "-c", "sleep 1000"], "timeout": 1}]
    }
    (bundle.rootfs / "etc/passwd").write_text("root::0:0::/root:/bin/sh\nalice::1000:1000::/:/bin/sh\n")
    (bundle.rootfs / "etc/busybox.conf").write_text("[SUID]\nsu = ssx 0.0\n")
    done = pyoci.run(bundle.args("true"), check=False, timeout=60)
    assert "still running after its timeout of 1 s" in done.err
