"""linux.namespaces: new ones, those of others by path, and what is set in them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from containers import Bundle, Pyoci
from namespace_support import FILES, SHOW, holder, inode, only, shown


def test_each_namespace_is_new(bundle: Bundle, pyoci: Pyoci) -> None:
    only(bundle, *FILES).user_namespace().shell(SHOW)
    inside = shown(pyoci.run(bundle).out)
    assert all(inside[kind] != inode("self", kind) for kind in FILES)


@pytest.mark.parametrize("kind", FILES)
def test_only_one_namespace_is_new(bundle: Bundle, pyoci: Pyoci, kind: str) -> None:
    """Each kind alone besides mount and pid, without which a procfs could not be had."""
    kinds = {"mount", "pid", kind}
    only(bundle, *sorted(kinds)).shell(SHOW)
    bundle.config.pop("hostname")
    if kind == "user":
        bundle.user_namespace()
        for mount in ("/sys", "/dev/mqueue", "/dev/pts"):
            bundle.unmount(mount)
    inside = shown(pyoci.run(bundle).out)
    assert {each for each in FILES if inside[each] != inode("self", each)} == kinds


def test_a_container_can_stay_in_all_of_the_hosts_namespaces(bundle: Bundle, pyoci: Pyoci) -> None:
    """Without a mount namespace it is a chroot: no mounts are made, the host's /proc is to be found."""
    only(bundle)
    del bundle.config["hostname"]
    del bundle.linux["maskedPaths"], bundle.linux["readonlyPaths"]
    bundle.config["mounts"] = []
    done = pyoci.run(bundle.args("/bin/ls", "/"), check=False)
    assert done.code == 0, done
    assert "bin" in done.out.split()
    assert "boot" not in done.out.split()


def test_a_pod_shares_network_ipc_and_uts(new_bundle: Callable[[str], Bundle], pyoci: Pyoci) -> None:
    """As podman has it: an infra container first, and members that join it by /proc/PID/ns."""
    infra = new_bundle("infra").args("/bin/sleep", "60")
    infra.config["hostname"] = "pod"
    first = pyoci.run_detached(infra)
    member = new_bundle("member").shell(f"{SHOW}; hostname; ip link show lo")
    del member.config["hostname"]
    for kind in ("network", "ipc", "uts"):
        member.namespace(kind, f"/proc/{first.pid}/ns/{FILES[kind]}")
    done = pyoci.run(member)
    inside = shown(done.out)
    for kind in ("network", "ipc", "uts"):
        assert inside[kind] == inode(first.pid, kind)
    for kind in ("pid", "mount"):
        assert inside[kind] not in (inode(first.pid, kind), inode("self", kind))
    assert "\npod\n" in done.out
    assert "UP" in done.out


def test_all_namespaces_of_another_container(new_bundle: Callable[[str], Bundle], pyoci: Pyoci) -> None:
    kinds = ("pid", "network", "ipc", "uts", "cgroup", "time")
    infra = only(new_bundle("infra"), *kinds, "mount").args("/bin/sleep", "60")
    first = pyoci.run_detached(infra)
    member = new_bundle("member").shell(f"{SHOW}; ps")
    del member.config["hostname"]
    for kind in kinds:
        member.namespace(kind, f"/proc/{first.pid}/ns/{FILES[kind]}")
    done = pyoci.run(member)
    inside = shown(done.out)
    assert {kind: inside[kind] for kind in kinds} == {kind: inode(first.pid, kind) for kind in kinds}
    assert "sleep 60" in done.out


def test_a_joined_pid_namespace_makes_the_container_a_sibling(
    new_bundle: Callable[[str], Bundle], pyoci: Pyoci
) -> None:
    """Its process is not pid 1 there, its parent is the runtime's, and what it runs dies with its cgroup."""
    first = pyoci.run_detached(new_bundle("infra").args("/bin/sleep", "60"))
    member = new_bundle("member").namespace("pid", f"/proc/{first.pid}/ns/pid")
    second = pyoci.run_detached(member.shell("echo pid $$; sleep 60"))
    second.expect("pid ")
    assert "pid 1\n" not in second.output
    assert first.status == second.status == "running"
    second.kill("KILL")
    second.wait()
    assert first.status == "running"


def test_the_end_of_a_pid_namespace_ends_who_joined_it(new_bundle: Callable[[str], Bundle], pyoci: Pyoci) -> None:
    first = pyoci.run_detached(new_bundle("infra").args("/bin/sleep", "60"))
    member = new_bundle("member").namespace("pid", f"/proc/{first.pid}/ns/pid")
    second = pyoci.run_detached(member.args("/bin/sleep", "60"))
    first.kill("KILL")
    second.wait()


def test_a_user_namespace_by_path_comes_before_the_others(new_bundle: Callable[[str], Bundle], pyoci: Pyoci) -> None:
    """The joined network namespace belongs to the joined user namespace; the order in config.json does not matter."""
    infra = new_bundle("infra").user_namespace().args("/bin/sleep", "60")
    first = pyoci.run_detached(infra)
    for order in (("network", "user"), ("user", "network")):
        member = new_bundle("-".join(order)).user_namespace().shell(f"{SHOW}; id -u; ip link set lo mtu 1000")
        member.capabilities("CAP_NET_ADMIN")
        member.linux["uidMappings"] = member.linux["gidMappings"] = []
        for kind in order:
            member.namespace(kind, f"/proc/{first.pid}/ns/{FILES[kind]}")
        done = pyoci.run(member)
        inside = shown(done.out)
        for kind in order:
            assert inside[kind] == inode(first.pid, kind)
        assert done.out.splitlines()[-1] == "0"
        assert inside["mount"] != inode(first.pid, "mount")


def test_a_user_namespace_and_all_others_by_path(new_bundle: Callable[[str], Bundle], pyoci: Pyoci) -> None:
    kinds = ("user", "pid", "network", "ipc", "uts", "cgroup")
    first = pyoci.run_detached(only(new_bundle("infra"), *kinds, "mount").user_namespace().args("/bin/sleep", "60"))
    member = new_bundle("member").user_namespace().shell(SHOW)
    del member.config["hostname"]
    del member.linux["uidMappings"], member.linux["gidMappings"]
    for kind in kinds:
        member.namespace(kind, f"/proc/{first.pid}/ns/{FILES[kind]}")
    inside = shown(pyoci.run(member).out)
    assert {kind: inside[kind] for kind in kinds} == {kind: inode(first.pid, kind) for kind in kinds}


def test_a_new_user_namespace_with_the_hosts_network(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.user_namespace().without_namespace("network").unmount("/sys").shell(SHOW)
    assert shown(pyoci.run(bundle).out)["network"] == inode("self", "network")


def test_a_new_user_namespace_with_a_foreign_network_by_path(bundle: Bundle, pyoci: Pyoci) -> None:
    """Which its root may not configure, and the runtime joins before it loses the right to."""
    with holder("--net") as pid:
        bundle.user_namespace().namespace("network", f"/proc/{pid}/ns/net").unmount("/sys")
        bundle.capabilities("CAP_NET_ADMIN")
        bundle.shell(f"{SHOW}; ip link set lo up && echo allowed || echo refused")
        done = pyoci.run(bundle)
        assert shown(done.out)["network"] == inode(pid, "network")
        assert done.out.endswith("refused\n")


def test_a_mount_namespace_by_path(bundle: Bundle, pyoci: Pyoci) -> None:
    """The root is changed in the joined one, whose process sees nothing of it in its own root directory."""
    with holder("--mount", "--propagation", "private") as pid:
        bundle.namespace("mount", f"/proc/{pid}/ns/mnt").shell(f"{SHOW}; ls /")
        done = pyoci.run(bundle)
        assert shown(done.out)["mount"] == inode(pid, "mount")
        assert "boot" not in done.out.split()
        before = Path("/proc/self/mountinfo").read_text()
    assert str(bundle.path) not in before


def test_a_path_of_the_wrong_kind_is_refused(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.namespace("network", "/proc/self/ns/uts")
    done = pyoci.run(bundle, check=False)
    assert done.code != 0
    assert "/linux/namespaces" in done.err
    assert "invalid argument" in done.err.lower()


def test_a_path_that_does_not_exist_is_named(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.namespace("ipc", "/proc/self/ns/none")
    done = pyoci.run(bundle, check=False)
    place = next(i for i, each in enumerate(bundle.linux["namespaces"]) if each["type"] == "ipc")
    assert done.code != 0
    assert f"/linux/namespaces/{place}/path" in done.err


def test_a_bound_namespace_file(bundle: Bundle, pyoci: Pyoci, directory: Path) -> None:
    """Engines keep a network namespace alive by a bind mount of it: ip-netns(8)."""
    file = directory / "net"
    file.touch()
    subprocess.run(["unshare", f"--net={file}", "true"], check=True)
    try:
        number = os.stat(file).st_ino
        bundle.namespace("network", str(file)).shell(SHOW)
        assert shown(pyoci.run(bundle).out)["network"] == f"net:[{number}]"
    finally:
        subprocess.run(["umount", str(file)], check=True)


def test_exec_joins_every_namespace(bundle: Bundle, pyoci: Pyoci) -> None:
    only(bundle, *FILES).user_namespace().args("/bin/sleep", "60")
    bundle.linux["timeOffsets"] = {"boottime": {"secs": 1000}}
    container = pyoci.run_detached(bundle)
    inside = shown(container.exec("/bin/sh", "-c", SHOW).out)
    assert inside == {kind: inode(container.pid, kind) for kind in FILES}


def test_exec_joins_namespaces_that_were_joined(new_bundle: Callable[[str], Bundle], pyoci: Pyoci) -> None:
    first = pyoci.run_detached(new_bundle("infra").args("/bin/sleep", "60"))
    member = new_bundle("member").args("/bin/sleep", "60")
    del member.config["hostname"]
    for kind in ("pid", "network", "uts"):
        member.namespace(kind, f"/proc/{first.pid}/ns/{FILES[kind]}")
    second = pyoci.run_detached(member)
    inside = shown(second.exec("/bin/sh", "-c", SHOW).out)
    expected = {kind: inode(second.pid, kind) for kind in FILES}
    assert inside == expected


# --- time


def clocks(text: str) -> dict[str, tuple[int, int]]:
    lines = (line.split() for line in text.splitlines() if line[:9] in ("monotonic", "boottime ") or "boottime" in line)
    return {name: (int(seconds), int(nanoseconds)) for name, seconds, nanoseconds in lines}


def test_time_offsets(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.namespace("time")
    bundle.linux["timeOffsets"] = {"monotonic": {"secs": 100_000, "nanosecs": 7}, "boottime": {"secs": 500_000}}
    bundle.shell("cat /proc/self/timens_offsets; cut -d. -f1 /proc/uptime; readlink /proc/self/ns/time_for_children")
    lines = pyoci.run(bundle).out.splitlines()
    assert clocks("\n".join(lines)) == {"monotonic": (100_000, 7), "boottime": (500_000, 0)}
    ours = float(Path("/proc/uptime").read_text().split()[0])
    assert abs(int(lines[2]) - ours - 500_000) < 10


def test_time_offsets_may_be_negative(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.namespace("time")
    bundle.linux["timeOffsets"] = {"boottime": {"secs": -10}}
    assert clocks(pyoci.run(bundle.args("cat", "/proc/self/timens_offsets")).out)["boottime"] == (-10, 0)


def test_a_time_before_boot_is_refused(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.namespace("time")
    bundle.linux["timeOffsets"] = {"boottime": {"secs": -(10**9)}}
    done = pyoci.run(bundle, check=False)
    assert done.code != 0
    assert "/linux/timeOffsets" in done.err


def test_time_offsets_in_a_user_namespace(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.namespace("time").user_namespace()
    bundle.linux["timeOffsets"] = {"boottime": {"secs": 77}}
    assert clocks(pyoci.run(bundle.args("cat", "/proc/self/timens_offsets")).out)["boottime"] == (77, 0)


# --- uts


def test_names(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.config["hostname"], bundle.config["domainname"] = "inside.example", "nis.example"
    bundle.shell("hostname; cat /proc/sys/kernel/domainname")
    before = os.uname()
    assert pyoci.run(bundle).out.split() == ["inside.example", "nis.example"]
    assert os.uname() == before


def test_the_longest_hostname(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.config["hostname"] = "h" * 64
    assert pyoci.run(bundle.args("hostname")).out == "h" * 64 + "\n"


def test_a_hostname_that_is_too_long(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.config["hostname"] = "h" * 65
    done = pyoci.run(bundle, check=False)
    assert done.code != 0
    assert "/hostname" in done.err


# --- cgroup


def test_a_cgroup_namespace_shows_the_containers_cgroup_as_its_root(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.namespace("cgroup").args("cat", "/proc/self/cgroup")
    lines = pyoci.run(bundle).out.splitlines()
    assert lines
    assert all(line.endswith(":/") for line in lines)


def test_without_a_cgroup_namespace_the_whole_path_shows(bundle: Bundle, pyoci: Pyoci) -> None:
    id = pyoci.new_id()
    done = pyoci.run(bundle.args("cat", "/proc/self/cgroup"), id=id)
    assert all(line.endswith(id) for line in done.out.splitlines() if ":devices" in line or ":pids" in line)


def test_a_joined_cgroup_namespace(new_bundle: Callable[[str], Bundle], pyoci: Pyoci) -> None:
    """The member's own cgroup is a sibling of the namespace's root."""
    first = pyoci.run_detached(new_bundle("infra").namespace("cgroup").args("/bin/sleep", "60"))
    member = new_bundle("member").namespace("cgroup", f"/proc/{first.pid}/ns/cgroup")
    id = pyoci.new_id()
    done = pyoci.run(member.args("cat", "/proc/self/cgroup"), id=id)
    assert f"/../{id}" in done.out


# --- sysctl


def test_sysctl_of_the_network(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.linux["sysctl"] = {"net.ipv4.ip_forward": "1", "net/core/somaxconn": "321"}
    bundle.shell("cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/core/somaxconn")
    before = Path("/proc/sys/net/core/somaxconn").read_text()
    assert pyoci.run(bundle).out.split() == ["1", "321"]
    assert Path("/proc/sys/net/core/somaxconn").read_text() == before


def test_sysctl_of_ipc(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.linux["sysctl"] = {"kernel.msgmax": "1234", "fs.mqueue.msg_max": "77"}
    bundle.shell("cat /proc/sys/kernel/msgmax /proc/sys/fs/mqueue/msg_max")
    assert pyoci.run(bundle).out.split() == ["1234", "77"]


@pytest.mark.parametrize("key", ["net.ipv4.conf.a/b.forwarding", "net/ipv4/conf/a.b/forwarding"])
def test_sysctl_of_a_device_with_a_dot_in_its_name(bundle: Bundle, pyoci: Pyoci, key: str) -> None:
    with holder("--net") as pid:
        subprocess.run(
            ["nsenter", f"--net=/proc/{pid}/ns/net", "ip", "link", "add", "a.b", "type", "bridge"], check=True
        )
        bundle.namespace("network", f"/proc/{pid}/ns/net")
        bundle.linux["sysctl"] = {key: "1"}
        bundle.args("cat", "/proc/sys/net/ipv4/conf/a.b/forwarding")
        assert pyoci.run(bundle).out == "1\n"


def test_a_sysctl_that_does_not_exist(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.linux["sysctl"] = {"net.ipv4.no_such_thing": "1"}
    done = pyoci.run(bundle, check=False)
    assert done.code != 0
    assert "/linux/sysctl/net.ipv4.no_such_thing" in done.err


def test_a_sysctl_value_that_the_kernel_refuses(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.linux["sysctl"] = {"net.ipv4.ip_local_port_range": "9 1"}
    done = pyoci.run(bundle, check=False)
    assert done.code != 0
    assert "/linux/sysctl/net.ipv4.ip_local_port_range" in done.err


def test_sysctl_does_not_need_a_procfs_in_the_container(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.unmount("/proc")
    del bundle.linux["maskedPaths"], bundle.linux["readonlyPaths"]
    bundle.linux["sysctl"] = {"kernel.msgmax": "4321"}
    assert pyoci.run(bundle.args("/bin/true")).code == 0


def test_the_loopback_device_is_up_and_works(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.shell(
        "ip addr show lo; (echo hello | nc -l -p 9 -w 2 >/dev/null &) ; sleep 0.2; nc -w 2 127.0.0.1 9 </dev/null"
    )
    done = pyoci.run(bundle)
    assert "127.0.0.1/8" in done.out
    assert "hello" in done.out
