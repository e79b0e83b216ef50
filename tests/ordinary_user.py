"""An ordinary user of this machine, made for the tests: an account with ranges of subordinate ids, subuid(5).

Sessions side by side each have their own. One that was killed leaves its user, whose name tells which process it was
for; the next session removes him.
"""

from __future__ import annotations

import fcntl
import pwd
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from os import getpid
from pathlib import Path

_PREFIX = "pyocitest"
_LOCK = Path("/run/lock/pyoci-tests-users")
#: Sizes of the ranges of subordinate user ids; those of group ids are at other places.
SIZES = (3000, 65536, 10)
_SPACING = 200_000


class User:
    """`subuids` and `subgids` are (first, size) of his ranges, in the order in which they were added."""

    __slots__ = ("gid", "name", "subgids", "subuids", "uid")

    def __init__(self, name: str) -> None:
        entry = pwd.getpwnam(name)
        self.name = name
        self.uid = entry.pw_uid
        self.gid = entry.pw_gid
        # nobody else's: useradd(8) gives out those from 100000 on
        base = 2**29 + self.uid % 5000 * _SPACING
        self.subuids = [(base + i * 70_000, size) for i, size in enumerate(SIZES)]
        self.subgids = [(base + 5_000 + i * 70_000, size) for i, size in enumerate(SIZES)]

    def uid_mappings(self) -> list[dict[str, int]]:
        """All that he may map, with himself as root."""
        return _mappings(self.uid, self.subuids)

    def gid_mappings(self) -> list[dict[str, int]]:
        """The same for his group."""
        return _mappings(self.gid, self.subgids)

    def command(self, *argv: str, groups: str = "", capabilities: str = "") -> list[str]:
        """A command line that runs `argv` as the user, in the supplementary groups of these numbers and with these
        capabilities, both as setpriv(1) takes them."""
        how = ["--groups", groups] if groups else ["--clear-groups"]
        if capabilities:
            how += ["--inh-caps", capabilities, "--ambient-caps", capabilities]
        return ["setpriv", "--reuid", str(self.uid), "--regid", str(self.gid), *how, "--", *argv]


def _mappings(own: int, ranges: list[tuple[int, int]]) -> list[dict[str, int]]:
    found, inside = [], 0
    for first, size in [(own, 1), *ranges]:
        found.append({"containerID": inside, "hostID": first, "size": size})
        inside += size
    return found


@contextmanager
def ordinary_user() -> Iterator[User]:
    """Makes the user, and removes him with his subordinate ids. CalledProcessError when useradd(8) fails."""
    name = f"{_PREFIX}-{getpid()}-{_start_time(getpid())}"
    with _accounts():
        for stale in _stale():
            _run("userdel", stale)
        no_ranges = ("-K", "SUB_UID_COUNT=0", "-K", "SUB_GID_COUNT=0")
        _run("useradd", "--no-create-home", "--user-group", "--home-dir", "/", *no_ranges, name)
        user = User(name)
        ranges = []
        for option, wanted in (("--add-subuids", user.subuids), ("--add-subgids", user.subgids)):
            for first, size in wanted:
                ranges += [option, f"{first}-{first + size - 1}"]
        _run("usermod", *ranges, name)
    try:
        yield user
    finally:
        with _accounts():
            _run("userdel", "--force", name)


@contextmanager
def _accounts() -> Iterator[None]:
    """One session at a time changes /etc/passwd and its like."""
    with open(_LOCK, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _stale() -> list[str]:
    """Users of sessions that have ended without removing them."""
    found = []
    for entry in pwd.getpwall():
        match = re.fullmatch(rf"{_PREFIX}-(\d+)-(\d+)", entry.pw_name)
        if match and _start_time(int(match[1])) != int(match[2]):
            found.append(entry.pw_name)
    return found


def _start_time(pid: int) -> int:
    """Field 22 of proc_pid_stat(5); 0 when there is no such process."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except FileNotFoundError:
        return 0


def _run(*argv: str) -> None:
    subprocess.run(argv, check=True, capture_output=True, timeout=60, text=True)
