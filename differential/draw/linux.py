"""Changes of namespaces, id mappings, names, sysctls, seccomp and the rest of linux."""

from __future__ import annotations

from typing import Any

from differential.draw import strategies as st
from differential.draw.change import Change, Config, entries, section
from differential.draw.strategies import Draw
from differential.places import KEPT

_NAMESPACES = ["pid", "network", "ipc", "uts", "mount", "cgroup", "user", "time"]
_SYSCTLS = {
    "net.ipv4.ip_forward": ["1", "0", "x"],
    "net.ipv4.ping_group_range": ["0 0"],
    "net/ipv4/conf/all/rp_filter": ["1"],
    "kernel.msgmax": ["65536", ""],
    "kernel.shm_rmid_forced": ["1"],
    "fs.mqueue.msg_max": ["12"],
    "kernel.hostname": ["other"],
    "kernel.domainname": ["example.org"],
    "vm.swappiness": ["10"],
    "net.no.such": ["1"],
    "kernel.sem": ["32000 1024000000 500 32000"],
}
_ACTIONS = ["SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_LOG", "SCMP_ACT_NOTHING"]
_RULES: list[dict[str, Any]] = [
    {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 71},
    {"names": ["socket"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 0, "value": 40, "op": "SCMP_CMP_EQ"}]},
    {"names": ["keyctl", "no_such_call"], "action": "SCMP_ACT_ERRNO"},
    {"names": ["personality"], "action": "SCMP_ACT_ERRNO", "errnoRet": 0},
    {"names": ["ptrace"], "action": "SCMP_ACT_ERRNO", "errnoRet": 9999},
    {"names": [], "action": "SCMP_ACT_ERRNO"},
    {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
    {"names": ["chroot"], "action": "SCMP_ACT_ALLOW"},
    {"names": ["getppid"], "action": "SCMP_ACT_BANANA"},
]
_MAPPINGS: list[Any] = [
    [{"containerID": 0, "hostID": 100000, "size": 65536}],
    [{"containerID": 0, "hostID": 100000, "size": 1000}, {"containerID": 1000, "hostID": 201000, "size": 64536}],
    [{"containerID": 0, "hostID": 0, "size": 4294967295}],
    [{"containerID": 0, "hostID": 100000, "size": 1}],
    [{"containerID": 1, "hostID": 100000, "size": 10}],
    [{"containerID": 0, "hostID": 100000, "size": 0}],
    [],
]


def _namespaces(config: Config) -> list[dict[str, Any]]:
    found = entries(section(config, "linux"), "namespaces")
    return [each for each in found if isinstance(each, dict)]


def _set(config: Config, kind: str, **more: str) -> None:
    section(config, "linux")["namespaces"] = [each for each in _namespaces(config) if each.get("type") != kind] + [
        {"type": kind, **more}
    ]


def namespace(draw: Draw, config: Config) -> None:
    """One more, or one less."""
    kind = draw(st.sampled_from(_NAMESPACES))
    if kind == "user":
        user_namespace(draw, config)
    elif any(each.get("type") == kind for each in _namespaces(config)):
        section(config, "linux")["namespaces"] = [each for each in _namespaces(config) if each.get("type") != kind]
    else:
        _set(config, kind)


def joined(draw: Draw, config: Config) -> None:
    kind, name = draw(
        st.sampled_from([("network", "net"), ("ipc", "ipc"), ("uts", "uts"), ("cgroup", "cgroup"), ("network", "ipc")])
    )
    _set(config, kind, path=draw(st.sampled_from([str(KEPT / name), str(KEPT / name), "/no/such/namespace", ""])))


def odd_namespaces(draw: Draw, config: Config) -> None:
    odd: list[Any] = [{"type": "banana"}, {"type": "mount"}, {}, {"type": "pid", "path": "relative"}, {"type": ""}]
    entries(section(config, "linux"), "namespaces").append(draw(st.sampled_from(odd)))


def user_namespace(draw: Draw, config: Config) -> None:
    _set(config, "user")
    mappings = draw(st.sampled_from([_MAPPINGS[0], _MAPPINGS[0], *_MAPPINGS]))
    section(config, "linux")["uidMappings"] = mappings
    section(config, "linux")["gidMappings"] = draw(st.sampled_from([mappings, mappings, mappings, _MAPPINGS[0], []]))


def time_offsets(draw: Draw, config: Config) -> None:
    _set(config, "time")
    section(config, "linux")["timeOffsets"] = draw(
        st.sampled_from(
            [
                {"monotonic": {"secs": 1000, "nanosecs": 5}},
                {"boottime": {"secs": 7200}},
                {},
                None,
                {"monotonic": {"secs": -999999999}},
                {"banana": {"secs": 1}},
            ]
        )
    )


def names(draw: Draw, config: Config) -> None:
    name = draw(st.sampled_from(["hostname", "domainname"]))
    config[name] = draw(st.sampled_from(["box", "", None, "x" * 64, "x" * 65, "with space", "example.org"]))


def sysctl(draw: Draw, config: Config) -> None:
    found = section(config, "linux", "sysctl")
    for name in draw(st.lists(st.sampled_from(list(_SYSCTLS)), unique=True, min_size=1, max_size=2)):
        found[name] = draw(st.sampled_from(_SYSCTLS[name]))


def seccomp(draw: Draw, config: Config) -> None:
    profile: dict[str, Any] = {
        "defaultAction": draw(st.sampled_from(["SCMP_ACT_ALLOW"] * 4 + _ACTIONS)),
        "syscalls": draw(st.lists(st.sampled_from(_RULES), max_size=3)),
    }
    architectures = draw(st.sampled_from([None, ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"], [], ["SCMP_ARCH_NO"]]))
    if architectures is not None:
        profile["architectures"] = architectures
    flags = draw(
        st.sampled_from([None, None, [], ["SECCOMP_FILTER_FLAG_LOG"], ["SECCOMP_FILTER_FLAG_SPEC_ALLOW"], ["X"]])
    )
    if flags is not None:
        profile["flags"] = flags
    if draw(st.booleans()):
        profile["defaultErrnoRet"] = draw(st.sampled_from([1, 38]))
    section(config, "linux")["seccomp"] = draw(st.sampled_from([profile, profile, profile, None, {}]))


def personality(draw: Draw, config: Config) -> None:
    section(config, "linux")["personality"] = draw(
        st.sampled_from([{"domain": "LINUX"}, {"domain": "LINUX32"}, {"domain": "BSD"}, {}, None])
    )


def notes(draw: Draw, config: Config) -> None:
    config["annotations"] = draw(
        st.sampled_from([{"a.b": "c", "empty": ""}, {}, None, {"": "x"}, {"n": 1}, {"run.oci.no_such": "1"}])
    )


def version(draw: Draw, config: Config) -> None:
    config["ociVersion"] = draw(
        st.sampled_from(["1.0.0", "1.1.0", "1.2.0", "1.3.0", "2.0.0", "0.9", "1.0.2-dev", "", "x"])
    )


CHANGES: list[Change] = [
    namespace,
    namespace,
    namespace,
    joined,
    odd_namespaces,
    user_namespace,
    user_namespace,
    user_namespace,
    time_offsets,
    names,
    sysctl,
    sysctl,
    seccomp,
    seccomp,
    personality,
    notes,
    version,
]
