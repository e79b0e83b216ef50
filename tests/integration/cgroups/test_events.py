"""`events`: statistics like those of runc, and notices that memory has run out, of real containers."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest
from containers import CGROUP_ROOT, Bundle, Container, Pyoci, compile_static, wait_for

from oci_runtime.lifecycle.events import _watch
from oci_runtime.linux.cgroups import _fs
from oci_runtime.linux.cgroups.cgroup import Cgroup
from oci_runtime.linux.cgroups.oom_notices import V2Notices

MIB = 1 << 20
V2 = (CGROUP_ROOT / "cgroup.controllers").exists()
#: What runc leaves out of v2 trees, alone or beside v1; and what may be zero, or runc shows of v2 trees only.
NOT_IN_V2 = ("/cpuset/", "/memory/kernel") if not os.path.ismount(CGROUP_ROOT / "cpuset") else ()
NOT_IN_HYBRID = ("/memory/",) if not V2 and not os.path.ismount(CGROUP_ROOT / "memory") else ()
VARYING = ("/psi/", "/hugetlb", "/blkio", "/raw/", "/memory/cache", "/throttling/throttled")


@pytest.fixture
def limited(bundle: Bundle) -> Bundle:
    bundle.linux["resources"] = {
        "memory": {"limit": 64 * MIB},
        "pids": {"limit": 20},
        "cpu": {"quota": 20000, "period": 100000},
    }
    return bundle.args("sleep", "100")


def stats(container: Container) -> dict[str, Any]:
    event = json.loads(container.pyoci("events", "--stats", container.id).out)
    assert (event["type"], event["id"]) == ("stats", container.id)
    data: dict[str, Any] = event["data"]
    return data


def leaves(value: Any, where: str = "") -> Iterator[tuple[str, type]]:
    """Pointers to all that is no object, and what it is."""
    if isinstance(value, dict):
        for name, member in value.items():
            yield from leaves(member, f"{where}/{name}")
        if not value:
            yield where, dict
    else:
        yield where, type(value)


def test_names_and_types_are_those_of_runc(limited: Bundle, pyoci: Pyoci) -> None:
    """The same container, run by both. runc knows nothing of controllers that a hybrid host has in the v2 tree."""
    if not V2 and not os.path.ismount(CGROUP_ROOT / "memory"):
        del limited.linux["resources"]["memory"]
    if os.path.ismount(CGROUP_ROOT / "cpuset"):
        limited.linux["resources"]["cpu"].update({"cpus": "0", "mems": "0"})
    limited.shell("i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done; cat /etc/passwd; echo ready; sleep 100")
    ours = pyoci.run_detached(limited).expect("ready")
    runc = Pyoci(pyoci.directory / "runc", "runc")
    runc.directory.mkdir()
    try:
        theirs = runc.run_detached(limited).expect("ready")
        found, wanted = dict(leaves(stats(ours))), dict(leaves(stats(theirs)))
    finally:
        left = runc.close()
    assert not left
    for name in found.keys() ^ wanted.keys():
        if name in found and name.startswith((*NOT_IN_V2, *NOT_IN_HYBRID)):
            continue
        assert any(part in name for part in VARYING), name
    assert {name: found[name] for name in found.keys() & wanted.keys()} == {
        name: wanted[name] for name in found.keys() & wanted.keys()
    }


def test_interfaces_with_odd_names(limited: Bundle, pyoci: Pyoci) -> None:
    """A container with CAP_NET_ADMIN chooses them, and must not get in the way of its statistics."""
    limited.capabilities("CAP_NET_ADMIN").shell(
        "ip link set lo down; ip link set lo name \"$(printf 'a\\034b')\"; sleep 100"
    )
    container = pyoci.run_detached(limited)
    names = Path(f"/proc/{container.pid}/net/dev")
    wait_for(lambda: b"a\x1cb:" in names.read_bytes())
    assert [interface["Name"] for interface in stats(container)["network_interfaces"]] == ["a\x1cb"]


def test_what_they_say_is_true(limited: Bundle, pyoci: Pyoci) -> None:
    """A load that uses its fifth of a CPU up."""
    limited.shell("sleep 100 & while :; do :; done")
    container = pyoci.run_detached(limited)
    started = time.monotonic()
    wait_for(
        lambda: (
            (seen := stats(container)["cpu"]["throttling"]).get("throttledPeriods", 0) >= 5
            and seen["throttledTime"] > 50e6
        )
    )
    found = stats(container)
    passed = time.monotonic() - started + 1
    cpu = found["cpu"]
    assert 0.08e9 < cpu["usage"]["total"] < passed * 0.25e9
    assert cpu["usage"]["user"] + cpu["usage"]["kernel"] > 0
    assert cpu["throttling"]["periods"] >= cpu["throttling"]["throttledPeriods"] >= 5
    if not V2:
        assert sum(cpu["usage"]["percpu"]) == pytest.approx(cpu["usage"]["total"], rel=0.1)
        assert len(cpu["usage"]["percpu_user"]) == len(cpu["usage"]["percpu"])
    memory = found["memory"]
    assert memory["usage"]["limit"] == 64 * MIB
    assert 0 < memory["usage"]["usage"] <= memory["usage"]["max"] < 64 * MIB
    assert memory["swap"]["limit"] >= 64 * MIB
    assert memory["raw"]["pgfault"] > 0
    assert found["pids"] == {"current": 2, "limit": 20}


def test_pressure(limited: Bundle, pyoci: Pyoci) -> None:
    """Two that want one CPU wait for each other."""
    if not Path("/proc/pressure/cpu").exists():
        pytest.skip("this kernel does not account pressure")
    container = pyoci.run_detached(limited.shell("while :; do :; done & while :; do :; done"))
    wait_for(lambda: stats(container)["cpu"]["psi"]["some"]["total"] > 100000)
    found = stats(container)
    for which in (found["cpu"], found["memory"], found["blkio"]):
        assert which["psi"]["full"].keys() == which["psi"]["some"].keys() == {"avg10", "avg60", "avg300", "total"}


def test_io_by_device(limited: Bundle, pyoci: Pyoci, disk: Path) -> None:
    major, minor = (int(part) for part in Path(f"/sys/block/{disk.name}/dev").read_text().split(":"))
    device = {"path": "/dev/disk", "type": "b", "major": major, "minor": minor, "fileMode": 0o600}
    limited.linux["devices"] = [device]
    allowed = {"allow": True, "type": "b", "major": major, "minor": minor, "access": "rw"}
    limited.linux["resources"]["devices"] = [allowed]
    # since Linux 6.10 cgroup v1 counts a device's I/O from its first limit on
    generous = {"major": major, "minor": minor, "rate": 1 << 40}
    limited.linux["resources"]["blockIO"] = {"throttleReadBpsDevice": [generous]}
    limited.shell(
        "dd if=/dev/disk of=/dev/null bs=1M count=4 iflag=direct;"
        "dd if=/dev/zero of=/dev/disk bs=1M count=2 oflag=direct; echo done; sleep 100"
    )
    container = pyoci.run_detached(limited).expect("done")
    blkio = stats(container)["blkio"]

    def of_device(name: str) -> dict[str, int]:
        ours = [entry for entry in blkio[name] if (entry["major"], entry.get("minor", 0)) == (major, minor)]
        return {entry["op"]: entry.get("value", 0) for entry in ours}

    done, counts = of_device("ioServiceBytesRecursive"), of_device("ioServicedRecursive")
    assert done["Read"] >= 4 * MIB
    assert done["Write"] >= 2 * MIB
    assert counts["Read"] >= 4


def test_interfaces(limited: Bundle, pyoci: Pyoci) -> None:
    container = pyoci.run_detached(limited)
    assert stats(container)["network_interfaces"] is None
    inside = ["nsenter", "-t", str(container.pid), "-n"]
    subprocess.run([*inside, "ip", "link", "add", "first", "type", "veth", "peer", "name", "second"], check=True)
    for name in ("first", "second"):
        subprocess.run([*inside, "ip", "link", "set", name, "up"], check=True)
    wait_for(lambda: all(each["TxPackets"] for each in stats(container)["network_interfaces"]))
    first, second = sorted(stats(container)["network_interfaces"], key=lambda each: str(each["Name"]))
    assert (first["Name"], second["Name"]) == ("first", "second")
    directions = {f"{way}{what}" for way in ("Rx", "Tx") for what in ("Bytes", "Packets", "Errors", "Dropped")}
    assert first.keys() == {"Name", *directions}


class Stream:
    """`events` at work, and the events so far."""

    def __init__(self, container: Container, *options: str) -> None:
        self._path = container.pyoci.directory / "events"
        output: IO[bytes]
        with self._path.open("wb") as output:
            self.process = container.pyoci.spawn("events", *options, container.id, stdout=output, stderr=output)
        wait_for(self._watches)

    def _watches(self) -> bool:
        """Whether it is waiting for the kernel's word."""
        process = Path(f"/proc/{self.process.pid}")
        try:
            opened = [os.readlink(descriptor) for descriptor in (process / "fd").iterdir()]
        except FileNotFoundError:  # closed meanwhile
            return False
        state = (process / "stat").read_text().rpartition(")")[2].split()[0]
        return any("pidfd" in link for link in opened) and state == "S"

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._path.read_text().splitlines(keepends=True) if line.endswith("\n")]

    def types(self) -> list[str]:
        return [event["type"] for event in self.events]


def test_a_stream_ends_with_the_container(limited: Bundle, pyoci: Pyoci) -> None:
    container = pyoci.run_detached(limited)
    stream = Stream(container, "--interval", "100ms")
    wait_for(lambda: len(stream.events) >= 3)
    assert set(stream.types()) == {"stats"}
    assert stream.events[0]["data"]["pids"] == {"current": 1, "limit": 20}
    container.kill()
    assert stream.process.wait(timeout=120) == 0


def test_the_interval_is_kept(limited: Bundle, pyoci: Pyoci) -> None:
    container = pyoci.run_detached(limited)
    stream = Stream(container, "--interval=1h")
    time.sleep(0.5)
    assert stream.events == []
    container.kill()
    assert stream.process.wait(timeout=120) == 0
    assert stream.events == []


def test_a_created_and_a_paused_container_have_statistics(limited: Bundle, pyoci: Pyoci) -> None:
    container = pyoci.create(limited)
    assert stats(container)["pids"]["current"] == 1
    container.start()
    pyoci("pause", container.id)
    assert stats(container)["pids"]["current"] == 1
    pyoci("resume", container.id)


EAT = "dd if=/dev/zero of=/dev/null bs=128M count=1"


def test_oom_notices(limited: Bundle, pyoci: Pyoci) -> None:
    """One for each time that memory runs out, while the container goes on; not for what does not."""
    limited.linux["resources"]["memory"]["swap"] = 64 * MIB
    limited.shell(f"while read line; do {EAT} || echo killed; done < /tmp/fifo")
    subprocess.run(["mkfifo", str(limited.rootfs / "tmp/fifo")], check=True)
    container = pyoci.run_detached(limited)
    stream = Stream(container, "--interval=1h")
    with (limited.rootfs / "tmp/fifo").open("w") as orders:
        assert stream.events == []
        for count in (1, 2):
            orders.write("\n")
            orders.flush()
            wait_for(lambda count=count: len(stream.events) >= count)  # type: ignore[misc]
            wait_for(lambda count=count: container.output.count("killed") == count)  # type: ignore[misc]
    assert set(stream.types()) == {"oom"}
    assert stream.events[0] == {"type": "oom", "id": container.id}
    assert stream.process.wait(timeout=120) == 0


def test_the_last_oom_is_told_too(limited: Bundle, pyoci: Pyoci) -> None:
    limited.linux["resources"]["memory"]["swap"] = 64 * MIB
    subprocess.run(["mkfifo", str(limited.rootfs / "tmp/fifo")], check=True)
    container = pyoci.run_detached(limited.shell(f"read line < /tmp/fifo; exec {EAT}"))
    stream = Stream(container, "--interval=1h")
    (limited.rootfs / "tmp/fifo").write_text("\n")
    assert stream.process.wait(timeout=120) == 0
    assert stream.types()[:1] == ["oom"]


def test_deleting_is_no_oom(limited: Bundle, pyoci: Pyoci) -> None:
    """With v1 the removal of a cgroup is told as if it were one."""
    container = pyoci.run_detached(limited)
    stream = Stream(container, "--interval=1h")
    container.delete(force=True)
    assert stream.process.wait(timeout=120) == 0
    assert stream.events == []


@pytest.mark.parametrize("options", [["--stats"], []])
def test_a_container_that_does_not_run(limited: Bundle, pyoci: Pyoci, options: list[str]) -> None:
    container = pyoci.run_detached(limited.args("true")).wait()
    done = pyoci("events", *options, container.id, check=False)
    assert (done.code, done.out) == (1, "")
    assert f"container with id {container.id} is not running" in done.err
    assert pyoci("events", *options, "nobody", check=False).code == 1


@pytest.mark.skipif(V2 or bool(NOT_IN_HYBRID), reason="this host has them in v2")
def test_v2_without_controllers(bundle: Bundle, pyoci_v2: Pyoci) -> None:
    """What the tree itself knows, and that there are no notices."""
    pyoci = pyoci_v2
    container = pyoci.run_detached(bundle.shell("sleep 100 & while :; do :; done"))
    wait_for(lambda: stats(container)["cpu"]["usage"].get("total", 0) > 10_000_000)
    found = stats(container)
    assert found["pids"] == {"current": 2}
    assert found["memory"]["usage"] == {"limit": 0, "failcnt": 0}
    stream = Stream(container, "--interval=1h")
    wait_for(lambda: "no oom events" in (pyoci.directory / "events").read_text())
    container.kill()
    assert stream.process.wait(timeout=120) == 0


#: Reserves as many huge pages of 2 MiB as its argument says, and touches them.
HUGE = """
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
int main(int argc, char **argv) {
    size_t size = (size_t)atoi(argv[argc - 1]) << 21;
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | (21 << MAP_HUGE_SHIFT);
    volatile char *memory = mmap(0, size, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (memory == MAP_FAILED) {
        perror("refused");
        return 1;
    }
    for (size_t at = 0; at < size; at += 1 << 21) memory[at] = 1;
    puts("ready");
    fflush(stdout);
    for (;;) pause();
}
"""


@pytest.fixture
def huge_pages() -> Iterator[None]:
    """Four pages of 2 MiB more than there were."""
    pool = Path("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages")
    if not pool.exists():
        pytest.skip("this machine has no huge pages of 2 MiB")
    before = pool.read_text()
    pool.write_text(str(int(before) + 4))
    yield
    pool.write_text(before)


@pytest.mark.usefixtures("huge_pages")
def test_huge_pages(bundle: Bundle, pyoci: Pyoci) -> None:
    """A limit of two pages: what is used, and that a third is refused when it is reserved."""
    compile_static(HUGE, bundle.rootfs / "bin/huge")
    bundle.linux["resources"] = {"hugepageLimits": [{"pageSize": "2MB", "limit": 4 * MIB}]}
    container = pyoci.run_detached(bundle.args("huge", "2")).expect("ready")
    found = stats(container)["hugetlb"]
    assert found["2MB"]["usage"] == 4 * MIB
    assert found["2MB"]["failcnt"] == 0
    assert all(size["failcnt"] == 0 for size in found.values())
    done = container.exec("huge", "1", check=False)
    assert (done.code, done.err) == (1, "refused: Cannot allocate memory\n")


@pytest.mark.skipif(not (V2 or (CGROUP_ROOT / "unified").exists()), reason="needs a tree of cgroup v2")
def test_a_container_that_leaves_its_cgroup_is_waited_for(monkeypatch: pytest.MonkeyPatch, pyoci: Pyoci) -> None:
    """The file of a v2 cgroup that has been removed is ready for ever. One that every cgroup has stands in for it."""
    box = Cgroup(2, (), str(CGROUP_ROOT if V2 else CGROUP_ROOT / "unified"), pyoci.new_id())
    there = _fs.open_at
    monkeypatch.setattr(_fs, "open_at", lambda at, name, flags: there(at, name.replace("memory", "cgroup"), flags))
    Path(str(box)).mkdir()
    notices = V2Notices(box)
    Path(str(box)).rmdir()
    asked: list[int] = []
    count = V2Notices._count

    def counted(self: V2Notices) -> int:
        asked.append(1)
        return count(self)

    monkeypatch.setattr(V2Notices, "_count", counted)
    child = subprocess.Popen(["sleep", "0.5"])
    pidfd = os.pidfd_open(child.pid)
    try:
        record: Any = {"id": "box", "pid": child.pid}
        manager: Any = None
        assert list(_watch(record, manager, pidfd, notices, 100, print)) == []
    finally:
        child.wait()
        os.close(pidfd)
        notices.close()
    assert len(asked) == 1
