"""What is told when execve(2) refuses: what is missing, not only the kernel's errno, which is that of another file."""

from __future__ import annotations

import platform
import re
import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from busybox import busybox
from containers import Bundle, Pyoci

MACHINES = {"x86_64": 62, "aarch64": 183}
E_TYPE, E_MACHINE = 16, 18


def write(path: Path, content: str | bytes, mode: int = 0o755) -> None:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(mode)


def dynamic(path: Path) -> None:
    """A program that is linked to the C library, which no image here has."""
    subprocess.run(["gcc", "-x", "c", "-o", path, "-"], input="int main() {}", text=True, check=True)


def elf_with(path: Path, offset: int, number: int) -> None:
    code = bytearray(Path(busybox()).read_bytes())
    code[offset : offset + 2] = number.to_bytes(2, "little")
    write(path, bytes(code))


def other_machine() -> str:
    return next(name for name in MACHINES if name != platform.machine())


def _interpreter_missing(bundle: Bundle) -> None:
    write(bundle.rootfs / "program", "#! /no/such -x\n")


def _carriage_return(bundle: Bundle) -> None:
    write(bundle.rootfs / "program", "#!/bin/sh\r\necho\r\n")


def _interpreter_without_x(bundle: Bundle) -> None:
    write(bundle.rootfs / "inter", "#!/bin/sh\n", 0o644)
    write(bundle.rootfs / "program", "#!/inter\n")


def _interpreter_is_a_directory(bundle: Bundle) -> None:
    write(bundle.rootfs / "program", "#!/etc\n")


def _loader_missing(bundle: Bundle) -> None:
    dynamic(bundle.rootfs / "program")


def _interpreter_without_loader(bundle: Bundle) -> None:
    dynamic(bundle.rootfs / "bin/python")
    write(bundle.rootfs / "program", "#!/bin/python\n")


def _other_machine(bundle: Bundle) -> None:
    elf_with(bundle.rootfs / "program", E_MACHINE, MACHINES[other_machine()])


def _interpreter_of_other_machine(bundle: Bundle) -> None:
    elf_with(bundle.rootfs / "inter", E_MACHINE, MACHINES[other_machine()])
    write(bundle.rootfs / "program", "#!/inter\n")


def _object_file(bundle: Bundle) -> None:
    elf_with(bundle.rootfs / "program", E_TYPE, 1)


def _text(bundle: Bundle) -> None:
    write(bundle.rootfs / "program", "echo hi\n")


def _empty(bundle: Bundle) -> None:
    write(bundle.rootfs / "program", "")


def _noexec(bundle: Bundle) -> None:
    (bundle.path / "volume").mkdir()
    shutil.copy(busybox(), bundle.path / "volume/program")
    bundle.mount("/mnt", "bind", str(bundle.path / "volume"), ["bind", "noexec"]).args("/mnt/program")


def _not_for_the_user(bundle: Bundle) -> None:
    write(bundle.rootfs / "program", "#!/bin/sh\n", 0o700)
    bundle.process["user"] = {"uid": 1000, "gid": 1000}


def _directory_not_for_the_user(bundle: Bundle) -> None:
    write(bundle.rootfs / "root/program", "#!/bin/sh\n")
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    bundle.args("/root/program")


def _no_x_bit(bundle: Bundle) -> None:
    write(bundle.rootfs / "program", "#!/bin/sh\n", 0o644)


def _no_x_bit_in_path(bundle: Bundle) -> None:
    write(bundle.rootfs / "bin/program", "#!/bin/sh\n", 0o644)
    bundle.args("program")


def _dangling(bundle: Bundle) -> None:
    (bundle.rootfs / "program").symlink_to("/bin/nothing")


def _directory(bundle: Bundle) -> None:
    bundle.args("/etc")


LOADER = r'"/[^"]*ld[^"]*"'
CASES: list[tuple[Callable[[Bundle], None], str]] = [
    (_interpreter_missing, r'"/program": no such file or directory \(its interpreter "/no/such" is not there\)'),
    (_carriage_return, r'no such file or directory \(its interpreter "/bin/sh" is followed by a carriage return: '),
    (_interpreter_without_x, r'permission denied \(its interpreter "/inter" has the mode 0644 and the owner 0:0, so '),
    (_interpreter_is_a_directory, r'permission denied \(its interpreter "/etc" is a directory\)'),
    (_loader_missing, rf"no such file or directory \(its loader {LOADER} is not there\)"),
    (_interpreter_without_loader, rf'\(its interpreter "/bin/python", whose loader {LOADER} is not there\)'),
    (_other_machine, rf"exec format error \(it is a program for {other_machine()}, and this machine is "),
    (_interpreter_of_other_machine, rf'format error \(its interpreter "/inter" is a program for {other_machine()}, '),
    (_object_file, r"exec format error \(it is an ELF file of a kind that is not executed\)"),
    (_text, r"exec format error \(it is no program, and no script whose first line begins with #!\)"),
    (_empty, r"exec format error \(it is empty\)"),
    (_noexec, r"permission denied \(it lies on a mount with the option noexec\)"),
    (_not_for_the_user, r"permission denied \(it has the mode 0700 and the owner 0:0, so uid 1000 may not execute"),
    (_directory_not_for_the_user, r"permission denied \(it lies below a directory that may not be searched\)"),
    (_no_x_bit, r"permission denied \(/program has no x bit\)"),
    (_no_x_bit_in_path, r'"program": permission denied \(/bin/program has no x bit\)'),
    (_dangling, r"stat /program: no such file or directory \(it is a link to /bin/nothing\)"),
    (_directory, r'"/etc": is a directory: permission denied'),
]


@pytest.mark.parametrize("verb", ["run", "exec"])
@pytest.mark.parametrize(("prepare", "text"), CASES, ids=[case[0].__name__[1:] for case in CASES])
def test_what_is_missing(bundle: Bundle, pyoci: Pyoci, prepare: Callable[[Bundle], None], text: str, verb: str) -> None:
    prepare(bundle.args("/program"))
    if verb == "run":
        done = pyoci.run(bundle, check=False)
    else:
        argv, user = bundle.process["args"], bundle.process["user"]
        container = pyoci.run_detached(bundle.args("/bin/sleep", "100"))
        done = container.exec(*argv, options=["--user", f"{user['uid']}:{user['gid']}"], check=False)
    assert done.code == (1 if verb == "run" else 255)
    message = done.err.replace('\\"', '"')
    assert message.count("\n") == 1
    assert re.search(text, message), message
    assert "(/process/args/0)" in message


def test_a_program_of_32_bits(bundle: Bundle, pyoci: Pyoci) -> None:
    """Its loader is what is missing, where the kernel runs such programs; else the machine is what it is not for."""
    loader = b"/lib/ld-linux.so.2\0"
    head = struct.pack("<16sHHIIIIIHHHHHH", b"\x7fELF\1\1\1", 2, 3, 1, 0x8048054, 52, 0, 0, 52, 32, 2, 0, 0, 0)
    interpreter = struct.pack("<8I", 3, 116, 0x8048074, 0x8048074, len(loader), len(loader), 4, 1)
    code = struct.pack("<8I", 1, 0, 0x8048000, 0x8048000, 135, 135, 5, 0x1000)
    write(bundle.rootfs / "program", head + interpreter + code + loader)
    message = pyoci.run(bundle.args("/program"), check=False).err.replace('\\"', '"')
    reasons = {
        "no such file or directory": '(its loader "/lib/ld-linux.so.2" is not there)',
        "exec format error": "(it is a program for i386, and this machine is ",
    }
    assert any(f"{errno} {reason}" in message for errno, reason in reasons.items()), message


def test_too_long_an_argument(bundle: Bundle, pyoci: Pyoci) -> None:
    done = pyoci.run(bundle.args("/bin/true", "x" * 200_000), check=False)
    assert "argument list too long (the arguments and variables are too long, all of them or one)" in done.err


def test_a_program_that_is_being_written(bundle: Bundle, pyoci: Pyoci) -> None:
    shutil.copy(busybox(), bundle.rootfs / "program")
    container = pyoci.create(bundle.args("/program"))
    with (bundle.rootfs / "program").open("ab"):
        done = pyoci("start", container.id, check=False)
    assert done.code == 1
    assert "text file busy (somebody has it open for writing)" in done.err


@pytest.mark.parametrize(
    ("action", "reason"),
    [
        ("SCMP_ACT_LOG", ' (its interpreter \\"/no/such\\" is not there)'),
        ("SCMP_ACT_ERRNO", ""),
        ("SCMP_ACT_KILL_PROCESS", ""),
    ],
)
def test_under_a_filter(bundle: Bundle, pyoci: Pyoci, action: str, reason: str) -> None:
    """It may forbid to look for the reason, or kill who looks. What the kernel said is told all the same."""
    _interpreter_missing(bundle.args("/program"))
    looks = ["statx", "openat", "statfs", "faccessat", "read"]
    bundle.linux["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": looks, "action": action}],
    }
    container = pyoci.create(bundle)
    done = pyoci("start", container.id, check=False)
    assert done.code == 1
    assert f'exec: \\"/program\\": no such file or directory{reason} (/process/args/0)' in done.err
