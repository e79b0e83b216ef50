"""What is said of a machine before the first test, on stand-ins."""

from __future__ import annotations

from pathlib import Path

import pytest
from host_look import ENOUGH_BYTES, ENOUGH_INODES, Host, Oddity, look

HYBRID = """\
1 0 0:1 / / rw - ext4 /dev/vda rw
2 1 0:2 / /sys/fs/cgroup rw - tmpfs tmpfs rw
3 2 0:3 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
4 2 0:4 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
5 1 0:5 / /run rw,nosuid,nodev - tmpfs tmpfs rw
"""


class StandIn(Host):
    """A machine without oddities, but for what a test changes."""

    __slots__ = ("filters", "free", "limit", "makes_devices", "release")

    def __init__(self, root: Path) -> None:
        super().__init__(root, uid=0)
        self.filters: list[int] = []
        self.makes_devices = True
        self.release = "6.1.0-13-amd64"
        self.limit = 1024
        self.free = (ENOUGH_BYTES, ENOUGH_INODES)
        self.write("proc/self/mountinfo", HYBRID)
        self.write("proc/self/status", "CapPrm:\t0\nCapEff:\t000001ffffffffff\n")
        for name in ("cpu,cpuacct", "unified"):
            (root / "sys/fs/cgroup" / name).mkdir(parents=True)
        (root / "sys/fs/cgroup/cpu").symlink_to("cpu,cpuacct")
        self.write("sys/fs/cgroup/unified/cgroup.controllers", "cpuset io memory pids\n")
        for name in ("user/max_user_namespaces", "kernel/pid_max", "fs/mount-max"):
            self.write(f"proc/sys/{name}", "100000\n")
        self.write("proc/sys/vm/memfd_noexec", "0\n")
        self.write("dev/loop-control", "")

    def write(self, path: str, text: str) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def kernel(self) -> str:
        return self.release

    def device_filters(self, cgroup: Path) -> list[int]:
        return self.filters

    def may_make_devices(self) -> bool:
        return self.makes_devices

    def descriptors(self) -> int:
        return self.limit

    def space(self, folder: str) -> tuple[int, int]:
        return self.free


@pytest.fixture
def host(tmp_path: Path) -> StandIn:
    return StandIn(tmp_path)


def only(host: StandIn) -> Oddity:
    (found,) = look(host)
    return found


def test_nothing_is_odd(host: StandIn) -> None:
    assert look(host) == []


def test_a_device_filter_that_refuses(host: StandIn) -> None:
    host.filters, host.makes_devices = [7, 12], False
    assert only(host).fatal
    assert "/sys/fs/cgroup/unified itself has a device filter (bpf program 7, 12)" in only(host).text


def test_a_device_filter_that_lets_devices_be_made(host: StandIn) -> None:
    host.filters = [7]
    assert not only(host).fatal


def test_plain_directories_beside_the_hierarchies(host: StandIn) -> None:
    for name in ("hugetlb", "net_cls"):
        (host.root / "sys/fs/cgroup" / name).mkdir()
    assert "no hierarchies: hugetlb, net_cls;" in only(host).text


def test_no_cgroups(host: StandIn) -> None:
    host.write("proc/self/mountinfo", "1 0 0:1 / / rw - ext4 /dev/vda rw\n")
    assert only(host) == Oddity("no cgroup hierarchy is mounted: pyoci needs /sys/fs/cgroup", fatal=True)


def test_controllers_that_nobody_has(host: StandIn) -> None:
    host.write("sys/fs/cgroup/unified/cgroup.controllers", "io pids\n")
    assert only(host).text.startswith("no cgroup has the controller cpuset, memory:")


def test_a_controller_of_v1_by_its_name(host: StandIn) -> None:
    host.write("sys/fs/cgroup/unified/cgroup.controllers", "cpuset memory pids\n")
    host.write("proc/self/mountinfo", HYBRID + "6 2 0:6 / /sys/fs/cgroup/blkio rw - cgroup cgroup rw,blkio\n")
    (host.root / "sys/fs/cgroup/blkio").mkdir()
    assert look(host) == []


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("vm/memfd_noexec", "2"),
        ("user/max_user_namespaces", "0"),
        ("user/max_time_namespaces", "3"),
        ("kernel/unprivileged_userns_clone", "0"),
        ("kernel/apparmor_restrict_unprivileged_userns", "1"),
        ("kernel/pid_max", "300"),
        ("fs/mount-max", "100"),
    ],
)
def test_kernel_settings(host: StandIn, setting: str, value: str) -> None:
    host.write(f"proc/sys/{setting}", f"{value}\n")
    assert only(host).text.startswith(f"{setting.replace('/', '.')} is {value}: ")


def test_an_old_kernel(host: StandIn) -> None:
    host.release = "5.10.0-26-amd64"
    assert only(host).fatal


def test_few_descriptors(host: StandIn) -> None:
    host.limit = 64
    assert "64 descriptors" in only(host).text


def test_root_without_privileges(host: StandIn) -> None:
    host.write("proc/self/status", "CapEff:\t00000000a80425fb\n")  # docker's
    assert only(host) == Oddity(
        "root has no CAP_SYS_ADMIN: containers cannot be made as the tests want them", fatal=True
    )


def test_an_ordinary_user(host: StandIn) -> None:
    host.uid, host.filters = 1000, [7]
    assert only(host).text.startswith("user 1000 is not root")


def test_full_places(host: StandIn) -> None:
    host.free = (5 << 20, 10)
    assert [each.text for each in look(host)] == [
        f"/{folder} has only 5 MiB and 10 inodes free" for folder in ("tmp", "run")
    ]


def test_a_place_that_is_mounted_noexec(host: StandIn) -> None:
    host.write("proc/self/mountinfo", HYBRID + "6 1 0:6 / /tmp rw,noexec - tmpfs tmpfs rw\n")
    assert only(host).text.startswith("/tmp is mounted noexec")


def test_loop_devices(host: StandIn) -> None:
    (host.root / "dev/loop-control").unlink()
    host.write("sys/block/loop3/loop/backing_file", "/tmp/gone (deleted)\n")
    assert [each.text for each in look(host)] == [
        "no /dev/loop-control: tests that mount an image fail",
        "loop devices are in use: loop3",
    ]


def test_left_overs(host: StandIn) -> None:
    (host.root / "tmp/pyoci-x1").mkdir(parents=True)
    host.write("proc/self/mountinfo", HYBRID + "6 1 0:6 / /tmp/pyoci-x1/bundle/rootfs rw - tmpfs tmpfs rw\n")
    (host.root / "sys/fs/cgroup/unified/test0123456789-0").mkdir()
    (host.root / "sys/fs/cgroup/unified/system.slice").mkdir()
    host.write("proc/77/cmdline", "sleep\0/tmp/pyoci-x1/root\0")
    host.write("proc/78/cmdline", "sleep\0/tmp/other\0")
    assert [each.text for each in look(host)] == [
        "folders of another run, unless it is still at work: /tmp/pyoci-x1",
        "mounts of another run, unless it is still at work: /tmp/pyoci-x1/bundle/rootfs",
        "cgroups of another run, unless it is still at work: test0123456789-0",
        "processes of another run, unless it is still at work: 77",
    ]


def test_this_machine_is_looked_at() -> None:
    """Whatever is found: nothing is raised."""
    assert all("\n" not in each.text for each in look(Host()))
