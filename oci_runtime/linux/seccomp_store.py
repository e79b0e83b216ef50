"""The writing side of the cache of seccomp filters: compile one and add it, and keep the cache small.

Apart from seccomp_cache, whose description of an entry applies, because a cached filter needs nothing of this.
"""

from __future__ import annotations

import posix
from _struct import pack

from oci_runtime.linux import seccomp_compiler
from oci_runtime.linux.seccomp_cache import HEADER, MAGIC, CompiledFilter, checksum, identity, open_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

#: Entries beyond this number, oldest first, are removed when one is added.
MAX_ENTRIES = 64


def compile_and_store(
    seccomp: Mapping[str, Any], cache_dir: str | None, key: bytes, warn: Callable[[str], None] | None
) -> CompiledFilter:
    """The filter of a profile whose `key` the cache has no good entry for, added to it on the way.

    As seccomp_cache.filter_for but for the listener.
    """
    # Looked at before compiling: a file replaced meanwhile then makes the entry stale rather than wrong.
    seen = _seen(seccomp_compiler.witnesses())
    compiled = CompiledFilter(*seccomp_compiler.compile_filter(seccomp))
    if cache_dir is not None and seen:
        try:
            _store(cache_dir, key, _entry(key, compiled, seen))
        except OSError as error:
            if warn is not None:
                warn(f"cannot cache the seccomp filter in {cache_dir}: {error.strerror or error}")
    return compiled


def _entry(key: bytes, compiled: CompiledFilter, seen: bytes) -> bytes:
    header = pack(HEADER, MAGIC, compiled.flags, compiled.notify, len(seen), len(compiled.bpf))
    rest = header + seen + compiled.bpf
    return checksum(key, rest) + rest


def _seen(paths: list[str]) -> bytes:
    """The witnesses' part of an entry; empty if there is one that cannot be looked at."""
    seen = b""
    for path in paths:
        name = path.encode("utf-8", "surrogateescape")
        found = identity(name)
        if not found:
            return b""
        seen += name + b"\0" + found + b"\0"
    return seen


def _store(cache_dir: str, key: bytes, entry: bytes) -> None:
    """Add or replace an entry in one step; two at once both succeed, as they write the same. Raises OSError."""
    _make_directory(cache_dir)
    directory = open_directory(cache_dir)
    try:
        name = key.hex()
        temporary = f".{name}.{posix.getpid()}"
        try:
            _write_new(directory, temporary, entry)
            posix.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
        except OSError:
            _remove(directory, temporary)
            raise
        _prune(directory, name)
    finally:
        posix.close(directory)


def _make_directory(cache_dir: str) -> None:
    try:
        posix.mkdir(cache_dir, 0o700)
    except FileExistsError:
        return


def _write_new(directory: int, name: str, content: bytes) -> None:
    # Left by a process that was killed and had our pid.
    _remove(directory, name)
    flags = posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_NOFOLLOW | posix.O_CLOEXEC
    fd = posix.open(name, flags, 0o600, dir_fd=directory)
    try:
        # Whatever the umask is.
        posix.fchmod(fd, 0o600)
        while content:
            content = content[posix.write(fd, content) :]
    finally:
        posix.close(fd)


def _prune(directory: int, keep: str) -> None:
    """Remove the oldest files beyond MAX_ENTRIES (temporary ones of killed processes count), but never `keep`."""
    names = posix.listdir(directory)
    if len(names) <= MAX_ENTRIES:
        return
    by_age = sorted((_modified(directory, name), name) for name in names if name != keep)
    for _, name in by_age[: len(names) - MAX_ENTRIES]:
        _remove(directory, name)


def _modified(directory: int, name: str) -> int:
    try:
        return posix.stat(name, dir_fd=directory, follow_symlinks=False).st_mtime_ns
    except FileNotFoundError:
        return 0


def _remove(directory: int, name: str) -> None:
    try:
        posix.unlink(name, dir_fd=directory)
    except FileNotFoundError:
        return
