"""process.user, process.capabilities, process.noNewPrivileges: who the process is and what it may do."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from containers import Bundle, Pyoci, compile_static
from process_support import (
    CAP_CHOWN,
    CAP_KILL,
    CAP_NET_BIND_SERVICE,
    CAP_NET_RAW,
    CAP_SETPCAP,
    bits,
    capability_sets,
    fields,
)

STATUS = ("cat", "/proc/self/status")


def test_uid_gid_and_groups(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.process["user"] = {"uid": 1000, "gid": 1001, "additionalGids": [5, 50, 4294967294]}
    status = fields(pyoci.run(bundle.args(*STATUS)).out)
    assert status["Uid"].split() == ["1000"] * 4
    assert status["Gid"].split() == ["1001"] * 4
    assert status["Groups"].split() == ["5", "50", "4294967294"]


def test_no_groups_are_inherited(bundle: Bundle, pyoci: Pyoci) -> None:
    groups = os.getgroups()
    os.setgroups([4711])
    try:
        assert fields(pyoci.run(bundle.args(*STATUS)).out)["Groups"] == ""
    finally:
        os.setgroups(groups)


def test_many_groups(bundle: Bundle, pyoci: Pyoci) -> None:
    wanted = list(range(1000, 4000))
    bundle.process["user"]["additionalGids"] = wanted
    assert [int(gid) for gid in fields(pyoci.run(bundle.args(*STATUS)).out)["Groups"].split()] == wanted


@pytest.mark.parametrize(("umask", "mode"), [(0o77, "600"), (0, "666"), (None, "644"), (0o777, "0")])
def test_umask(bundle: Bundle, pyoci: Pyoci, umask: int | None, mode: str) -> None:
    if umask is not None:
        bundle.process["user"]["umask"] = umask
    old = os.umask(0o27)
    try:
        assert pyoci.run(bundle.shell("umask > /tmp/umask; touch /tmp/file; stat -c %a /tmp/file")).out.strip() == mode
    finally:
        os.umask(old)


# --- capabilities


def test_five_sets_of_an_ordinary_user(bundle: Bundle, pyoci: Pyoci) -> None:
    """All different, and what the ambient set says is what is left after execve(2): capabilities(7)."""
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    bundle.process["capabilities"] = {
        "bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW", "CAP_NET_BIND_SERVICE"],
        "permitted": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"],
        "effective": ["CAP_KILL"],
        "inheritable": ["CAP_KILL", "CAP_NET_RAW", "CAP_NET_BIND_SERVICE"],
        "ambient": ["CAP_KILL"],
    }
    done = pyoci.run(bundle.args(*STATUS))
    assert capability_sets(done.out) == {
        "Inh": bits(CAP_KILL, CAP_NET_RAW, CAP_NET_BIND_SERVICE),
        "Prm": bits(CAP_KILL),
        "Eff": bits(CAP_KILL),
        "Bnd": bits(CAP_CHOWN, CAP_KILL, CAP_NET_RAW, CAP_NET_BIND_SERVICE),
        "Amb": bits(CAP_KILL),
    }
    assert done.err == ""


def test_roots_sets(bundle: Bundle, pyoci: Pyoci) -> None:
    """Root's execve(2) grants the bounding set, unless no_new_privs keeps it to what it had."""
    bundle.process["capabilities"] = {
        "bounding": ["CAP_CHOWN", "CAP_KILL"],
        "permitted": ["CAP_KILL"],
        "effective": ["CAP_KILL"],
    }
    bundle.process["noNewPrivileges"] = False
    sets = capability_sets(pyoci.run(bundle.args(*STATUS)).out)
    both = bits(CAP_CHOWN, CAP_KILL)
    assert sets == {"Inh": 0, "Prm": both, "Eff": both, "Bnd": both, "Amb": 0}
    bundle.process["noNewPrivileges"] = True
    sets = capability_sets(pyoci.run(bundle.args(*STATUS)).out)
    assert (sets["Prm"], sets["Bnd"]) == (bits(CAP_KILL), both)


@pytest.mark.parametrize("sets", [None, {}, {"bounding": [], "effective": [], "permitted": []}])
def test_no_capabilities(bundle: Bundle, pyoci: Pyoci, sets: object) -> None:
    bundle.process["capabilities"] = sets
    if sets is None:
        del bundle.process["capabilities"]
    done = pyoci.run(bundle.args(*STATUS))
    assert set(capability_sets(done.out).values()) == {0}


def test_no_inheritable_capabilities_by_default(bundle: Bundle, pyoci: Pyoci) -> None:
    """CVE-2022-29162, for exec too."""
    container = pyoci.run_detached(bundle.args("/bin/sleep", "60"))
    assert capability_sets(Path(f"/proc/{container.pid}/status").read_text())["Inh"] == 0
    done = container.exec(*STATUS, options=["--cap", "CAP_NET_RAW"])
    assert capability_sets(done.out)["Inh"] == 0
    assert capability_sets(done.out)["Bnd"] & bits(CAP_NET_RAW)


def test_what_the_runtime_does_not_have_is_left_out_with_a_warning(bundle: Bundle, pyoci: Pyoci) -> None:
    """config.md: SHOULD NOT fail, MUST be logged."""
    lacking = ~capability_sets(Path("/proc/self/status").read_text())["Prm"] & bits(24)
    if not lacking:
        pytest.skip("this machine lets its root have CAP_SYS_RESOURCE")
    names = ["CAP_KILL", "CAP_SYS_RESOURCE"]
    bundle.process["capabilities"] = dict.fromkeys(("bounding", "permitted", "effective"), names)
    done = pyoci.run(bundle.args(*STATUS))
    assert capability_sets(done.out)["Bnd"] == bits(CAP_KILL)
    assert "CAP_SYS_RESOURCE" in done.err
    assert "CAP_KILL" not in done.err
    assert "/process/capabilities" in done.err
    container = pyoci.run_detached(bundle.args("/bin/sleep", "60"))
    assert "CAP_SYS_RESOURCE" in container.exec("/bin/true").err


def test_sets_that_contradict_each_other_are_cut_with_a_warning(bundle: Bundle, pyoci: Pyoci) -> None:
    """An effective capability that is not permitted, an ambient one that is not inheritable, an inheritable one that is
    not in the bounding set: the kernel grants none of them."""
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    bundle.process["capabilities"] = {
        "bounding": ["CAP_KILL", "CAP_CHOWN"],
        "permitted": ["CAP_KILL"],
        "effective": ["CAP_KILL", "CAP_CHOWN"],
        "inheritable": ["CAP_KILL", "CAP_NET_RAW"],
        "ambient": ["CAP_KILL", "CAP_SETPCAP"],
    }
    done = pyoci.run(bundle.args(*STATUS))
    assert capability_sets(done.out) == {
        "Inh": bits(CAP_KILL),
        "Prm": bits(CAP_KILL),
        "Eff": bits(CAP_KILL),
        "Bnd": bits(CAP_KILL, CAP_CHOWN),
        "Amb": bits(CAP_KILL),
    }
    assert not capability_sets(done.out)["Bnd"] & bits(CAP_SETPCAP)
    for name in ("CAP_CHOWN", "CAP_NET_RAW", "CAP_SETPCAP"):
        assert name in done.err


def test_the_securebits_are_the_default(bundle: Bundle, pyoci: Pyoci, directory: Path) -> None:
    """PR_SET_KEEPCAPS was only init's."""
    source = """
    #include <stdio.h>
    #include <sys/prctl.h>
    int main(void) { printf("%d %d %d\\n", prctl(PR_GET_SECUREBITS), prctl(PR_GET_KEEPCAPS),
                            prctl(PR_GET_DUMPABLE)); return 0; }
    """
    compile_static(source, bundle.rootfs / "probe")
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    assert pyoci.run(bundle.args("/probe")).out == "0 0 1\n"


@pytest.mark.parametrize("wanted", [True, False])
def test_no_new_privileges(bundle: Bundle, pyoci: Pyoci, wanted: bool) -> None:
    bundle.process["noNewPrivileges"] = wanted
    container = pyoci.run_detached(bundle.args("/bin/sleep", "60"))
    assert fields(Path(f"/proc/{container.pid}/status").read_text())["NoNewPrivs"] == str(int(wanted))
    assert fields(container.exec(*STATUS).out)["NoNewPrivs"] == str(int(wanted))
    assert fields(container.exec(*STATUS, options=["--no-new-privs"]).out)["NoNewPrivs"] == "1"


def test_no_new_privileges_keeps_a_setuid_program_harmless(bundle: Bundle, pyoci: Pyoci) -> None:
    busybox = bundle.rootfs / "bin/busybox"
    busybox.chmod(0o4755)
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    bundle.process["noNewPrivileges"] = True
    assert fields(pyoci.run(bundle.args(*STATUS)).out)["Uid"].split() == ["1000"] * 4
    bundle.process["noNewPrivileges"] = False
    # busybox gives up what it has not been allowed to keep, so the real uid is looked at from outside
    assert fields(pyoci.run(bundle.args(*STATUS)).out)["Uid"].split()[0] == "1000"


def test_exec_takes_the_user_of_the_container(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.process["user"] = {"uid": 1000, "gid": 1000, "additionalGids": [50], "umask": 0o7}
    container = pyoci.run_detached(bundle.args("/bin/sleep", "60"))
    assert container.exec("/bin/sh", "-c", "id -u; id -g; id -G; umask").out.split() == [
        "1000",
        "1000",
        "1000",
        "50",
        "0007",
    ]


# --- the caller's groups

KEEP = "run.oci.keep_original_groups"


@pytest.fixture
def groups() -> Iterator[list[int]]:
    """Those of the caller."""
    before = os.getgroups()
    os.setgroups([4711, 4712])
    yield [4711, 4712]
    os.setgroups(before)


@pytest.mark.parametrize("value", ["1", "", "yes"])
@pytest.mark.parametrize("namespace", [True, False], ids=["user namespace", "host's"])
def test_the_callers_groups_are_kept(
    bundle: Bundle, pyoci: Pyoci, groups: list[int], value: str, namespace: bool
) -> None:
    """crun's annotation for podman's --group-add keep-groups; for exec, too. Those not mapped show as nobody's."""
    if namespace:
        bundle.user_namespace()
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    bundle.config["annotations"] = {KEEP: value}
    container = pyoci.run_detached(bundle.args("sleep", "60"))
    seen = " ".join(["65534"] * 2 if namespace else map(str, groups))
    assert fields(container.exec(*STATUS).out)["Groups"] == seen
    assert fields(Path(f"/proc/{container.pid}/status").read_text())["Groups"] == "4711 4712"


def test_the_callers_groups_are_not_kept(bundle: Bundle, pyoci: Pyoci, groups: list[int]) -> None:
    bundle.config["annotations"] = {KEEP: "0"}
    bundle.process["user"]["additionalGids"] = [50]
    assert fields(pyoci.run(bundle.args(*STATUS)).out)["Groups"] == "50"


def test_groups_that_are_kept_are_not_added_to(bundle: Bundle, pyoci: Pyoci, groups: list[int]) -> None:
    """As with crun, but with a warning."""
    bundle.config["annotations"] = {KEEP: "1"}
    bundle.process["user"]["additionalGids"] = [50]
    done = pyoci.run(bundle.args(*STATUS))
    assert fields(done.out)["Groups"] == "4711 4712"
    assert "level=warning" in done.err
    assert "(/process/user/additionalGids)" in done.err


# --- capabilities that are none, or cannot be had


def test_a_name_that_is_none_is_a_warning(bundle: Bundle, pyoci: Pyoci) -> None:
    """config.md: "Any value which cannot be mapped to a relevant kernel interface, or cannot be granted otherwise, MUST
    be logged as a warning by the runtime." """
    bundle.process["capabilities"] = {"bounding": ["CAP_CHWON", "CAP_KILL"], "ambient": ["CAP_KILL"]}
    done = pyoci.run(bundle.args(*STATUS))
    assert capability_sets(done.out)["Bnd"] == bits(CAP_KILL)
    first, second = done.err.splitlines()
    assert "level=warning" in first
    assert "'CAP_CHWON' is no capability, and is left out; did you mean CAP_CHOWN?" in first
    assert "(/process/capabilities/bounding/0)" in first
    assert "CAP_KILL cannot be ambient without being permitted and inheritable: left out" in second
    assert "(/process/capabilities/ambient)" in second


FILTERED = r"""
#include <errno.h>
#include <linux/filter.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_prctl, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PR_CAPBSET_READ, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | atoi(argv[1])),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
    if (argc < 3 || syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program))
        return 1;
    execv(argv[2], argv + 2);
    return 1;
}
"""


@pytest.mark.parametrize("error", [errno.EPERM, errno.EINVAL, errno.ENOSYS])
def test_a_bounding_set_that_cannot_be_read(bundle: Bundle, pyoci: Pyoci, directory: Path, error: int) -> None:
    """What may be held is not kept. Fails with op_bounding_set() (process.c) taking errors for "not held", and EINVAL
    for the end."""
    compile_static(FILTERED, directory / "filtered")
    script = directory / "pyoci-filtered"
    script.write_text(f'#!/bin/sh\nexec {directory}/filtered {error} {pyoci.executable} "$@"\n')
    script.chmod(0o755)
    pyoci.executable = str(script)
    bundle.capabilities("CAP_KILL")
    done = pyoci.run(bundle.args(*STATUS), check=False)
    assert done.code == 1
    assert "cannot drop capabilities from the bounding set" in done.err
    assert "(/process/capabilities/bounding)" in done.err
