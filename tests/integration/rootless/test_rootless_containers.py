"""What an ordinary user's container is and does: from its life to hooks, terminals, networks, mounts and seccomp."""

from __future__ import annotations

import array
import fcntl
import json
import os
import select
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from containers import Bundle, wait_for
from memfd_noexec import memfd_noexec
from rootless_support import RootlessPyoci, give, map_ranges

HOOKS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")


@pytest.fixture(params=["one-id", "ranges"])
def either(request: pytest.FixtureRequest, rootless: RootlessPyoci, box: Bundle) -> Bundle:
    """The box with each kind of mapping."""
    return map_ranges(box, rootless.user) if request.param == "ranges" else box


# --- life


def test_its_life(rootless: RootlessPyoci, either: Bundle) -> None:
    container = rootless.create(either.shell("echo started; sleep 60"))
    assert container.status == "created"
    container.start().expect("started")
    assert container.status == "running"
    done = container.exec("/bin/sh", "-c", "id -u; pwd; echo $PPID; cat /proc/1/comm")
    assert done.out == "0\n/\n0\nsleep\n"
    assert container.exec("/bin/sh", "-c", "exit 9", check=False).code == 9
    (row,) = [line for line in rootless("list").out.splitlines() if container.id in line]
    assert "running" in row
    assert rootless.user.name in row
    container.kill("TERM")  # which the first process of a pid namespace does not get, having no handler
    container.kill("KILL")
    container.wait().delete()
    assert not rootless("list", "-q").out


@pytest.mark.parametrize("kind", ["new", "joined"])
def test_where_no_memory_files_are_executed(rootless: RootlessPyoci, either: Bundle, kind: str) -> None:
    """vm.memfd_noexec=2: init is in a tmpfs, which only root of a user namespace can mount."""
    with memfd_noexec() as enter:
        rootless.around = enter
        container = rootless.run_detached(either.args("/bin/sleep", "60"))
        assert container.exec("/bin/sh", "-c", "id -u").out == "0\n"
        if kind == "joined":
            either.namespace("user", f"/proc/{container.pid}/ns/user").args("id", "-u")
            del either.linux["uidMappings"], either.linux["gidMappings"]
            assert rootless.run(either).out == "0\n"
        container.delete(force=True)
        left = rootless.close()
    rootless.around = ()
    assert not left


def test_the_exit_code(rootless: RootlessPyoci, box: Bundle) -> None:
    assert rootless.run(box.shell("exit 7"), check=False).code == 7


def test_delete_by_force(rootless: RootlessPyoci, either: Bundle) -> None:
    container = rootless.run_detached(either.shell("sleep 61 & sleep 62"))
    pid = container.pid
    container.delete(force=True)
    wait_for(lambda: pid not in rootless.processes())


def test_nothing_is_left_of_a_failure(rootless: RootlessPyoci, box: Bundle) -> None:
    done = rootless.run(box.args("/nowhere"), check=False)
    assert done.code == 1
    assert "/nowhere" in done.err


def test_it_is_enclosed(rootless: RootlessPyoci, box: Bundle) -> None:
    done = rootless.run(
        box.shell("ls -d /boot || true; readlink /proc/self/ns/pid; readlink /proc/self/ns/mnt; ps | wc -l")
    )
    for kind in ("pid", "mnt"):
        assert os.readlink(f"/proc/self/ns/{kind}") not in done.out
    assert "No such file" in done.err
    assert int(done.out.split()[-1]) < 6


def test_the_score_for_the_oom_killer(rootless: RootlessPyoci, box: Bundle) -> None:
    box.process["oomScoreAdj"] = 300
    container = rootless.run_detached(box.args("/bin/sleep", "60"))
    assert Path(f"/proc/{container.pid}/oom_score_adj").read_text() == "300\n"
    assert container.exec("cat", "/proc/self/oom_score_adj").out == "300\n"


def test_resource_limits(rootless: RootlessPyoci, box: Bundle) -> None:
    box.process["rlimits"] = [{"type": "RLIMIT_NOFILE", "hard": 100, "soft": 50}]
    assert rootless.run(box.shell("ulimit -Sn; ulimit -Hn")).out == "50\n100\n"


def test_capabilities_are_of_the_namespace(rootless: RootlessPyoci, box: Bundle) -> None:
    """Also those that the user does not have on the host."""
    box.capabilities("CAP_SYS_ADMIN", "CAP_CHOWN")
    done = rootless.run(box.shell("grep CapEff /proc/self/status; mount -t tmpfs none /mnt; umount /mnt"))
    assert int(done.out.split()[1], 16) == 1 << 21 | 1
    assert not done.err


# --- namespaces


def test_a_network_of_its_own(rootless: RootlessPyoci, either: Bundle) -> None:
    """With a sysfs that shows it."""
    either.namespace("network").unmount("/sys").mount("/sys", "sysfs", "sysfs", ["ro", "nosuid", "nodev", "noexec"])
    either.linux["sysctl"] = {"net.ipv4.ping_group_range": "0 0"}
    done = rootless.run(either.shell("ip link; ls /sys/class/net; cat /proc/sys/net/ipv4/ping_group_range"))
    assert "LOOPBACK,UP" in done.out
    assert done.out.split("\n", 2)[2].split()[-3:] == ["lo", "0", "0"]


@pytest.mark.parametrize("joined", [False, True], ids=["its own user namespace", "another's"])
def test_shifted_clocks(rootless: RootlessPyoci, either: Bundle, joined: bool) -> None:
    """That init cannot be read, by whom it may be traced, is no reason not to have them (CVE-2016-9962)."""
    if joined:
        first = rootless.run_detached(either.args("/bin/sleep", "60"))
        either.namespace("user", f"/proc/{first.pid}/ns/user")
        del either.linux["uidMappings"], either.linux["gidMappings"]
    either.namespace("time")
    either.linux["timeOffsets"] = {"boottime": {"secs": 77}}
    done = rootless.run(either.args("cat", "/proc/self/timens_offsets"))
    assert done.out.split()[-2:] == ["77", "0"]
    either.linux["timeOffsets"]["boottime"]["secs"] = -(10**9)
    refused = rootless.run(either, check=False)
    assert "cannot set up the time namespace (/linux/timeOffsets): Numerical result out of range" in refused.err


def test_the_hosts_network(rootless: RootlessPyoci, box: Bundle) -> None:
    """Then /sys is the host's, bound."""
    done = rootless.run(box.shell("ls /sys/class/net; touch /sys/x || true"))
    assert done.out.split() == sorted(os.listdir("/sys/class/net"))
    assert "Read-only file system" in done.err


@pytest.mark.parametrize(
    ("kind", "namespace", "instead"),
    [("sysfs", "network", "bind /sys"), ("proc", "pid", "bind /proc"), ("mqueue", "ipc", "bind /dev/mqueue")],
)
def test_a_filesystem_of_a_namespace_of_the_hosts(
    rootless: RootlessPyoci, box: Bundle, kind: str, namespace: str, instead: str
) -> None:
    box.without_namespace(namespace)
    place = instead.split()[1]
    box.unmount(place).mount(place, kind, kind)
    done = rootless.run(box, check=False)
    assert done.code == 1
    assert instead in done.err
    assert f"/mounts/{len(box.mounts) - 1}" in done.err


def test_without_a_user_namespace(rootless: RootlessPyoci, box: Bundle) -> None:
    box.without_namespace("user")
    del box.linux["uidMappings"], box.linux["gidMappings"]
    done = rootless.run(box, check=False)
    assert done.code == 1
    assert "/linux/namespaces: must have a" in done.err


def test_network_devices(rootless: RootlessPyoci, box: Bundle) -> None:
    box.namespace("network").linux["netDevices"] = {"lo": {}}
    done = rootless.run(box, check=False)
    assert done.code == 1
    assert "/linux/netDevices: only root of the host can move network devices" in done.err


# --- mounts


def test_mounts_as_engines_make_them(rootless: RootlessPyoci, either: Bundle) -> None:
    volume = either.path / "volume"
    (volume / "below").mkdir(parents=True)
    (volume / "file").write_text("here")
    give(rootless.user, volume)
    either.mount("/mnt", "bind", str(volume), ["rbind", "rw", "rprivate", "nosuid", "nodev"])
    either.mount("/etc/resolv.conf", "bind", str(volume / "file"), ["rbind", "ro", "rprivate"])
    either.mount("/run", "tmpfs", "tmpfs", ["rw", "nosuid", "nodev", "size=64k", "mode=755"])
    either.mount("/var/new", "tmpfs", "tmpfs", ["ro", "noexec"])
    either.config["root"]["readonly"] = True
    either.linux["rootfsPropagation"] = "rslave"
    done = rootless.run(
        either.shell(
            "cat /etc/resolv.conf; touch /mnt/below/new /run/x; for f in / /etc/resolv.conf /var/new/x /proc/sys/x; do"
            " echo x 2>/dev/null > $f && echo $f; done; cat /proc/kcore | wc -c; grep -c . /proc/keys; ls /sys/firmware"
        ),
        check=False,
    )
    assert done.out == "here0\n0\n"
    assert os.stat(volume / "below/new").st_uid == rootless.user.uid


def test_mounts_below_a_source(rootless: RootlessPyoci, box: Bundle) -> None:
    """The kernel lets nobody but root of the host look under a mount."""
    rootless.around = ["unshare", "-m", "sh", "-ec", f'mount -t tmpfs none {box.path}/top/below; exec "$@"', "sh"]
    below = box.path / "top/below"
    below.mkdir(parents=True)
    (below / "hidden").touch()
    box.mount("/mnt", "bind", str(box.path / "top"), ["bind"])
    done = rootless.run(box, check=False)
    assert done.code == 1
    assert "use rbind" in done.err
    assert f"/mounts/{len(box.mounts) - 1}/source" in done.err
    box.mounts[-1]["options"] = ["rbind"]
    assert rootless.run(box.args("ls", "/mnt/below")).out == ""


def test_a_source_that_is_not_his(rootless: RootlessPyoci, box: Bundle) -> None:
    secret = box.path / "secret"
    secret.mkdir(mode=0o700)
    box.mount("/mnt", "bind", f"{secret}/inside", ["rbind"])
    done = rootless.run(box, check=False)
    assert done.code == 1
    assert f"/mounts/{len(box.mounts) - 1}/source" in done.err
    assert "permission denied" in done.err.lower()


def test_id_mapped_mounts(rootless: RootlessPyoci, box: Bundle) -> None:
    box.mount("/mnt", "bind", str(box.path), ["bind", "idmap"])
    done = rootless.run(box, check=False)
    assert done.code == 1
    assert f"/mounts/{len(box.mounts) - 1}: only root of the host can map the ids of a mount" in done.err


def test_devices_are_those_of_the_host(rootless: RootlessPyoci, box: Bundle) -> None:
    box.linux["devices"] = [{"path": "/dev/net/nothing", "type": "c", "major": 1, "minor": 3}]
    done = rootless.run(box, check=False)
    assert done.code == 1
    assert "/linux/devices/0" in done.err
    del box.linux["devices"]
    done = rootless.run(box.shell("echo x > /dev/null; head -c 3 /dev/zero | wc -c; stat -c %t:%T /dev/full"))
    assert done.out == "3\n1:7\n"


# --- hooks


def test_hooks(rootless: RootlessPyoci, either: Bundle) -> None:
    """As the user; those of the container as its root."""
    notes = either.path / "notes"
    notes.mkdir()
    give(rootless.user, notes)
    either.mount(str(notes), "bind", str(notes), ["bind", "rw"])
    either.config["hooks"] = {
        kind: [{"path": "/bin/sh", "args": ["sh", "-c", f"cat > {notes}/{kind}; id -u >> {notes}/order"]}]
        for kind in HOOKS
    }
    container = rootless.create(either.args("/bin/sleep", "60"))
    pid = container.pid
    container.start().delete(force=True)
    own = str(rootless.user.uid)
    assert (notes / "order").read_text().split() == [own, own, "0", "0", own, own]
    states = {kind: json.loads((notes / kind).read_text()) for kind in HOOKS}
    assert [states[kind]["status"] for kind in HOOKS] == ["created"] * 4 + ["running", "stopped"]
    assert states["createRuntime"]["pid"] == pid
    assert {state["id"] for state in states.values()} == {container.id}


def test_a_hook_that_joins_the_network(rootless: RootlessPyoci, box: Bundle) -> None:
    """As slirp4netns does: through the namespaces of the pid it is told."""
    box.namespace("network")
    script = (
        "pid=$(sed 's/.*\"pid\":\\([0-9]*\\).*/\\1/'); "
        "nsenter -t $pid -U -n --preserve-credentials ip address add 10.9.8.7/32 dev lo"
    )
    path = rootless.environment["PATH"]
    box.config["hooks"] = {
        "createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", script], "env": [f"PATH={path}"]}]
    }
    assert "10.9.8.7" in rootless.run(box.args("ip", "address")).out


def test_a_hook_that_fails(rootless: RootlessPyoci, box: Bundle) -> None:
    box.config["hooks"] = {"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", "echo why >&2; exit 3"]}]}
    done = rootless.run(box, check=False)
    assert done.code == 1
    assert "/hooks/createRuntime/0" in done.err
    assert "why" in done.err


# --- sockets that take a descriptor


class Receiver:
    """Listens at a socket that the user may connect to."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        os.chmod(self.path, 0o777)
        self._listener.listen()
        self._listener.settimeout(10)

    def receive(self) -> tuple[str, int]:
        """The message, and the descriptor that came with it."""
        with self._listener.accept()[0] as connection:
            text, ancillary, _, _ = connection.recvmsg(1 << 16, socket.CMSG_SPACE(4))
        ((_, _, data),) = ancillary
        return text.decode(), int(array.array("i", data)[0])

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def receiver(directory: Path) -> Iterator[Receiver]:
    listener = Receiver(directory / "receiver.sock")
    yield listener
    listener.close()


def test_a_console_socket(rootless: RootlessPyoci, either: Bundle, receiver: Receiver) -> None:
    either.process["terminal"] = True
    container = rootless.create(either.args("sh"), "--console-socket", receiver.path)
    _, master = receiver.receive()
    container.start()
    os.write(master, b"tty; stat -c '%u' /dev/console; echo here > /dev/tty; exit 3\n")
    assert "/dev/pts/0\r\n0\r\nhere\r\n" in _read_all(master)
    container.wait()


def test_exec_at_a_terminal(rootless: RootlessPyoci, box: Bundle, receiver: Receiver) -> None:
    container = rootless.run_detached(box.args("/bin/sleep", "60"))
    container.exec("sh", "-c", "tty; id -u", options=["--tty", "--detach", "--console-socket", receiver.path])
    _, master = receiver.receive()
    assert _read_all(master) == "/dev/pts/0\r\n0\r\n"


def _read_all(master: int) -> str:
    """What a terminal shows until nobody has it any more."""
    shown = b""
    while select.select([master], [], [], 10)[0]:
        try:
            shown += os.read(master, 4096)
        except OSError:
            break
    os.close(master)
    return shown.decode()


def test_a_terminal_of_another_user_of_the_container(rootless: RootlessPyoci, box: Bundle) -> None:
    map_ranges(box, rootless.user).process["terminal"] = True
    box.process["user"] = {"uid": 1000, "gid": 1000}
    assert "1000" in rootless.run(box.shell("stat -c %u $(tty) > /dev/stdout")).out


def test_a_seccomp_filter(rootless: RootlessPyoci, box: Bundle) -> None:
    box.linux["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}],
    }
    box.shell("mkdir /tmp/d || true; grep Seccomp: /proc/self/status")
    for _ in "compiled", "cached":
        done = rootless.run(box)
        assert "Operation not permitted" in done.err
        assert done.out.split() == ["Seccomp:", "2"]
    cache = rootless.root / "~seccomp"
    assert cache.stat().st_uid == rootless.user.uid
    assert cache.stat().st_mode & 0o777 == 0o700


# seccomp_unotify(2)
NOTIFICATION, RESPONSE = struct.Struct("=QIIiIQ6Q"), struct.Struct("=QqiI")
RECV, SEND = 0xC0502100, 0xC0182101
EDOM = 33


@pytest.mark.parametrize("verb", ["start", "exec"])
def test_a_seccomp_listener(rootless: RootlessPyoci, either: Bundle, receiver: Receiver, verb: str) -> None:
    either.linux["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "listenerPath": receiver.path,
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY"}],
    }
    if verb == "start":
        container = rootless.run_detached(either.shell("mkdir /tmp/d || sleep 60"))
        agent = _refuse(receiver)
    else:
        container = rootless.run_detached(either.args("/bin/sleep", "60"))
        _, first = receiver.receive()
        os.close(first)
        child = rootless.spawn("exec", container.id, "mkdir", "/tmp/d", stderr=container._output.open("wb"))
        agent = _refuse(receiver)
        child.wait(60)
    assert agent["state"]["id"] == container.id
    container.expect("Numerical argument out of domain")


def _refuse(receiver: Receiver) -> dict[str, Any]:
    """Answers one call with EDOM; the state that was told."""
    text, listener = receiver.receive()
    buffer = bytearray(NOTIFICATION.size)
    fcntl.ioctl(listener, RECV, buffer)
    fcntl.ioctl(listener, SEND, RESPONSE.pack(NOTIFICATION.unpack(buffer)[0], 0, -EDOM, 0))
    os.close(listener)
    state: dict[str, Any] = json.loads(text)
    return state
