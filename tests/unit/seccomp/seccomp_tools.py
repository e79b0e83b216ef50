"""For the tests of seccomp: run real filters (probe.c), and interpret BPF to look at every system call at once."""

from __future__ import annotations

import json
import struct
import subprocess
from pathlib import Path
from typing import Any

from oci_runtime.linux.seccomp_compiler import compile_filter

X86_64 = 0xC000003E
I386 = 0x40000003
X32_BIT = 0x40000000

#: engines' own profile, with conditions on capabilities and architectures still in it (containers-common)
ENGINE_PROFILE = Path("/usr/share/containers/seccomp.json")
DEFAULT_CAPABILITIES = frozenset(
    [
        "CAP_CHOWN",
        "CAP_DAC_OVERRIDE",
        "CAP_FOWNER",
        "CAP_FSETID",
        "CAP_KILL",
        "CAP_NET_BIND_SERVICE",
        "CAP_SETFCAP",
        "CAP_SETGID",
        "CAP_SETPCAP",
        "CAP_SETUID",
        "CAP_SYS_CHROOT",
    ]
)

Profile = dict[str, Any]


def build_probe(directory: Path) -> Path:
    """probe.c as a static program, to run in a container too."""
    target = directory / "probe"
    source = Path(__file__).parent / "probe.c"
    subprocess.run(["gcc", "-std=gnu11", "-O1", "-static", "-Wall", "-o", target, source], check=True)
    return target


def verdicts(probe: Path, directory: Path, profile: Profile, calls: list[str]) -> list[str]:
    """What really happens to each of `calls` (probe.c's syntax) under the filter compiled from `profile`."""
    bpf, flags, notify = compile_filter(profile)
    assert not notify
    path = directory / "filter.bpf"
    path.write_bytes(bpf)
    command = [str(probe), "try", str(flags), str(path), *calls]
    run = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    return run.stdout.splitlines()


def engine_profile() -> Profile:
    """The profile an engine would put in config.json for an x86_64 container with its default capabilities."""
    document = json.loads(ENGINE_PROFILE.read_text())
    profile = {key: document[key] for key in ("defaultAction", "defaultErrnoRet") if document.get(key) is not None}
    profile["architectures"] = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]
    profile["syscalls"] = [_plain(entry) for entry in document["syscalls"] if _applies(entry)]
    return profile


def _applies(entry: dict[str, Any]) -> bool:
    includes, excludes = entry.get("includes") or {}, entry.get("excludes") or {}
    excluded = "amd64" in excludes.get("arches", ()) or DEFAULT_CAPABILITIES & set(excludes.get("caps", ()))
    arches, caps = includes.get("arches", ()), set(includes.get("caps", ()))
    return not excluded and (not arches or "amd64" in arches) and caps <= DEFAULT_CAPABILITIES


def _plain(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: entry[key] for key in ("names", "action", "args", "errnoRet") if entry.get(key) is not None}


class Interpreter:
    """Classic BPF as seccomp(2) runs it; decide() returns the SECCOMP_RET_ value."""

    def __init__(self, bpf: bytes) -> None:
        self.program = list(struct.iter_unpack("=HBBI", bpf))
        # Of the last decision: instructions executed, and whether it depended on the arguments.
        self.steps = 0
        self.saw_arguments = False

    def decide(self, arch: int, number: int, args: tuple[int, ...] = ()) -> int:
        data = struct.pack("=IIQ6Q", number & 0xFFFFFFFF, arch, 0, *args, *[0] * (6 - len(args)))
        accumulator = at = self.steps = 0
        self.saw_arguments = False
        while True:
            code, jt, jf, k = self.program[at]
            at += 1
            self.steps += 1
            if code == 0x06:
                return int(k)
            if code == 0x20:
                (accumulator,) = struct.unpack_from("=I", data, k)
                self.saw_arguments |= k >= 16
            elif code == 0x05:
                at += k
            elif code == 0x54:
                accumulator &= k
            else:
                at += jt if self._holds(code, accumulator, k) else jf

    @staticmethod
    def _holds(code: int, accumulator: int, k: int) -> bool:
        if code == 0x15:
            return accumulator == k
        if code == 0x25:
            return accumulator > k
        if code == 0x35:
            return accumulator >= k
        assert code == 0x45, f"unexpected BPF instruction {code:#x}"
        return bool(accumulator & k)
