"""A virtual machine: QEMU on a snapshot of the image, watched until it is up, and always ended."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vm.host import VmError, locked, require, say, tail
from vm.image import image

MODES = {
    "v2": "",
    "v1": " systemd.unified_cgroup_hierarchy=0 SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1",
}
# Without the LSM bpf: systemd would patch programs into the hook of every open, and a second processor that is emulated
# may meet the breakpoint of such a patch too late ("Oops: int3" in bpf_lsm_file_open, once in many hours of tests).
KERNEL = (
    "root=/dev/nvme0n1 rw console=ttyS0 net.ifnames=0 panic=-1 quiet loglevel=4 mitigations=off"
    " lsm=landlock,lockdown,yama,apparmor systemd.show_status=yes TERM=dumb"
)
MEMORY = "4096"  # MiB
# Without what costs an emulator dear and nobody misses: vector registers that glibc would use to copy a few bytes,
# page tables of five levels, switches at each access to user memory.
CPU = "max,-avx,-avx2,-la57,-smap,-smep,-pku"
# What a kernel says when a processor meets the breakpoint of a patch that has ended, as only emulated ones do: QEMU
# forgets its translation of code before that code is written, and may translate the old code once more in between.
LATE_BREAKPOINT = b"Oops: int3"
# How often a machine is booted that ends so, as one did in twelve boots on a fast host, and maybe a second.
BOOTS = 4
BOOT_SECONDS = float(os.environ.get("PYOCI_VM_BOOT_SECONDS") or 300)


class EmulatorError(VmError):
    """A machine that has failed through no fault of what ran in it."""


class Machine:
    """A running QEMU. `folder` holds its console, and lives as long as it."""

    __slots__ = ("folder", "mode", "pid", "port", "started")

    def __init__(self, folder: Path, mode: str, pid: int, port: int) -> None:
        self.folder = folder
        self.mode = mode
        self.pid = pid
        self.port = port
        self.started = start_time(pid)

    @property
    def console(self) -> Path:
        """What the machine's serial console has shown."""
        return self.folder / "console.log"

    @property
    def alive(self) -> bool:
        """Whether QEMU still runs; a pid that was given to another process is not it."""
        return self.started != 0 and start_time(self.pid) == self.started

    def end(self) -> None:
        """End QEMU, the way pulling the plug does: its disk is a snapshot that nobody keeps. Removes the folder."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            deadline = time.monotonic() + 10
            while self.alive and time.monotonic() < deadline:
                os.kill(self.pid, number)
                reap(self.pid)
                time.sleep(0.1)
        shutil.rmtree(self.folder, ignore_errors=True)


def start_time(pid: int) -> int:
    """When a process started, in clock ticks after boot (proc(5)); 0 if it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] in "ZX" else int(fields[19])


def processor_time(pid: int) -> float:
    """Seconds of processor time that a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def reap(pid: int) -> None:
    """Collect the exit status of a child; nothing happens if it still runs or is not ours."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        pass


def accelerators() -> list[str]:
    """QEMU's options for the processor: $PYOCI_VM_ACCEL, or KVM where the processor has virtualisation, or TCG."""
    flags = Path("/proc/cpuinfo").read_text().split()
    kvm = os.access("/dev/kvm", os.R_OK | os.W_OK) and ("vmx" in flags or "svm" in flags)
    name = os.environ.get("PYOCI_VM_ACCEL") or ("kvm" if kvm else "tcg")
    return ["-accel", "tcg,thread=multi,tb-size=1024" if name == "tcg" else name]


def command(disk: Path, mode: str, folder: Path) -> list[str]:
    """QEMU's command line. It connects to the sockets qmp and ready in `folder`."""
    argv = ["qemu-system-x86_64", "-name", f"pyoci-{mode}", "-nodefaults", "-no-user-config", "-display", "none"]
    argv += ["-machine", "q35", *accelerators(), "-cpu", CPU, "-smp", "2", "-m", MEMORY, "-no-reboot"]
    argv += ["-kernel", str(disk / "vmlinuz"), "-append", KERNEL + MODES[mode]]
    # snapshot=on: what the machine writes goes to a file without a name
    argv += ["-drive", f"file={disk / 'disk.ext4'},format=raw,if=none,id=disk,snapshot=on,cache=unsafe"]
    argv += ["-device", "nvme,drive=disk,serial=pyoci"]
    # nothing of the world outside, but the host's way in
    argv += ["-netdev", "user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:0-:22"]
    argv += ["-device", "virtio-net-pci,netdev=net,romfile=", "-device", "virtio-rng-pci"]
    argv += ["-device", "virtio-serial-pci", "-chardev", f"socket,id=ready,path={folder}/ready"]
    argv += ["-device", "virtserialport,chardev=ready,name=pyoci.ready"]
    argv += ["-serial", f"file:{folder}/console.log", "-qmp", f"unix:{folder}/qmp", "-pidfile", f"{folder}/pid"]
    return argv


def listen(path: Path) -> socket.socket:
    """A socket that QEMU will connect to."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(1)
    return listener


def accept(listener: socket.socket, machine: int, folder: Path) -> socket.socket:
    """QEMU's connection. Raises VmError when it ends before."""
    deadline = time.monotonic() + 30
    while not select.select([listener], [], [], 0.2)[0]:
        reap(machine)
        if start_time(machine) == 0 or time.monotonic() > deadline:
            raise VmError(f"QEMU did not start:\n{tail(folder / 'qemu.log')}")
    return listener.accept()[0]


def forwarded_port(qmp: socket.socket) -> int:
    """The port of the host that leads to the machine's ssh: QEMU took a free one."""
    stream = qmp.makefile("rwb")
    stream.readline()
    orders = [{"execute": "qmp_capabilities"}]
    orders.append({"execute": "human-monitor-command", "arguments": {"command-line": "info usernet"}})  # type: ignore[dict-item]
    answer: dict[str, object] = {}
    for order in orders:
        stream.write(json.dumps(order).encode() + b"\n")
        stream.flush()
        answer = json.loads(stream.readline())
        while "event" in answer:
            answer = json.loads(stream.readline())
    for line in str(answer.get("return")).splitlines():
        words = line.split()
        if words and words[0] == "TCP[HOST_FORWARD]":
            return int(words[3])
    raise VmError(f"QEMU forwards no port: {answer}")


@contextmanager
def emulator_told_apart(machine: Machine) -> Iterator[None]:
    """What fails is an EmulatorError when emulated processors are why, though QEMU may take a while to end."""
    try:
        yield
    except VmError as error:
        if LATE_BREAKPOINT in machine.console.read_bytes():
            why = "its processors are emulated, and one ran code that another had replaced"
            raise EmulatorError(f"{error}\n{why}") from error
        raise


def boot(mode: str, *, keep: float = 0) -> Machine:
    """boot_once(), and again where its emulated processors failed."""
    for _ in range(BOOTS - 1):
        try:
            return boot_once(mode, keep=keep)
        except EmulatorError as error:
            say(f"{error}: once more")
    return boot_once(mode, keep=keep)


def boot_once(mode: str, *, keep: float = 0) -> Machine:
    """Start a machine with cgroups of `mode` and wait until it is up.

    It ends with this process, unless `keep` says for how many seconds it may outlive it. Waits for another machine of
    the cache to end: two would share the processors that one needs. Raises VmError with the end of the console.
    """
    require("qemu-system-x86_64", "ssh", "setpriv", "timeout")
    disk = image()
    with locked("machine", "another machine runs; waiting for its end (python -m vm status tells which)") as lock:
        folder = Path(tempfile.mkdtemp(prefix="pyoci-vm-", dir="/run"))
        say(f"booting with cgroup {mode}")
        begin = time.monotonic()
        listeners = listen(folder / "qmp"), listen(folder / "ready")
        wrapper = ["timeout", "--kill-after=10", str(keep)] if keep else ["setpriv", "--pdeathsig", "KILL"]
        with (folder / "qemu.log").open("wb") as log:
            process = subprocess.Popen(
                [*wrapper, *command(disk, mode, folder)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=[lock],  # the lock is held as long as QEMU lives
            )
        machine = Machine(folder, mode, process.pid, 0)
        try:
            with accept(listeners[0], process.pid, folder) as qmp:
                machine.port = forwarded_port(qmp)
            machine.pid = int((folder / "pid").read_text())  # timeout's child
            machine.started = start_time(machine.pid)
            with emulator_told_apart(machine), accept(listeners[1], process.pid, folder) as ready:
                state = await_ready(ready, machine)
            host_key = " ".join((disk / "host_key.pub").read_text().split()[:2])
            (folder / "known_hosts").write_text(f"pyoci-vm {host_key}\n")
        except BaseException:
            machine.end()
            raise
        finally:
            for listener in listeners:
                listener.close()
        seconds = f"{time.monotonic() - begin:.0f} s ({processor_time(machine.pid):.0f} s of processor time)"
        say(f"up after {seconds}: {' '.join(state)}")
        return machine


def await_ready(ready: socket.socket, machine: Machine) -> list[str]:
    """Wait for the word of the machine that it is up; returns it. Raises VmError when it ends or takes too long."""
    deadline = time.monotonic() + BOOT_SECONDS
    said = b""
    while not said.endswith(b"\n"):
        if not select.select([ready], [], [], 1)[0]:
            if time.monotonic() > deadline:
                raise VmError(f"not up after {BOOT_SECONDS:.0f} s; the console's end:\n{tail(machine.console)}")
            continue
        data = ready.recv(4096)
        if not data:
            raise VmError(f"it ended while booting; the console's end:\n{tail(machine.console)}")
        said += data
    return said.decode(errors="replace").split()


@contextmanager
def booted(mode: str) -> Iterator[Machine]:
    """A machine for the time of a `with`; it ends however that is left."""
    machine = boot(mode)
    try:
        yield machine
    finally:
        machine.end()
