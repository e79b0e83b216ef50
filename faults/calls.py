"""System calls by name, which faults are tried at which of them, and what is a part of that."""

from __future__ import annotations

import errno
import functools
import re
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from faults.errors import CannotInject

KILL = "KILL"
ERRORS = ("ENOSPC", "EIO", "EMFILE", "ENOMEM", "EINTR")
#: EPERM is tried when it is asked for: it is no fault, but an answer, and some calls are made to hear it.
FAULTS = (*ERRORS, KILL)
# They have no error to return (brk(2) tells of one by what it did not do), or none that anybody could act upon.
# fmt: off
_NEVER_FAIL = {
    "getpid", "gettid", "getppid", "getuid", "geteuid", "getgid", "getegid", "exit", "exit_group", "rt_sigaction",
    "rt_sigprocmask", "rt_sigreturn", "clock_gettime", "gettimeofday", "sched_yield", "restart_syscall", "uname",
    "sysinfo", "brk",
}
_MEMORY = {"mmap", "mprotect", "mremap", "munmap", "madvise"}
# What is only looked at or given back: to be killed there is to be killed at the next call.
_WITHOUT_TRACE = {
    "access", "close", "dup", "dup3", "epoll_ctl", "epoll_create1", "faccessat", "faccessat2", "fcntl", "fstat",
    "fstatfs", "getdents64", "getrandom", "getsockopt", "getxattr", "ioctl", "lseek", "lstat", "newfstatat",
    "openat2", "pidfd_open", "poll", "ppoll", "pread64", "prlimit64", "read", "readlink", "readlinkat", "select",
    "stat", "statfs", "statx", "wait4", "waitid",
}
# fmt: on
#: What the program does first of its own: open_missing_descriptors() of cli/main.py.
_FIRST = ("fcntl", "fcntl", "fcntl")


class Call(NamedTuple):
    """A call of a process (0 is the runtime, 1 its first child …): which of its calls, its name, its path if any."""

    process: int
    at: int
    name: str
    path: str = ""

    def __str__(self) -> str:
        return f"{self.process}:{self.at} {self.name}{f' {self.path}' if self.path else ''}"


class Case(NamedTuple):
    """A fault at a call of a scenario."""

    scenario: str
    call: Call
    fault: str

    @property
    def key(self) -> str:
        """How the case is named on the command line, and in the table."""
        return f"{self.scenario}:{self.call.process}:{self.call.at}:{self.fault}"


@functools.cache
def names() -> dict[int, str]:
    """The name of each system call by its number. CannotInject without the kernel's headers."""
    command = ["gcc", "-E", "-dM", "-include", "asm/unistd.h", "-x", "c", "/dev/null"]
    done = subprocess.run(command, capture_output=True, text=True)
    found = {int(number): name for name, number in re.findall(r"^#define __NR_(\w+) (\d+)$", done.stdout, re.MULTILINE)}
    if not found:
        raise CannotInject(f"gcc cannot tell the numbers of system calls: {done.stderr.strip()}")
    return found


def number(name: str) -> int:
    """The number of a call."""
    return next(number for number, each in names().items() if each == name)


def error_number(fault: str) -> int:
    """What the injector is told: 0 kills."""
    return 0 if fault == KILL else int(getattr(errno, fault))


def parse(recorded: str) -> list[Call]:
    """What `inject record` has written, without the interpreter's own start."""
    calls, counts = [], [0] * 256
    for line in recorded.splitlines():
        process, number, path = line.split(" ", 2)
        name = names().get(int(number), f"call_{number}")
        calls.append(Call(int(process), counts[int(process)], name, path))
        counts[int(process)] += 1
    return calls[_begin(calls) :]


def _begin(calls: Sequence[Call]) -> int:
    """Where the program's own calls begin."""
    own = [place for place, call in enumerate(calls) if call.process == 0]
    for at in range(len(own)):
        if tuple(calls[place].name for place in own[at : at + len(_FIRST)]) == _FIRST:
            return own[at]
    raise CannotInject("the first call of pyoci's own cannot be found: does open_missing_descriptors() do another one?")


def faults_at(call: Call, faults: Iterable[str] = FAULTS) -> list[str]:
    """Those that are worth trying."""
    if call.name in _MEMORY:
        return [fault for fault in faults if fault == "ENOMEM"]
    if call.name in _NEVER_FAIL:
        return [fault for fault in faults if fault == KILL and call.name == "exit_group"]
    return [fault for fault in faults if fault != KILL or call.name not in _WITHOUT_TRACE]


def cases(scenario: str, calls: Iterable[Call], faults: Sequence[str] = FAULTS) -> Iterator[Case]:
    """All faults of all calls."""
    for call in calls:
        for fault in faults_at(call, faults):
            yield Case(scenario, call, fault)


def slice_of(cases: Sequence[Case], part: int) -> list[Case]:
    """One of `part` cases, always the same, evenly over calls and faults."""
    return [case for place, case in enumerate(cases) if place % part == part // 2]
