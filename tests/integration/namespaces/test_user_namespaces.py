"""linux.uidMappings and gidMappings: who is who on both sides."""

from __future__ import annotations

import os
from pathlib import Path

from containers import Bundle, Pyoci


def mappings(*ranges: tuple[int, int, int]) -> list[dict[str, int]]:
    return [{"containerID": inside, "hostID": outside, "size": size} for inside, outside, size in ranges]


def test_several_ranges(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.user_namespace()
    bundle.linux["uidMappings"] = mappings((0, 100000, 1000), (1000, 300000, 1), (2000, 400000, 70))
    bundle.linux["gidMappings"] = mappings((0, 100000, 10), (10, 500000, 20))
    done = pyoci.run(bundle.args("cat", "/proc/self/uid_map", "/proc/self/gid_map"))
    rows = [tuple(map(int, line.split())) for line in done.out.splitlines()]
    assert rows == [(0, 100000, 1000), (1000, 300000, 1), (2000, 400000, 70), (0, 100000, 10), (10, 500000, 20)]


def test_as_many_ranges_as_the_kernel_takes(bundle: Bundle, pyoci: Pyoci) -> None:
    """340, whose text has to be written at once and must fit a page: user_namespaces(7)."""
    bundle.user_namespace()
    bundle.linux["uidMappings"] = mappings(*((i, 100000 + i, 1) for i in range(250)))
    done = pyoci.run(bundle.args("cat", "/proc/self/uid_map"))
    assert len(done.out.splitlines()) == 250


def test_files_belong_to_mapped_ids_on_both_sides(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.user_namespace(host_id=200000)
    bundle.process["user"] = {"uid": 0, "gid": 0}
    bundle.capabilities("CAP_CHOWN", "CAP_DAC_OVERRIDE")
    foreign = bundle.rootfs / "foreign"
    foreign.touch()
    bundle.shell("touch /mine; touch /alice; chown 1000:50 /alice; stat -c '%u:%g %n' /mine /alice /foreign")
    done = pyoci.run(bundle)
    assert done.out.splitlines() == ["0:0 /mine", "1000:50 /alice", "65534:65534 /foreign"]
    found = [(os.stat(bundle.rootfs / name).st_uid, os.stat(bundle.rootfs / name).st_gid) for name in ("mine", "alice")]
    assert found == [(200000, 200000), (201000, 200050)]


def test_what_init_makes_belongs_to_the_containers_root(bundle: Bundle, pyoci: Pyoci) -> None:
    """Directories for mounts and for the working directory, and the devices' places."""
    bundle.user_namespace(host_id=200000)
    bundle.process["cwd"] = "/made/for/it"
    bundle.mount("/also/made", "tmpfs", "tmpfs")
    done = pyoci.run(bundle.shell("stat -c %u:%g /made /made/for/it /also /also/made; pwd"))
    assert done.out.split() == ["0:0"] * 4 + ["/made/for/it"]
    assert os.stat(bundle.rootfs / "made").st_uid == 200000


def test_the_process_is_somebody_else_on_the_host(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.user_namespace(host_id=300000).args("/bin/sleep", "60")
    bundle.process["user"] = {"uid": 1000, "gid": 50, "additionalGids": [7, 8]}
    container = pyoci.run_detached(bundle)
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{container.pid}/status").read_text().splitlines())
    assert status["Uid"].split() == ["301000"] * 4
    assert status["Gid"].split() == ["300050"] * 4
    assert status["Groups"].split() == ["300007", "300008"]


def test_a_user_that_is_not_mapped_is_refused(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.user_namespace(size=100)
    bundle.process["user"] = {"uid": 1000, "gid": 0}
    done = pyoci.run(bundle, check=False)
    assert done.code != 0
    assert "/process/user" in done.err


def test_a_supplementary_group_that_is_not_mapped_is_refused(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.user_namespace(size=100)
    bundle.process["user"] = {"uid": 0, "gid": 0, "additionalGids": [5000]}
    done = pyoci.run(bundle, check=False)
    assert done.code != 0
    assert "/process/user" in done.err


def test_no_root_in_the_namespace(bundle: Bundle, pyoci: Pyoci) -> None:
    """Mappings without id 0: nothing can be set up, and the message says so."""
    bundle.user_namespace()
    bundle.linux["uidMappings"] = mappings((1000, 100000, 10))
    bundle.linux["gidMappings"] = mappings((1000, 100000, 10))
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    done = pyoci.run(bundle, check=False)
    assert done.code != 0
    assert "Mappings" in done.err


def test_overlapping_ranges_are_refused_by_name(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.user_namespace()
    bundle.linux["gidMappings"] = mappings((0, 100000, 10), (5, 200000, 10))
    done = pyoci.run(bundle, check=False)
    assert done.code != 0
    assert "/linux/gidMappings" in done.err


def test_capabilities_are_full_in_a_user_namespace(bundle: Bundle, pyoci: Pyoci) -> None:
    """Also those that the runtime itself does not have on the host."""
    bundle.user_namespace().capabilities("CAP_SYS_RESOURCE", "CAP_SYS_ADMIN")
    done = pyoci.run(bundle.args("grep", "CapBnd", "/proc/self/status"))
    assert int(done.out.split()[1], 16) == 1 << 24 | 1 << 21
    assert not done.err


def test_setgroups_stays_allowed_for_a_privileged_runtime(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.user_namespace()
    assert pyoci.run(bundle.args("cat", "/proc/self/setgroups")).out == "allow\n"


def test_the_hosts_devices_are_bound(bundle: Bundle, pyoci: Pyoci) -> None:
    """Since the kernel lets none be made."""
    bundle.user_namespace()
    bundle.shell("echo x > /dev/null; head -c 3 /dev/zero | od -An -tx1; stat -c '%t:%T' /dev/null /dev/random")
    assert pyoci.run(bundle).out.split() == ["00", "00", "00", "1:3", "1:8"]


def test_exec_as_another_user(bundle: Bundle, pyoci: Pyoci) -> None:
    container = pyoci.run_detached(bundle.user_namespace().args("/bin/sleep", "60"))
    assert container.exec("/bin/sh", "-c", "id -u; id -g", options=["--user", "1000:50"]).out.split() == ["1000", "50"]
    refused = container.exec("/bin/true", options=["--user", "70000"], check=False)
    assert refused.code != 0
    assert "70000" in refused.err


def test_a_terminal_can_be_opened_again(bundle: Bundle, pyoci: Pyoci) -> None:
    """/dev/stdout by a user of the namespace."""
    bundle.user_namespace()
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    bundle.process["terminal"] = True
    assert "written" in pyoci.run(bundle.shell("echo written > /dev/stdout")).out
