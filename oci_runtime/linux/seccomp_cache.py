"""The seccomp filter of a config.json, from a cache of compiled ones or from libseccomp.

Compiling costs tens of milliseconds and every container of an engine has the same profile, so programs are kept in a
directory below the state root. What is in there becomes a security boundary, hence: directory and entries must belong
to us and be nobody else's to write, and an entry counts only if its checksum, its key and the files that made it are
right. Anything else is compiled anew (seccomp_store).

An entry's name is the digest of the profile, kernel release and machine. The entry itself names the files that made it
(libseccomp, the extension, the compiler's modules) with their inode, size and times, since asking libseccomp its
version would mean to load it. An upgrade of any of them thus makes the entry stale, whatever its version number says.

    entry   = checksum (32 bytes, BLAKE2b of key and rest) rest
    rest    = header (HEADER: magic, flags of seccomp(2), notify, size of witnesses, size of program) witnesses program
    witnesses = path NUL identity NUL …
"""

from __future__ import annotations

import posix
from _blake2 import blake2b
from _json import encode_basestring_ascii, make_encoder
from _struct import calcsize, unpack_from

from oci_runtime.errors import Problem, SpecError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, NoReturn

_DIGEST_SIZE = 32
MAGIC = b"pyocisc1"
HEADER = "=8sIIII"
_HEADER_SIZE = calcsize(HEADER)
_INSTRUCTION_SIZE = 8
_MAX_PROGRAM = 4096 * _INSTRUCTION_SIZE
_MAX_ENTRY = _DIGEST_SIZE + _HEADER_SIZE + 4 * 4352 + _MAX_PROGRAM

_S_IFREG = 0o100000


class CompiledFilter:
    """A filter ready for seccomp(SECCOMP_SET_MODE_FILTER, flags, …).

    `bpf` is an array of struct sock_filter in host byte order, 1 to 4096 of them; `flags` are those of seccomp(2), with
    NEW_LISTENER exactly if `notify`. Then the descriptor that seccomp(2) returns goes to the agent at `listener_path`,
    which is never empty, with `listener_metadata` in the container process state; both are '' if not `notify`.
    """

    __slots__ = ("bpf", "flags", "listener_metadata", "listener_path", "notify")

    def __init__(
        self, bpf: bytes, flags: int, notify: bool, listener_path: str = "", listener_metadata: str = ""
    ) -> None:
        self.bpf = bpf
        self.flags = flags
        self.notify = notify
        self.listener_path = listener_path
        self.listener_metadata = listener_metadata


def filter_for(
    seccomp: Mapping[str, Any], cache_dir: str | None, warn: Callable[[str], None] | None = None
) -> CompiledFilter:
    """The filter of a valid linux.seccomp; `cache_dir` is the cache's directory, made if its parent exists.

    A cache that cannot be used (not ours, no space) costs time, never the container; `warn` is told why in one line.
    Raises SpecError for a profile that makes no sense or cannot be had here, PyociError if libseccomp fails.
    """
    key = profile_key(seccomp)
    entry = _load(cache_dir, key) if cache_dir is not None else None
    if entry is None:
        from oci_runtime.linux.seccomp_store import compile_and_store

        entry = compile_and_store(seccomp, cache_dir, key, warn)
    if not entry.notify:
        return entry
    entry.listener_path = seccomp.get("listenerPath") or ""
    entry.listener_metadata = seccomp.get("listenerMetadata") or ""
    if not entry.listener_path:
        _no_listener()
    return entry


def profile_key(seccomp: Mapping[str, Any]) -> bytes:
    """The digest of all that the filter depends on, save the files that compile it.

    That is the kernel (which flags and actions there are) and the profile without the listener's two properties.
    """
    return blake2b(profile_text(seccomp).encode("ascii"), digest_size=_DIGEST_SIZE, person=MAGIC).digest()


def profile_text(seccomp: Mapping[str, Any]) -> str:
    """A JSON text that two profiles share only if they are the same but for the order of their objects' members."""
    _, _, release, version, machine = posix.uname()
    encode = make_encoder(None, _not_json, encode_basestring_ascii, None, ":", ",", True, False, False)
    get = seccomp.get
    return "".join(
        encode(
            [
                (release, version, machine),
                get("defaultAction"),
                get("defaultErrnoRet"),
                get("architectures"),
                get("flags"),
                get("syscalls"),
            ],
            0,
        )
    )


def _not_json(value: object) -> NoReturn:
    raise TypeError(f"not a value of JSON: {value!r}")


def _no_listener() -> NoReturn:
    problem = Problem("/linux/seccomp/listenerPath", "must be set, as the profile has SCMP_ACT_NOTIFY")
    raise SpecError(f"{problem.pointer}: {problem.message}", [problem])


def checksum(key: bytes, rest: bytes) -> bytes:
    """The first bytes of the entry of `key`, from all the others."""
    return blake2b(rest, digest_size=_DIGEST_SIZE, key=key).digest()


def identity(path: bytes) -> bytes:
    """What changes when the file behind `path` is replaced or written to; empty if it cannot be looked at."""
    try:
        st = posix.stat(path)
    except OSError:
        return b""
    return b"%d:%d:%d:%d:%d" % (st.st_dev, st.st_ino, st.st_size, st.st_mtime_ns, st.st_ctime_ns)


def _load(cache_dir: str, key: bytes) -> CompiledFilter | None:
    """The entry of this key, or None if there is none or anything about it is not as it must be."""
    try:
        directory = open_directory(cache_dir)
    except OSError:
        return None
    try:
        entry = _read_ours(directory, key.hex())
    except OSError:
        return None
    finally:
        posix.close(directory)
    return _parse(key, entry)


def open_directory(cache_dir: str) -> int:
    """Raises PermissionError for a directory that is not ours, or that others may write to or read from."""
    directory = posix.open(cache_dir, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_NOFOLLOW | posix.O_CLOEXEC)
    st = posix.fstat(directory)
    if st.st_uid != posix.geteuid() or st.st_mode & 0o077:
        posix.close(directory)
        raise PermissionError(1, "it must belong to the user pyoci runs as, with mode 0700")
    return directory


def _read_ours(directory: int, name: str) -> bytes:
    """The content of a regular file that belongs to us with mode 0600, else nothing. Raises OSError."""
    # O_NONBLOCK: a FIFO in its place must not hold us up.
    flags = posix.O_RDONLY | posix.O_NOFOLLOW | posix.O_NONBLOCK | posix.O_CLOEXEC
    fd = posix.open(name, flags, dir_fd=directory)
    try:
        st = posix.fstat(fd)
        if st.st_mode != _S_IFREG | 0o600 or st.st_uid != posix.geteuid() or st.st_size > _MAX_ENTRY:
            return b""
        return posix.read(fd, _MAX_ENTRY)
    finally:
        posix.close(fd)


def _parse(key: bytes, entry: bytes) -> CompiledFilter | None:
    start = _DIGEST_SIZE + _HEADER_SIZE
    if len(entry) <= start or checksum(key, entry[_DIGEST_SIZE:]) != entry[:_DIGEST_SIZE]:
        return None
    magic, flags, notify, seen_size, bpf_size = unpack_from(HEADER, entry, _DIGEST_SIZE)
    whole = start + seen_size + bpf_size == len(entry)
    sane = 0 < bpf_size <= _MAX_PROGRAM and bpf_size % _INSTRUCTION_SIZE == 0
    if magic != MAGIC or not whole or not sane or not _still_valid(entry[start : start + seen_size]):
        return None
    return CompiledFilter(entry[start + seen_size :], flags, bool(notify))


def _still_valid(seen: bytes) -> bool:
    """Whether the files that made an entry are the ones there now."""
    fields = seen.split(b"\0")
    if len(fields) < 3:
        return False
    return all(identity(fields[at]) == fields[at + 1] for at in range(0, len(fields) - 1, 2))
