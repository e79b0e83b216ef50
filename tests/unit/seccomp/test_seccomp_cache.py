"""The cache of compiled filters: what it answers, what it refuses to believe, and what it costs."""

from __future__ import annotations

import contextlib
import copy
import json
import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seccomp_tools import Profile, engine_profile

from oci_runtime.errors import SpecError
from oci_runtime.linux import seccomp_compiler, seccomp_store
from oci_runtime.linux.seccomp_cache import CompiledFilter, filter_for, profile_key, profile_text

ROOT = Path(__file__).parents[3]

PROFILE: Profile = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "flags": ["SECCOMP_FILTER_FLAG_LOG"],
    "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 30}],
}


class Counter:
    """How often a filter was compiled rather than read."""

    compiled = 0


@pytest.fixture
def counter(monkeypatch: pytest.MonkeyPatch) -> Counter:
    counter = Counter()
    original = seccomp_compiler.compile_filter

    def counting(seccomp: Profile) -> tuple[bytes, int, bool]:
        counter.compiled += 1
        return original(seccomp)

    monkeypatch.setattr(seccomp_compiler, "compile_filter", counting)
    return counter


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "seccomp"


def get(profile: Profile, cache: Path) -> CompiledFilter:
    """The filter, when nothing is wrong with the cache."""
    warnings: list[str] = []
    compiled = filter_for(profile, str(cache), warnings.append)
    assert warnings == []
    return compiled


def entry_of(cache: Path, profile: Profile = PROFILE) -> Path:
    return cache / profile_key(profile).hex()


def content(compiled: CompiledFilter) -> tuple[bytes, int, bool]:
    return compiled.bpf, compiled.flags, compiled.notify


def test_second_time_is_read(cache: Path, counter: Counter) -> None:
    first = get(PROFILE, cache)
    assert content(first) == (*seccomp_compiler.compile_filter(PROFILE)[:2], False)
    counter.compiled = 0
    assert content(get(copy.deepcopy(PROFILE), cache)) == content(first)
    assert counter.compiled == 0


def test_only_the_owner_has_access(cache: Path) -> None:
    old = os.umask(0)
    try:
        get(PROFILE, cache)
    finally:
        os.umask(old)
    assert cache.stat().st_mode == 0o40700
    assert entry_of(cache).stat().st_mode == 0o100600
    assert [path.name for path in cache.iterdir()] == [entry_of(cache).name]


def test_unusual_umask(cache: Path, counter: Counter) -> None:
    old = os.umask(0o277)
    try:
        os.mkdir(cache, 0o700)
        os.chmod(cache, 0o700)
        get(PROFILE, cache)
    finally:
        os.umask(old)
    get(PROFILE, cache)
    assert counter.compiled == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[:-8],
        lambda data: data[:-1],
        lambda data: data + b"\0" * 8,
        lambda data: data[:100] + bytes([data[100] ^ 1]) + data[101:],
        lambda data: data[:-1] + bytes([data[-1] ^ 0x80]),
        lambda data: bytes([data[0] ^ 1]) + data[1:],
        lambda data: data[:32],
        lambda data: b"",
        lambda data: b"x" * 100_000,
    ],
)
def test_corrupt_entry_is_compiled_anew(cache: Path, counter: Counter, change: Any) -> None:
    first = get(PROFILE, cache)
    entry = entry_of(cache)
    good = entry.read_bytes()
    entry.write_bytes(change(good))
    assert content(get(PROFILE, cache)) == content(first)
    assert counter.compiled == 2
    # And put right.
    assert entry.read_bytes() == good


def test_entry_of_another_profile_is_not_believed(cache: Path, counter: Counter) -> None:
    other = {"defaultAction": "SCMP_ACT_ALLOW"}
    get(other, cache)
    entry_of(cache, other).rename(entry_of(cache))
    assert get(PROFILE, cache).bpf != seccomp_compiler.compile_filter(other)[0]
    assert counter.compiled == 3


@pytest.mark.parametrize("mode", [0o640, 0o606, 0o660, 0o4600, 0o400])
def test_entry_with_another_mode_is_not_believed(cache: Path, counter: Counter, mode: int) -> None:
    get(PROFILE, cache)
    entry_of(cache).chmod(mode)
    get(PROFILE, cache)
    assert counter.compiled == 2
    assert entry_of(cache).stat().st_mode == 0o100600


def test_entry_of_another_user_is_not_believed(cache: Path, counter: Counter) -> None:
    get(PROFILE, cache)
    os.chown(entry_of(cache), 1000, 1000)
    get(PROFILE, cache)
    assert counter.compiled == 2
    assert entry_of(cache).stat().st_uid == os.geteuid()


def test_links_and_fifos_are_replaced(cache: Path, counter: Counter, tmp_path: Path) -> None:
    get(PROFILE, cache)
    entry = entry_of(cache)
    moved = entry.rename(tmp_path / "elsewhere")
    entry.symlink_to(moved)
    get(PROFILE, cache)
    assert counter.compiled == 2
    assert not entry.is_symlink()
    entry.unlink()
    os.mkfifo(entry, 0o600)
    get(PROFILE, cache)
    assert counter.compiled == 3
    assert entry.is_file()


@pytest.mark.parametrize("what", ["mode", "owner", "symlink", "file", "no parent"])
def test_directory_that_is_not_ours_is_not_used(cache: Path, counter: Counter, tmp_path: Path, what: str) -> None:
    get(PROFILE, cache)
    good = content(get(PROFILE, cache))
    if what == "mode":
        cache.chmod(0o755)
    elif what == "owner":
        os.chown(cache, 1000, 1000)
    elif what == "no parent":
        cache = tmp_path / "none" / "seccomp"
    else:
        real = cache.rename(tmp_path / "elsewhere")
        cache.symlink_to(real) if what == "symlink" else cache.write_bytes(b"")
    warnings: list[str] = []
    assert content(filter_for(PROFILE, str(cache), warnings.append)) == good
    assert counter.compiled == 2
    assert len(warnings) == 1
    assert warnings[0].startswith(f"cannot cache the seccomp filter in {cache}: ")
    # Without anyone to tell, too.
    assert content(filter_for(PROFILE, str(cache))) == good


def test_no_cache(counter: Counter) -> None:
    filter_for(PROFILE, None)
    filter_for(PROFILE, None)
    assert counter.compiled == 2


def test_a_changed_library_makes_entries_stale(
    cache: Path, counter: Counter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = tmp_path / "libseccomp.so.2"
    library.write_bytes(b"one")
    assert len(seccomp_compiler.witnesses()) == 4
    assert "libseccomp.so" in seccomp_compiler.witnesses()[0]
    monkeypatch.setattr(seccomp_compiler, "witnesses", lambda: [str(library)])
    get(PROFILE, cache)
    get(PROFILE, cache)
    assert counter.compiled == 1
    update = tmp_path / "update"
    update.write_bytes(b"two")
    os.utime(update, ns=(0, library.stat().st_mtime_ns))
    update.rename(library)
    get(PROFILE, cache)
    get(PROFILE, cache)
    assert counter.compiled == 2
    library.unlink()
    get(PROFILE, cache)
    get(PROFILE, cache)
    assert counter.compiled == 4


def test_errors_are_not_cached(cache: Path) -> None:
    for _ in range(2):
        with pytest.raises(SpecError):
            get({"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 1}, cache)
    assert not cache.exists()


def test_listener_is_not_part_of_the_entry(cache: Path, counter: Counter) -> None:
    profile: Profile = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}],
    }
    for path in ("/run/one", "/run/two"):
        compiled = get({**profile, "listenerPath": path, "listenerMetadata": f"of {path}"}, cache)
        assert (compiled.notify, compiled.listener_path, compiled.listener_metadata) == (True, path, f"of {path}")
        assert compiled.flags & 1 << 3
    assert get({**profile, "listenerPath": "/x"}, cache).listener_metadata == ""
    assert counter.compiled == 1
    incomplete: list[Profile] = [{}, {"listenerPath": ""}, {"listenerMetadata": "x"}]
    for rest in incomplete:
        with pytest.raises(SpecError) as caught:
            get({**profile, **rest}, cache)
        assert caught.value.problems[0].pointer == "/linux/seccomp/listenerPath"
    # Without SCMP_ACT_NOTIFY it means nothing.
    assert get({**PROFILE, "listenerPath": "/x"}, cache).listener_path == ""


def test_cache_is_bounded(cache: Path, counter: Counter) -> None:
    get(PROFILE, cache)
    for index in range(seccomp_store.MAX_ENTRIES + 20):
        path = cache / f"{index:064x}"
        path.write_bytes(b"old")
        os.utime(path, (index, index))
    get({"defaultAction": "SCMP_ACT_LOG"}, cache)
    names = {path.name for path in cache.iterdir()}
    assert len(names) == seccomp_store.MAX_ENTRIES
    # The oldest are gone.
    assert f"{21:064x}" not in names
    assert f"{22:064x}" in names
    get(PROFILE, cache)
    get({"defaultAction": "SCMP_ACT_LOG"}, cache)
    assert counter.compiled == 2


def _many(cache: str, start: float, failures: Any) -> None:
    profiles: list[Profile] = [{**PROFILE, "flags": None}, {**PROFILE, "flags": []}]
    expected = [content(CompiledFilter(*seccomp_compiler.compile_filter(profile))) for profile in profiles]
    time.sleep(max(0.0, start - time.monotonic()))
    warnings: list[str] = []
    for attempt in range(60):
        if attempt % 5 == 0:
            for name in os.listdir(cache):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(f"{cache}/{name}")
        for profile, want in zip(profiles, expected, strict=True):
            if content(filter_for(profile, cache, warnings.append)) != want:
                failures.put("wrong filter")
    # A rename fails if someone else removed the temporary file, as done above; nothing else may.
    for warning in warnings:
        if "No such file" not in warning:
            failures.put(warning)


def test_many_at_once(cache: Path) -> None:
    cache.mkdir(0o700)
    context = multiprocessing.get_context("fork")
    failures: Any = context.Queue()
    start = time.monotonic() + 0.2
    processes = [context.Process(target=_many, args=(str(cache), start, failures)) for _ in range(6)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * len(processes)
    assert failures.empty()
    assert all(len(path.name) == 64 for path in cache.iterdir())


def test_hit_imports_nothing_heavy(cache: Path) -> None:
    get(engine_profile(), cache)
    script = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from _json import scanstring
from oci_runtime.linux.seccomp_cache import filter_for
profile = {engine_profile()!r}
before = set(sys.modules)
assert len(filter_for(profile, {str(cache)!r}).bpf) > 8000
print(sorted(sys.modules))
print(sorted(set(sys.modules) - before))
"""
    command = [sys.executable, "-I", "-S", "-c", script]
    run = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    loaded, added = run.stdout.splitlines()
    assert added == "[]"
    for name in ("_cffi_backend", "oci_runtime._libseccomp", "os", "json", "hashlib", "struct", "stat"):
        assert repr(name) not in loaded
    assert "'oci_runtime.linux.seccomp_cache'" in loaded


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda values: st.lists(values, max_size=4) | st.dictionaries(st.text(), values, max_size=4),
    max_leaves=12,
)
small = st.sampled_from(["SCMP_ACT_ALLOW", "read", "write", 'a","b', "é", "\ud800", "", "1"])
numbers = st.integers(0, 3) | st.sampled_from([2**64 - 1, True, None, 1.0])
entries = st.fixed_dictionaries(
    {"names": st.lists(small, max_size=3), "action": small},
    optional={
        "errnoRet": numbers,
        "args": st.lists(st.fixed_dictionaries({"index": numbers, "value": numbers, "op": small}), max_size=2),
    },
)
profiles = st.fixed_dictionaries(
    {"defaultAction": small},
    optional={
        "defaultErrnoRet": numbers,
        "architectures": st.lists(small, max_size=2),
        "flags": st.lists(small, max_size=2),
        "syscalls": st.lists(entries, max_size=2),
    },
)


def _normal(profile: Profile) -> str:
    """A text that tells 1, 1.0, True and "1" apart, but not the order of members, nor null from none at the top."""
    return repr(_sorted({key: value for key, value in profile.items() if value is not None}))


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return "object", [(key, _sorted(value[key])) for key in sorted(value)]
    return [_sorted(item) for item in value] if isinstance(value, list) else value


@given(profiles, profiles)
def test_text_is_injective(one: Profile, two: Profile) -> None:
    assert (profile_text(one) == profile_text(two)) == (_normal(one) == _normal(two))


@given(json_values, json_values)
def test_text_is_injective_for_any_json(one: Any, two: Any) -> None:
    same = repr(_sorted(one)) == repr(_sorted(two))
    assert (profile_text({"syscalls": one}) == profile_text({"syscalls": two})) == same


@given(profiles)
def test_text_is_json_of_the_profile(profile: Profile) -> None:
    document = json.loads(profile_text(profile))
    keys = ("defaultAction", "defaultErrnoRet", "architectures", "flags", "syscalls")
    assert repr(_sorted(document[1:])) == repr(_sorted([profile.get(key) for key in keys]))


def test_order_of_members_does_not_matter() -> None:
    turned = dict(reversed(PROFILE.items()))
    turned["syscalls"] = [dict(reversed(entry.items())) for entry in PROFILE["syscalls"]]
    assert profile_key(turned) == profile_key(PROFILE)


def test_every_part_changes_the_key() -> None:
    keys = {profile_key(PROFILE)}
    changed = [{**PROFILE, "defaultAction": "SCMP_ACT_LOG"}, {**PROFILE, "flags": []}, {**PROFILE, "syscalls": []}]
    changed += [{**PROFILE, "architectures": ["SCMP_ARCH_X86"]}, {**PROFILE, "defaultErrnoRet": 1}]
    entry = PROFILE["syscalls"][0]
    changes: list[Profile] = [{"errnoRet": 31}, {"names": ["mkdirat"]}, {"action": "SCMP_ACT_TRACE"}, {"args": []}]
    changed += [{**PROFILE, "syscalls": [{**entry, **change}]} for change in changes]
    keys |= {profile_key(profile) for profile in changed}
    assert len(keys) == len(changed) + 1
