"""Compile config.json's linux.seccomp into the BPF program and flags of seccomp(2), with libseccomp.

Loads the extension module, so nothing on the happy path imports this: seccomp_cache.filter_for does when it has no
cached filter, and `features` does. The verdicts are runc's: unknown system calls are skipped, several checks of one
argument are alternatives, and system calls newer than any the profile names fail with ENOSYS (seccomp_enosys).

Sources: runtime-spec config-linux.md "Seccomp", seccomp(2), seccomp_rule_add(3), seccomp_attr_set(3).
"""

from __future__ import annotations

from _struct import pack
from errno import E2BIG, EINVAL, ENOSYS, EPERM
from posix import strerror

from oci_runtime.errors import Problem, PyociError, SpecError
from oci_runtime.linux.seccomp_enosys import enosys_prologue

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any, NoReturn

SECCOMP = "/linux/seccomp"

#: BPF_MAXINSNS of linux/bpf_common.h, and sizeof(struct sock_filter) in bytes
MAX_INSTRUCTIONS = 4096
INSTRUCTION_SIZE = 8

NEW_LISTENER = 1 << 3

_MAX_ARGS = 6
_MAX_ERRNO = 4095
_MAX_TRACE_DATA = 0xFFFF

_ACTIONS = {
    "SCMP_ACT_ALLOW": 0x7FFF0000,
    "SCMP_ACT_ERRNO": 0x00050000,
    "SCMP_ACT_KILL": 0x00000000,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_KILL_THREAD": 0x00000000,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_NOTIFY": 0x7FC00000,
    "SCMP_ACT_TRACE": 0x7FF00000,
    "SCMP_ACT_TRAP": 0x00030000,
}
#: the largest errnoRet of the actions that take one
_ERRNO_LIMITS = {"SCMP_ACT_ERRNO": _MAX_ERRNO, "SCMP_ACT_TRACE": _MAX_TRACE_DATA}

_OPERATORS = {
    "SCMP_CMP_EQ": 4,
    "SCMP_CMP_GE": 5,
    "SCMP_CMP_GT": 6,
    "SCMP_CMP_LE": 3,
    "SCMP_CMP_LT": 2,
    "SCMP_CMP_MASKED_EQ": 7,
    "SCMP_CMP_NE": 1,
}

#: config.json's flags and their bits in seccomp(2). TSYNC is accepted and ignored, as in runc: init has one thread.
_FLAGS = {
    "SECCOMP_FILTER_FLAG_LOG": 1 << 1,
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW": 1 << 2,
    "SECCOMP_FILTER_FLAG_TSYNC": 0,
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV": 1 << 5,
}
_SPEC_ALLOW = _FLAGS["SECCOMP_FILTER_FLAG_SPEC_ALLOW"]
_WAIT_KILLABLE_RECV = _FLAGS["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]

#: runtime-spec's names less their prefix; libseccomp knows them in lower case
_ARCHITECTURES = (
    "AARCH64 ARM LOONGARCH64 M68K MIPS MIPS64 MIPS64N32 MIPSEL MIPSEL64 MIPSEL64N32 PARISC PARISC64 PPC PPC64 PPC64LE"
    " RISCV64 S390 S390X SH SHEB X32 X86 X86_64"
)


def compile_filter(seccomp: Mapping[str, Any]) -> tuple[bytes, int, bool]:
    """Compile linux.seccomp: the BPF program (struct sock_filter[], host byte order), the flags of seccomp(2), and
    whether some rule has SCMP_ACT_NOTIFY (then NEW_LISTENER is among the flags).

    Raises SpecError for a profile that makes no sense or that this libseccomp or kernel cannot do.
    """
    default = _default_action(seccomp)
    archs = _architectures(seccomp)
    syscalls = seccomp.get("syscalls") or ()
    notify = _notifies(syscalls)
    flags = _filter_flags(seccomp, notify)
    rules: list[bytes] = []
    origins: list[int] = []
    names: list[bytes] = []
    for index, syscall in enumerate(syscalls):
        encoded = _names(syscall, f"{SECCOMP}/syscalls/{index}")
        for rule in _rules(syscall, f"{SECCOMP}/syscalls/{index}", len(encoded)):
            rules.append(rule)
            origins.append(index)
            names += encoded
    bpf = _compile(default, archs, rules, names, origins)
    if _needs_prologue(default):
        bpf = _prologue(archs, set(names)) + bpf
    if len(bpf) > MAX_INSTRUCTIONS * INSTRUCTION_SIZE:
        _too_long()
    return bpf, flags, notify


def witnesses() -> list[str]:
    """The files that decide what compile_filter makes of a profile: libseccomp, the extension, our two modules."""
    from oci_runtime.linux import seccomp_enosys

    extension = _extension()
    library = extension.lib.pyoci_library_path()
    if not library:
        return []
    path: str = extension.ffi.string(library).decode("utf-8", "surrogateescape")
    return [path, extension.__file__, __file__, seccomp_enosys.__file__]


def known_actions() -> list[str]:
    """The actions config.json may name, sorted (features.md: linux.seccomp.actions)."""
    return sorted(_ACTIONS)


def known_operators() -> list[str]:
    """The comparison operators config.json may name, sorted (features.md: linux.seccomp.operators)."""
    return sorted(_OPERATORS)


def known_architectures() -> list[str]:
    """The architectures this libseccomp can make filters for, sorted (features.md: linux.seccomp.archs)."""
    return [f"SCMP_ARCH_{name}" for name in _ARCHITECTURES.split() if _arch_token(name)]


def known_flags() -> list[str]:
    """The flags config.json may name, sorted (features.md: linux.seccomp.knownFlags)."""
    return sorted(_FLAGS)


def supported_flags() -> list[str]:
    """The known flags this kernel accepts, sorted (features.md: linux.seccomp.supportedFlags)."""
    return [name for name in known_flags() if _flag_available(_FLAGS[name])]


def library_version() -> tuple[int, int, int]:
    """The version of libseccomp in use: major, minor, micro."""
    version: int = _extension().lib.pyoci_library_version()
    return version >> 16, version >> 8 & 0xFF, version & 0xFF


def _extension() -> Any:
    """oci_runtime._libseccomp, which needs cffi's run time and libseccomp.so.2."""
    try:
        from oci_runtime import _libseccomp
    except ImportError as error:
        raise PyociError(f"{SECCOMP}: cannot load libseccomp: {error}") from error
    return _libseccomp


def _invalid(pointer: str, message: str) -> NoReturn:
    raise SpecError(f"{pointer}: {message}", [Problem(pointer, message)])


def _expect(value: object, known: Mapping[str, int], pointer: str) -> str:
    if not isinstance(value, str) or value not in known:
        _invalid(pointer, f"unknown value {value!r}; valid are {', '.join(sorted(known))}")
    return value


def _unsigned(value: object, limit: int, pointer: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= limit:
        _invalid(pointer, f"{value!r} is not an integer from 0 to {limit}")
    return value


def _action(name: object, errno: object, pointer: str, errno_pointer: str) -> int:
    """An action as libseccomp's 32-bit value. An errnoRet for an action without one is an error (config-linux.md)."""
    name = _expect(name, _ACTIONS, pointer)
    limit = _ERRNO_LIMITS.get(name)
    if errno is None:
        return _ACTIONS[name] | (EPERM if limit else 0)
    if limit is None:
        _invalid(errno_pointer, f"{name} takes no errno; only {' and '.join(sorted(_ERRNO_LIMITS))} do")
    return _ACTIONS[name] | _unsigned(errno, limit, errno_pointer)


def _default_action(seccomp: Mapping[str, Any]) -> int:
    pointer = f"{SECCOMP}/defaultAction"
    name = seccomp.get("defaultAction")
    if name == "SCMP_ACT_NOTIFY":
        _invalid(pointer, "SCMP_ACT_NOTIFY cannot be the default action: the runtime itself would wait for the agent")
    return _action(name, seccomp.get("defaultErrnoRet"), pointer, f"{SECCOMP}/defaultErrnoRet")


def _arch_token(name: str) -> int:
    token: int = _extension().lib.pyoci_arch(name.lower().encode())
    return token


def _architectures(seccomp: Mapping[str, Any]) -> list[int]:
    """libseccomp's tokens; the native architecture is part of every filter and comes first."""
    tokens: list[int] = [_extension().lib.pyoci_native_arch()]
    known = _ARCHITECTURES.split()
    for index, name in enumerate(seccomp.get("architectures") or ()):
        pointer = f"{SECCOMP}/architectures/{index}"
        short = name[10:] if isinstance(name, str) and name.startswith("SCMP_ARCH_") else ""
        if short not in known:
            _invalid(pointer, f"unknown value {name!r}; valid are {', '.join(f'SCMP_ARCH_{arch}' for arch in known)}")
        token = _arch_token(short)
        if not token:
            version = ".".join(map(str, library_version()))
            _invalid(pointer, f"libseccomp {version} does not know {name}")
        if token not in tokens:
            tokens.append(token)
    return tokens


def _notifies(syscalls: Sequence[Mapping[str, Any]]) -> bool:
    notify = False
    for index, syscall in enumerate(syscalls):
        if syscall.get("action") == "SCMP_ACT_NOTIFY":
            notify = True
            if "write" in syscall["names"]:
                pointer = f"{SECCOMP}/syscalls/{index}/names/{syscall['names'].index('write')}"
                _invalid(pointer, "SCMP_ACT_NOTIFY cannot be used for write: the container could not be set up")
    if notify and not _flag_available(NEW_LISTENER):
        _invalid(f"{SECCOMP}/syscalls", "this kernel does not support SCMP_ACT_NOTIFY; it needs Linux 5.0")
    return notify


def _flag_available(bit: int) -> bool:
    # The kernel takes WAIT_KILLABLE_RECV only along with NEW_LISTENER.
    return bool(_extension().lib.pyoci_flags_available(bit | NEW_LISTENER if bit == _WAIT_KILLABLE_RECV else bit))


def _filter_flags(seccomp: Mapping[str, Any], notify: bool) -> int:
    flags = NEW_LISTENER if notify else 0
    names = seccomp.get("flags")
    if names is None:
        # runc's default. [] turns it off.
        return flags | (_SPEC_ALLOW if _flag_available(_SPEC_ALLOW) else 0)
    for index, name in enumerate(names):
        pointer = f"{SECCOMP}/flags/{index}"
        bit = _FLAGS[_expect(name, _FLAGS, pointer)]
        if not _flag_available(bit):
            _invalid(pointer, f"this kernel does not support {name}; it supports {', '.join(supported_flags())}")
        if bit == _WAIT_KILLABLE_RECV and not notify:
            _invalid(pointer, f"{name} needs a system call with SCMP_ACT_NOTIFY, the profile has none")
        flags |= bit
    return flags


def _names(syscall: Mapping[str, Any], pointer: str) -> list[bytes]:
    encoded = []
    for index, name in enumerate(syscall["names"]):
        if not isinstance(name, str) or not name or "\0" in name:
            _invalid(f"{pointer}/names/{index}", f"{name!r} cannot be the name of a system call")
        encoded.append(name.encode("utf-8", "surrogatepass"))
    return encoded


def _rules(syscall: Mapping[str, Any], pointer: str, name_count: int) -> Iterable[bytes]:
    """The struct pyoci_rule of an entry of `syscalls`: one, or if it checks an argument twice, one for each check."""
    action = _action(syscall.get("action"), syscall.get("errnoRet"), f"{pointer}/action", f"{pointer}/errnoRet")
    checks = [_check(arg, f"{pointer}/args/{index}") for index, arg in enumerate(syscall.get("args") or ())]
    if len({index for index, _ in checks}) == len(checks):
        return (_rule(action, name_count, [check for _, check in checks]),)
    return [_rule(action, name_count, [check]) for _, check in checks]


def _check(arg: Mapping[str, Any], pointer: str) -> tuple[int, bytes]:
    """The index and the struct pyoci_arg of one entry of `args`."""
    index = _unsigned(arg.get("index"), _MAX_ARGS - 1, f"{pointer}/index")
    operator = _OPERATORS[_expect(arg.get("op"), _OPERATORS, f"{pointer}/op")]
    value = _unsigned(arg.get("value"), 2**64 - 1, f"{pointer}/value")
    value_two = _unsigned(arg.get("valueTwo", 0), 2**64 - 1, f"{pointer}/valueTwo")
    return index, pack("=IIQQ", index, operator, value, value_two)


def _rule(action: int, name_count: int, checks: Sequence[bytes]) -> bytes:
    return pack("=IIII144s", action, name_count, len(checks), 0, b"".join(checks))


def _compile(
    default: int, archs: Sequence[int], rules: Sequence[bytes], names: Sequence[bytes], origins: Sequence[int]
) -> bytes:
    ffi, lib = _extension().ffi, _extension().lib
    rule_memory = ffi.from_buffer("struct pyoci_rule[]", b"".join(rules))
    name_memory = ffi.new("char[]", b"\0".join(names))
    arch_memory = ffi.new("uint32_t[]", archs)
    profile = ffi.new("struct pyoci_profile *")
    profile.default_action = default
    profile.arch_count = len(archs)
    profile.archs = arch_memory
    profile.rule_count = len(rules)
    profile.rules = rule_memory
    profile.names = name_memory
    capacity = MAX_INSTRUCTIONS * INSTRUCTION_SIZE
    bpf = ffi.new("unsigned char[]", capacity)
    failure = ffi.new("struct pyoci_failure *")
    result: int = lib.pyoci_compile(profile, bpf, capacity, failure)
    if result < 0:
        _refused(-result, failure.arch, failure.rule, failure.name, origins)
    return bytes(ffi.buffer(bpf, result))


def _refused(errno: int, arch: int, rule: int, name: int, origins: Sequence[int]) -> NoReturn:
    """Say what libseccomp did not like; the indices are those of struct pyoci_failure."""
    if errno == E2BIG:
        _too_long()
    reason = f"libseccomp {'.'.join(map(str, library_version()))}: {strerror(errno)}"
    if arch >= 0:
        _invalid(f"{SECCOMP}/architectures", f"these cannot be combined with the native one in one filter ({reason})")
    if rule >= 0:
        _invalid(f"{SECCOMP}/syscalls/{origins[rule]}/names/{name}", f"the rule cannot be added ({reason})")
    if errno == EINVAL:
        _invalid(f"{SECCOMP}/defaultAction", f"not supported here ({reason})")
    raise PyociError(f"{SECCOMP}: cannot compile the profile ({reason})")


def _too_long() -> NoReturn:
    _invalid(SECCOMP, f"the filter has more than {MAX_INSTRUCTIONS} BPF instructions, the most the kernel takes")


def _needs_prologue(default: int) -> bool:
    """Not if unlisted system calls run, are their tracer's to answer, or get ENOSYS anyway."""
    harmless = (_ACTIONS["SCMP_ACT_ALLOW"], _ACTIONS["SCMP_ACT_LOG"], _ACTIONS["SCMP_ACT_ERRNO"] | ENOSYS)
    return default not in harmless and default & ~_MAX_TRACE_DATA != _ACTIONS["SCMP_ACT_TRACE"]


def _prologue(archs: Iterable[int], names: Iterable[bytes]) -> bytes:
    ffi, lib = _extension().ffi, _extension().lib
    distinct = list(names)
    memory = ffi.new("char[]", b"\0".join(distinct))
    return enosys_prologue({arch: lib.pyoci_newest(arch, memory, len(distinct)) for arch in archs})
