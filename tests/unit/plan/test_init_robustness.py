"""init, given plans that are damaged: it ends with a report, is never killed by a signal, and never waits for ever.

It runs as nobody, in new namespaces, with an empty directory as the container's root.
"""

from __future__ import annotations

import os
import random
import shutil
import socket
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from plans import NAMES, bundle, plan_of

from oci_runtime._shim import ffi, lib
from oci_runtime.plan.operations import Operation, Plan

NOBODY = "65534"
HEADER, OP = ffi.sizeof("struct plan_header"), ffi.sizeof("struct plan_op")
NAMESPACES = ["unshare", "--user", "--map-root-user", "--mount", "--net", "--ipc", "--uts"]
EPROTO = 71
SECONDS = 10


class Init:
    """The program, and the directory that is the root of what it does."""

    def __init__(self, directory: Path) -> None:
        directory.chmod(0o755)
        self.program = directory / "init"
        shutil.copy(Path(__file__).parents[3] / "oci_runtime/init", self.program)
        self.program.chmod(0o755)
        root = directory / "root"
        root.mkdir()
        root.chmod(0o777)
        self.root = os.open(root, os.O_PATH | os.O_DIRECTORY)

    def run(self, plan: bytes) -> tuple[int, bytes]:
        """The exit status and the last report. Whatever it asks the runtime, there is none."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        fd = os.memfd_create("plan")
        os.write(fd, plan)
        ours.shutdown(socket.SHUT_WR)
        command = [*NAMESPACES, str(self.program), str(theirs.fileno()), str(fd)]
        if os.geteuid() == 0:
            command = ["setpriv", "--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", *command]
        try:
            done = subprocess.run(
                command,
                pass_fds=[theirs.fileno(), fd, self.root],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=SECONDS,
            )
            theirs.close()
            last = b""
            while report := ours.recv(ffi.sizeof("struct report")):
                last = report
            return done.returncode, last
        finally:
            ours.close()
            theirs.close()
            os.close(fd)


@pytest.fixture
def init() -> Iterator[Init]:
    # not tmp_path: pytest lets nobody in, and takes the right to pass away again whenever another run begins
    with tempfile.TemporaryDirectory(prefix="pyoci-") as directory:
        init = Init(Path(directory))
        yield init
        os.close(init.root)


def check(init: Init, plan: bytes) -> None:
    """Either it fails with a report, or what is damaged does not matter and /bin/true is executed."""
    code, report = init.run(plan)
    assert code in (0, 1), f"exit status {code} for the plan {plan.hex()}"
    if code == 1:
        assert len(report) == ffi.sizeof("struct report"), f"no report for the plan {plan.hex()}"
        kind, errno = struct.unpack_from("=Ii", report)
        assert kind == lib.REPORT_FAILED
        assert 0 < errno < 4096


def simple(init: Init, *operations: Operation) -> Plan:
    """A plan that does `operations` in the directory, then executes /bin/true."""
    plan = Plan()
    plan.add(lib.OP_ROOTFS_DIRECTORY, "", (), (init.root,))
    plan.operations += operations
    plan.add(lib.OP_FIND_EXECUTABLE, "", ("/bin/true", "", "/"))
    plan.add(lib.OP_EXEC, "", (None, ("/bin/true",), ("A=b",)), (1, 1))
    return plan


def test_the_plan_works_when_it_is_whole(init: Init) -> None:
    assert init.run(simple(init).encode()) == (0, b"")


def test_truncated_plans(init: Init) -> None:
    """As they are, and with a header that says so."""
    whole = simple(init).encode()
    for size in (0, 1, HEADER - 1, HEADER, HEADER + 1, HEADER + OP, len(whole) // 2, len(whole) - 1):
        check(init, whole[:size])
        code, report = init.run(whole[:size])
        assert (code, struct.unpack_from("=Ii", report)[0]) == (1, lib.REPORT_FAILED)
        if size >= HEADER:
            check(init, whole[:8] + struct.pack("=I", size) + whole[12:size])


def test_operations_that_are_unknown(init: Init) -> None:
    for code in (0, 1000, 2**31, 2**32 - 1):
        exit_code, report = init.run(simple(init, Operation(code, "", (), ())).encode())
        assert exit_code == 1
        assert struct.unpack_from("=Ii", report)[1] == EPROTO


def test_a_plan_without_an_end(init: Init) -> None:
    plan = simple(init)
    del plan.operations[-1]
    code, report = init.run(plan.encode())
    assert (code, struct.unpack_from("=Ii", report)[1]) == (1, EPROTO)


@pytest.mark.parametrize("number", [-1, 2, 1000, 2**20, 2**31, 2**32, 2**62, -(2**63)])
def test_lists_that_are_longer_than_the_plan(init: Init, number: int) -> None:
    """Counts of arguments, of groups, of bytes of a filter and of a mask."""
    for operation in (
        Operation(lib.OP_EXEC, "", (None, ("/bin/true",), ()), (number, 0)),
        Operation(lib.OP_EXEC, "", (None, ("/bin/true",), ("A=b",)), (1, number)),
        Operation(lib.OP_INHERITED, "", (b"\0" * 4,), (0, -1, number, -1)),
        Operation(lib.OP_USER, "", (b"\0" * 4,), (0, 0, number, 0)),
        Operation(lib.OP_SECCOMP, "", (b"\0" * 8,), (number, 0, 0)),
        Operation(lib.OP_MEMORY_POLICY, "", (b"\0" * 8,), (0, number)),
        Operation(lib.OP_CPU_AFFINITY, "", (b"\0" * 8,), (number,)),
        Operation(lib.OP_MOUNT, "", ("tmpfs", "tmpfs", "/mnt", ("size=1m",)), (number, 0, 0, 0)),
    ):
        check(init, simple(init, operation).encode())


def test_flipped_bits(init: Init) -> None:
    """In the header and the operations, where they matter; half a hundred at a time."""
    whole = simple(init).encode()
    generator = random.Random(4711)
    end = HEADER + OP * 3
    for _ in range(60):
        damaged = bytearray(whole)
        for _ in range(generator.randint(1, 4)):
            damaged[generator.randrange(end)] ^= 1 << generator.randrange(8)
        check(init, bytes(damaged))


@pytest.mark.parametrize("name", NAMES)
def test_operations_of_real_containers_one_by_one(init: Init, name: str) -> None:
    """Each alone in the directory, then with flipped bits: descriptors are closed ones, the paths lead nowhere."""
    generator = random.Random(name)
    operations = [
        operation
        for operation in plan_of(bundle(name)).operations
        if operation.code not in (lib.OP_EXEC, lib.OP_ROOTFS_DIRECTORY)
    ]
    kinds = {operation.code: operation for operation in operations}
    for operation in kinds.values():
        data = bytearray(simple(init, operation).encode())
        check(init, bytes(data))
        at = HEADER + OP + generator.choice([*range(4, 20), *range(24, OP)])
        data[at] ^= 1 << generator.randrange(8)
        check(init, bytes(data))
