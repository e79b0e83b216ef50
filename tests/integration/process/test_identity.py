"""process.user, process.capabilities, process.noNewPrivileges: who the process is and what it may do."""

from __future__ import annotations

import os
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
