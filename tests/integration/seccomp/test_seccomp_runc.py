"""Our filters against those runc makes of the same profile.

A container is started by runc, the program the kernel then holds for it is read with ptrace(2), and both programs are
interpreted for every system call number of every architecture, and for arguments around those the profile checks.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from seccomp_tools import I386, X32_BIT, X86_64, Interpreter, Profile, build_probe, engine_profile, verdicts

from oci_runtime.linux.seccomp_compiler import compile_filter

AARCH64 = 0xC00000B7
ARGUMENTS = [0, 1, 2, 3, 7, 8, 0x0F, 0x30, 0x20000000, 2**31, 2**32 - 1, 2**32, 2**32 + 3, 2**63, 2**64 - 1]

#: calls that neither runc's init nor sleep(1) needs, so that random rules for them do no harm
HARMLESS = [
    "acct",
    "add_key",
    "bpf",
    "chroot",
    "clock_settime",
    "fanotify_init",
    "finit_module",
    "init_module",
    "ioperm",
    "iopl",
    "kcmp",
    "kexec_load",
    "keyctl",
    "lookup_dcookie",
    "mbind",
    "move_pages",
    "name_to_handle_at",
    "nfsservctl",
    "open_by_handle_at",
    "perf_event_open",
    "personality",
    "process_vm_readv",
    "ptrace",
    "query_module",
    "quotactl",
    "reboot",
    "request_key",
    "setdomainname",
    "sethostname",
    "settimeofday",
    "swapoff",
    "swapon",
    "sysfs",
    "syslog",
    "umount2",
    "unshare",
    "uselib",
    "userfaultfd",
    "ustat",
    "vm86",
    "vmsplice",
    "no_such_call",
    "socketcall",
    "ipc",
]


def random_profile(seed: int) -> Profile:
    generator = random.Random(seed)
    entries = []
    for name in generator.sample(HARMLESS, generator.choice([3, 20, len(HARMLESS)])):
        action = generator.choice(["ERRNO", "ERRNO", "KILL", "KILL_PROCESS", "TRAP", "TRACE", "LOG", "ALLOW"])
        entry: dict[str, Any] = {"names": [name], "action": f"SCMP_ACT_{action}"}
        if action in ("ERRNO", "TRACE") and generator.random() < 0.5:
            entry["errnoRet"] = generator.randrange(1, 134)
        if generator.random() < 0.6:
            entry["args"] = [_random_check(generator) for _ in range(generator.randrange(1, 4))]
        entries.append(entry)
    archs = generator.sample(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"], generator.randrange(4))
    return {"defaultAction": "SCMP_ACT_ALLOW", "architectures": archs, "syscalls": entries}


def _random_check(generator: random.Random) -> dict[str, Any]:
    op = generator.choice(["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"])
    value = generator.choice(ARGUMENTS)
    check: dict[str, Any] = {"index": generator.randrange(6), "op": f"SCMP_CMP_{op}", "value": value}
    if op == "MASKED_EQ":
        check["valueTwo"] = generator.choice(ARGUMENTS) & value
    return check


def without_newest(profile: Profile) -> Profile:
    """The profile as it would have been written before clone3(2)."""
    new = {"clone3", "close_range", "openat2", "pidfd_getfd", "faccessat2", "epoll_pwait2", "futex_waitv"}
    entries = [{**entry, "names": [n for n in entry["names"] if n not in new]} for entry in profile["syscalls"]]
    return {**profile, "syscalls": [entry for entry in entries if entry["names"]]}


ENGINE = engine_profile()
NO_ERRNO = {key: value for key, value in ENGINE.items() if key != "defaultErrnoRet"}
PROFILES = {
    "engine": ENGINE,
    "engine, EPERM": NO_ERRNO,
    "engine, errno 99": {**ENGINE, "defaultErrnoRet": 99},
    "engine, trap": {**NO_ERRNO, "defaultAction": "SCMP_ACT_TRAP"},
    "engine, kill process": {**NO_ERRNO, "defaultAction": "SCMP_ACT_KILL_PROCESS"},
    "engine, trace": {**NO_ERRNO, "defaultAction": "SCMP_ACT_TRACE"},
    "engine, log": {**NO_ERRNO, "defaultAction": "SCMP_ACT_LOG"},
    "engine, native only": {**NO_ERRNO, "architectures": ["SCMP_ARCH_X86_64"]},
    "engine, with x86": {**NO_ERRNO, "architectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X86_64"]},
    "engine, with x32": {**NO_ERRNO, "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X32"]},
    "old engine": without_newest(NO_ERRNO),
    "old engine, KILL": {**without_newest(NO_ERRNO), "defaultAction": "SCMP_ACT_KILL"},
    **{f"random {seed}": random_profile(seed) for seed in range(12)},
}


@pytest.fixture(scope="session")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_probe(tmp_path_factory.mktemp("probe"))


class Runc:
    """A bundle with busybox and the probe, and runc to run it; `delete` leaves nothing."""

    def __init__(self, directory: Path, probe: Path) -> None:
        self.bundle = directory / "bundle"
        self.root = directory / "runc"
        self.id = f"pyoci-seccomp-{os.getpid()}"
        rootfs = self.bundle / "rootfs"
        for name in ("proc", "dev", "sys"):
            (rootfs / name).mkdir(parents=True)
        (rootfs / "busybox").write_bytes(Path("/bin/busybox").read_bytes())
        (rootfs / "probe").write_bytes(probe.read_bytes())
        (rootfs / "busybox").chmod(0o755)
        (rootfs / "probe").chmod(0o755)
        subprocess.run(["runc", "spec"], cwd=self.bundle, check=True)

    def _configure(self, profile: Profile, args: list[str]) -> None:
        path = self.bundle / "config.json"
        config = json.loads(path.read_text())
        config["process"].update(terminal=False, args=args, noNewPrivileges=True)
        config["process"].pop("rlimits", None)
        config["linux"]["seccomp"] = profile
        path.write_text(json.dumps(config))

    def _command(self, *args: str) -> list[str]:
        return ["runc", "--root", str(self.root), *args]

    def run(self, profile: Profile, args: list[str]) -> str:
        self._configure(profile, args)
        command = self._command("run", self.id)
        run = subprocess.run(command, cwd=self.bundle, capture_output=True, text=True, timeout=60)
        assert run.returncode == 0, run.stderr
        return run.stdout

    def filter(self, profile: Profile, probe: Path) -> bytes:
        """The program a container with this profile runs under."""
        self._configure(profile, ["/busybox", "sleep", "60"])
        log = self.bundle / "stderr"
        with log.open("wb") as stderr:
            # Not a pipe: the container would hold it open.
            command = self._command("run", "--detach", self.id)
            done = subprocess.run(
                command, cwd=self.bundle, stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr, timeout=60
            )
        assert done.returncode == 0, log.read_text()
        try:
            state = subprocess.run(self._command("state", self.id), check=True, capture_output=True, timeout=60)
            pid = json.loads(state.stdout)["pid"]
            return subprocess.run([probe, "dump", str(pid)], check=True, capture_output=True, timeout=60).stdout
        finally:
            self.delete()

    def delete(self) -> None:
        subprocess.run(self._command("delete", "--force", self.id), check=True, capture_output=True, timeout=60)


@pytest.fixture
def runc(tmp_path: Path, probe: Path) -> Iterator[Runc]:
    runc = Runc(tmp_path, probe)
    yield runc
    runc.delete()


def interesting(profile: Profile) -> list[tuple[int, ...]]:
    """Arguments around the values that the profile compares with, one argument at a time and all at once."""
    values = set(ARGUMENTS)
    for entry in profile["syscalls"]:
        for arg in entry.get("args", ()):
            values |= {(arg["value"] + step) % 2**64 for step in (-1, 0, 1)} | {arg.get("valueTwo", 0)}
    single = [(0,) * index + (value,) for index, value in itertools.product(range(6), values)]
    return [(), *((value,) * 6 for value in values), *single]


def differences(ours: bytes, theirs: bytes, profile: Profile) -> list[tuple[int, int, tuple[int, ...], int, int]]:
    one, two = Interpreter(ours), Interpreter(theirs)
    checked = interesting(profile)
    found = []
    for arch, base in ((X86_64, 0), (X86_64, X32_BIT), (I386, 0), (AARCH64, 0)):
        for number in (*range(520), 0x3FFFFFFE, 0x3FFFFFFF):
            one.decide(arch, base | number)
            two.decide(arch, base | number)
            for args in checked if one.saw_arguments or two.saw_arguments else checked[:1]:
                mine, other = one.decide(arch, base | number, args), two.decide(arch, base | number, args)
                if mine != other:
                    found.append((arch, base | number, args, mine, other))
    return found


@pytest.mark.parametrize("name", PROFILES)
def test_same_decisions(runc: Runc, probe: Path, name: str) -> None:
    profile = PROFILES[name]
    ours, _, _ = compile_filter(profile)
    theirs = runc.filter(profile, probe)
    assert theirs
    assert differences(ours, theirs, profile) == []


@pytest.mark.parametrize("others", [[], ["SCMP_ARCH_X86"], ["SCMP_ARCH_X32"]])
def test_native_architecture_is_implied(others: list[str]) -> None:
    """Not compared with runc, which before 1.2 left the ENOSYS rules away unless the native one was listed."""
    listed = {**NO_ERRNO, "architectures": [*others, "SCMP_ARCH_X86_64"]}
    assert compile_filter({**NO_ERRNO, "architectures": others}) == compile_filter(listed)


def test_same_verdicts(runc: Runc, probe: Path, tmp_path: Path) -> None:
    """Real calls: in a container of runc, and under our filter."""
    entries: list[dict[str, Any]] = [
        {"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 100},
        {"names": ["rmdir"], "action": "SCMP_ACT_ERRNO"},
        {"names": ["link"], "action": "SCMP_ACT_KILL_PROCESS"},
        {"names": ["symlink"], "action": "SCMP_ACT_KILL"},
        {"names": ["truncate"], "action": "SCMP_ACT_TRAP"},
        {"names": ["swapoff"], "action": "SCMP_ACT_TRACE"},
        {
            "names": ["personality"],
            "action": "SCMP_ACT_ERRNO",
            "args": [{"index": 0, "op": "SCMP_CMP_EQ", "value": v} for v in (8, 0x20000)],
        },
    ]
    profile = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X86_64"],
        "syscalls": entries,
    }
    calls = [f"native:{number}" for number in (83, 84, 86, 88, 76, 168, 999)]
    calls += [f"native:135:{value}" for value in (0, 8, 0x20000)] + ["i386:39", "i386:40", "i386:999"]
    theirs = runc.run(profile, ["/probe", "try", "0", "-", *calls]).splitlines()
    assert len(theirs) == len(calls)
    assert verdicts(probe, tmp_path, profile, calls) == theirs
