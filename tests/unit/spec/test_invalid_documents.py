"""Broken documents: each names its place, its value and what would be valid; the expected place is found by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from edits import REMOVE, bundle, edited, place

from oci_runtime.errors import SpecError
from oci_runtime.spec.document import load_config, load_process, load_resources
from oci_runtime.spec.explain import LocatedProblem

NS = "/linux/namespaces"
FIRST_SYSCALL = "/linux/seccomp"


def seccomp(**rule: Any) -> dict[str, Any]:
    syscall = {"names": ["mount"], "action": "SCMP_ACT_ERRNO", **rule}
    return {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [syscall]}


def mount(**members: Any) -> dict[str, Any]:
    return {"destination": "/extra", "type": "tmpfs", "source": "extra", **members}


def mapping(container: int = 0, host: int = 100000, size: int = 65536) -> dict[str, int]:
    return {"containerID": container, "hostID": host, "size": size}


USER_NS = {
    "/linux/namespaces/-": {"type": "user"},
    "/linux/uidMappings": [mapping()],
    "/linux/gidMappings": [mapping()],
}

# edits of minimal.json; the pointer; a snippet of the edited text with ¶ where the problem is; a part of the message.
CASES: list[tuple[dict[str, Any], str, str, str]] = [
    # --- the schema
    ({"/ociVersion": REMOVE}, "", '¶{\n "process"', 'lacks the required property "ociVersion"'),
    ({"/ociVersion": 1}, "/ociVersion", '"ociVersion": ¶1', "is 1: must be a string"),
    ({"/process": []}, "/process", '"process": ¶[]', "must be an object"),
    ({"/process/cwd": REMOVE}, "/process", '"process": ¶{', 'lacks the required property "cwd"'),
    ({"/process/cwd": None}, "/process/cwd", '"cwd": ¶null', "is null: must be a string"),
    ({"/process/args": "sh -c true"}, "/process/args", '"args": ¶"sh', 'is "sh -c true": must be an array'),
    ({"/process/args/-": 7}, "/process/args/1", '"/bin/true",\n   ¶7', "is 7: must be a string"),
    ({"/process/terminal": 0}, "/process/terminal", '"terminal": ¶0', "is 0: must be true or false"),
    ({"/process/user/uid": -1}, "/process/user/uid", '"uid": ¶-1', "is -1: must be between 0 and 4294967295"),
    ({"/process/user/uid": True}, "/process/user/uid", '"uid": ¶true', "is true: must be an integer"),
    ({"/process/user/uid": 0.5}, "/process/user/uid", '"uid": ¶0.5', "is 0.5: must be an integer"),
    ({"/process/user/gid": 2**32}, "/process/user/gid", '"gid": ¶42949', "must be between 0 and 4294967295"),
    ({"/process/oomScoreAdj": "5"}, "/process/oomScoreAdj", '"oomScoreAdj": ¶"5"', "must be an integer"),
    (
        {"/process/rlimits": [{"type": "RLIMIT_NOFILE", "soft": 1}]},
        "/process/rlimits/0",
        '"rlimits": [\n   ¶{',
        'lacks the required property "hard"',
    ),
    (
        {"/process/rlimits": [{"type": "nofile", "soft": 1, "hard": 1}]},
        "/process/rlimits/0/type",
        '¶"nofile"',
        "must be RLIMIT_ and capital letters, such as RLIMIT_NOFILE",
    ),
    (
        {"/process/rlimits": [{"type": "RLIMIT_CPU", "soft": 2**64, "hard": 2}]},
        "/process/rlimits/0/soft",
        '"soft": ¶1844',
        "must be between 0 and 18446744073709551615",
    ),
    (
        {"/process/scheduler": {"policy": "fifo"}},
        "/process/scheduler/policy",
        '"policy": ¶"fifo"',
        "must be one of SCHED_OTHER, SCHED_BATCH",
    ),
    ({"/process/ioPriority": {"priority": 1}}, "/process/ioPriority", '"ioPriority": ¶{', 'property "class"'),
    ({"/root": {}}, "/root", '"root": ¶{}', 'lacks the required property "path"'),
    ({"/mounts": {}}, "/mounts", '"mounts": ¶{}', "must be an array"),
    ({"/mounts/-": {"type": "tmpfs"}}, "/mounts/7", '},\n  ¶{\n   "type"', 'lacks the required property "destination"'),
    ({"/mounts/0/options": "ro"}, "/mounts/0/options", '"options": ¶"ro"', "must be an array"),
    ({"/hooks": {"prestart": [{}]}}, "/hooks/prestart/0", "¶{}", 'lacks the required property "path"'),
    (
        {"/hooks": {"poststop": [{"path": "/x", "timeout": 0}]}},
        "/hooks/poststop/0/timeout",
        '"timeout": ¶0',
        "must be at least 1",
    ),
    ({"/annotations": {"a/b~c": 5}}, "/annotations/a~1b~0c", '"a/b~c": ¶5', "is 5: must be a string"),
    ({f"{NS}/-": {"type": "filesystem"}}, f"{NS}/5/type", '¶"filesystem"', "must be one of cgroup, ipc, mount"),
    (
        {"/linux/rootfsPropagation": "slaved"},
        "/linux/rootfsPropagation",
        '¶"slaved"',
        "must be one of private, rprivate",
    ),
    ({"/linux/devices": [{"type": "x", "path": "/dev/x"}]}, "/linux/devices/0/type", '¶"x"', "one of b, c, p, u"),
    ({"/linux/seccomp": {}}, "/linux/seccomp", '"seccomp": ¶{}', 'lacks the required property "defaultAction"'),
    (
        {"/linux/seccomp": seccomp(action="SCMP_ACT_DENY")},
        "/linux/seccomp/syscalls/0/action",
        '¶"SCMP_ACT_DENY"',
        "must be one of SCMP_ACT_ALLOW",
    ),
    (
        {"/linux/seccomp": seccomp(names=[])},
        "/linux/seccomp/syscalls/0/names",
        '"names": ¶[]',
        "must have at least 1 entry",
    ),
    (
        {"/linux/resources/hugepageLimits": [{"pageSize": "2mb", "limit": 1}]},
        "/linux/resources/hugepageLimits/0/pageSize",
        '¶"2mb"',
        "must be a size in KB, MB or GB",
    ),
    (
        {"/linux/intelRdt": {"memBwSchema": "L3:0"}},
        "/linux/intelRdt/memBwSchema",
        '¶"L3:0"',
        "must be one line that starts with MB:",
    ),
    # --- config.md
    ({"/ociVersion": "1.0"}, "/ociVersion", '¶"1.0"', "must be a version as in SemVer 2.0.0"),
    ({"/ociVersion": "1.02.0"}, "/ociVersion", '¶"1.02.0"', "must be a version as in SemVer 2.0.0"),
    ({"/ociVersion": "2.0.0"}, "/ociVersion", '¶"2.0.0"', "the major version must be 1"),
    ({"/root": REMOVE}, "", '¶{\n "ociVersion"', 'lacks the property "root"'),
    ({"/root/path": ""}, "/root/path", '"path": ¶""', "must be a directory, such as rootfs"),
    ({"/process": REMOVE}, "", '¶{\n "ociVersion"', 'lacks the property "process"'),
    ({"/process/cwd": "tmp"}, "/process/cwd", '"cwd": ¶"tmp"', 'is "tmp": must be an absolute path'),
    ({"/process/cwd": ""}, "/process/cwd", '"cwd": ¶""', "must be an absolute path"),
    ({"/process/args": REMOVE}, "/process", '"process": ¶{', 'needs "args" with at least one entry'),
    ({"/process/args": []}, "/process/args", '"args": ¶[]', "with at least one entry"),
    ({"/process/args": [""]}, "/process/args/0", '"args": [\n   ¶""', "executable file not found in $PATH"),
    ({"/process/env/-": "NOVALUE"}, "/process/env/2", '¶"NOVALUE"', 'is "NOVALUE": must be NAME=VALUE'),
    ({"/process/env/-": "=x"}, "/process/env/2", '¶"=x"', "with a name that is not empty"),
    (
        {"/process/terminal": True, "/process/consoleSize": {"height": 1, "width": 65536}},
        "/process/consoleSize/width",
        '"width": ¶65536',
        "must be at most 65535",
    ),
    ({"/process/user/uid": 2**32 - 1}, "/process/user/uid", '"uid": ¶42949', "is not an id"),
    ({"/process/user/additionalGids": [1, 2**32 - 1]}, "/process/user/additionalGids/1", "¶4294967295", "not an id"),
    ({"/process/user/umask": 512}, "/process/user/umask", '"umask": ¶512', "octal 777"),
    (
        {"/process/rlimits": [{"type": "RLIMIT_WORLD", "soft": 1, "hard": 1}]},
        "/process/rlimits/0/type",
        '¶"RLIMIT_WORLD"',
        "must be one of RLIMIT_CPU, RLIMIT_FSIZE",
    ),
    (
        {
            "/process/rlimits": [
                {"type": "RLIMIT_CPU", "soft": 1, "hard": 1},
                {"soft": 2, "hard": 2, "type": "RLIMIT_CPU"},
            ]
        },
        "/process/rlimits/1/type",
        '"hard": 2,\n    "type": ¶"RLIMIT_CPU"',
        "occurs twice",
    ),
    (
        {"/process/rlimits": [{"type": "RLIMIT_CPU", "soft": 9, "hard": 8}]},
        "/process/rlimits/0/soft",
        '"soft": ¶9',
        "must not exceed the hard limit, 8",
    ),
    ({"/process/oomScoreAdj": 1001}, "/process/oomScoreAdj", "¶1001", "must be between -1000 and 1000"),
    (
        {"/process/scheduler": {"policy": "SCHED_OTHER", "nice": 20}},
        "/process/scheduler/nice",
        '"nice": ¶20',
        "must be between -20 and 19",
    ),
    (
        {"/process/scheduler": {"policy": "SCHED_BATCH", "priority": 1}},
        "/process/scheduler/priority",
        '"priority": ¶1',
        "only SCHED_FIFO and SCHED_RR use it",
    ),
    (
        {"/process/scheduler": {"policy": "SCHED_FIFO"}},
        "/process/scheduler",
        '"scheduler": ¶{',
        "SCHED_FIFO needs a priority between 1 and 99",
    ),
    (
        {"/process/scheduler": {"policy": "SCHED_RR", "priority": 10, "period": 5}},
        "/process/scheduler/period",
        '"period": ¶5',
        "only SCHED_DEADLINE uses it",
    ),
    (
        {"/process/scheduler": {"policy": "SCHED_DEADLINE", "runtime": 9, "deadline": 5}},
        "/process/scheduler",
        '"scheduler": ¶{',
        "0 < runtime <= deadline <= period",
    ),
    ({"/process/scheduler": {"policy": "SCHED_ISO"}}, "/process/scheduler/policy", '¶"SCHED_ISO"', "not implemented"),
    (
        {"/process/ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 8}},
        "/process/ioPriority/priority",
        '"priority": ¶8',
        "must be between 0, the highest, and 7",
    ),
    (
        {"/process/execCPUAffinity": {"final": "3-1"}},
        "/process/execCPUAffinity/final",
        '¶"3-1"',
        "must be a list of CPUs such as 0-3,7",
    ),
    ({"/hooks": {"createRuntime": [{"path": "bin/x"}]}}, "/hooks/createRuntime/0/path", '¶"bin/x"', "absolute path"),
    ({"/annotations": {"": "x"}}, "/annotations/", '"": ¶"x"', "the key of an annotation must not be empty"),
    ({"/hostname": "x" * 65}, "/hostname", '"hostname": ¶"x', "must have at most 64 bytes"),
    ({"/hostname": "ä" * 33}, "/hostname", '"hostname": ¶"ä', "must have at most 64 bytes"),
    ({f"{NS}/3": REMOVE}, "/hostname", '"hostname": ¶"', 'needs a "uts" namespace'),
    ({"/hostname": REMOVE, "/domainname": "d", f"{NS}/3": REMOVE}, "/domainname", '¶"d"', 'needs a "uts" namespace'),
    # --- mounts
    ({"/mounts/-": mount(destination="")}, "/mounts/7/destination", '"destination": ¶""', "must be a path"),
    (
        {"/mounts/-": mount(destination="/proc")},
        "/mounts/7/destination",
        '"destination": ¶"/proc",\n   "type": "tmpfs"',
        'only a mount of type "proc"',
    ),
    (
        {"/mounts/-": mount(destination="/proc/sys")},
        "/mounts/7/destination",
        '"destination": ¶"/proc/sys"',
        "below /proc",
    ),
    (
        {"/mounts/-": mount(destination="/dev/..//proc/./self/", options=["bind"])},
        "/mounts/7/destination",
        '¶"/dev/..//proc/./self/"',
        "must not be below /proc, except for cpuinfo",
    ),
    ({"/mounts/-": mount(destination="proc/1")}, "/mounts/7/destination", '¶"proc/1"', "must not be below /proc"),
    ({"/mounts/-": {"destination": "/x", "options": ["bind"]}}, "/mounts/7", '¶{\n   "destination": "/x"', '"source"'),
    ({"/mounts/-": {"destination": "/x"}}, "/mounts/7", '¶{\n   "destination": "/x"', 'lacks a "type"'),
    (
        {"/mounts/-": mount(options=["idmap"], uidMappings=[mapping()], gidMappings=[mapping()])},
        "/mounts/7",
        '¶{\n   "destination": "/extra"',
        "only a bind mount can be id-mapped",
    ),
    (
        {"/mounts/-": mount(options=["rbind", "ridmap"])},
        "/mounts/7/options",
        '"options": ¶[\n    "rbind"',
        "idmap needs uidMappings and gidMappings",
    ),
    (
        {"/mounts/-": mount(options=["bind", "idmap"], uidMappings=[mapping()])},
        "/mounts/7",
        '¶{\n   "destination": "/extra"',
        "must be given together",
    ),
    # --- namespaces and ids
    ({f"{NS}/-": {"path": "/x", "type": "pid"}}, f"{NS}/5/type", '"path": "/x",\n    "type": ¶"pid"', "occurs twice"),
    ({f"{NS}/-": {"type": "user", "path": "ns"}}, f"{NS}/5/path", '¶"ns"', "must be an absolute path"),
    ({"/linux/uidMappings": [mapping()]}, "/linux/uidMappings", '"uidMappings": ¶[', 'needs a "user" namespace'),
    (
        {f"{NS}/-": {"type": "user"}, "/linux/uidMappings": [mapping()]},
        "/linux",
        '"linux": ¶{',
        'new "user" namespace needs gidMappings',
    ),
    (
        {**USER_NS, "/linux/uidMappings": [mapping(size=0)]},
        "/linux/uidMappings/0/size",
        '"size": ¶0',
        "must be at least 1",
    ),
    (
        {**USER_NS, "/linux/uidMappings": [mapping(), mapping(container=65535, host=1)]},
        "/linux/uidMappings/1/containerID",
        '"containerID": ¶65535',
        "the range overlaps that of /linux/uidMappings/0",
    ),
    (
        {**USER_NS, "/linux/gidMappings": [mapping(), mapping(container=70000, host=165535)]},
        "/linux/gidMappings/1/hostID",
        '"hostID": ¶165535',
        "the range overlaps that of /linux/gidMappings/0",
    ),
    (
        {**USER_NS, "/linux/uidMappings": [mapping(), mapping(70000, 4294967000, 1000)]},
        "/linux/uidMappings/1",
        '¶{\n    "containerID": 70000',
        "reach beyond the largest id",
    ),
    (
        {**USER_NS, "/linux/gidMappings": [mapping(container=1)]},
        "/linux/gidMappings",
        '"gidMappings": ¶[',
        "must map id 0 of the container",
    ),
    ({**USER_NS, "/process/user/uid": 65536}, "/process/user/uid", '"uid": ¶65536', "that /linux/uidMappings maps"),
    (
        {**USER_NS, "/process/user/additionalGids": [0, 99999]},
        "/process/user/additionalGids/1",
        "¶99999",
        "that /linux/gidMappings maps",
    ),
    # --- the rest of linux
    ({f"{NS}/4": REMOVE, "/linux/readonlyPaths": []}, "/linux/maskedPaths", '"maskedPaths": ¶[', '"mount" namespace'),
    ({"/linux/maskedPaths/0": "proc/x"}, "/linux/maskedPaths/0", '¶"proc/x"', "must be an absolute path"),
    ({"/linux/readonlyPaths/1": ""}, "/linux/readonlyPaths/1", '"/proc/bus",\n   ¶""', "must be an absolute path"),
    ({"/linux/sysctl": {"kernel.panic": "1"}}, "/linux/sysctl/kernel.panic", '"kernel.panic": ¶"1"', "change the host"),
    (
        {"/linux/sysctl": {"kernel/panic": "1"}},
        "/linux/sysctl/kernel~1panic",
        '"kernel/panic": ¶"1"',
        "does not belong to a namespace",
    ),
    ({"/linux/sysctl": {"kernel.hostname": "h"}}, "/linux/sysctl/kernel.hostname", '¶"h"', "property /hostname"),
    ({"/linux/sysctl": {"user.x": "1"}}, "/linux/sysctl/user.x", '"user.x": ¶"1"', 'needs a "user" namespace'),
    ({"/linux/sysctl": {"net..x": "1"}}, "/linux/sysctl/net..x", '"net..x": ¶"1"', "must be the name of a sysctl"),
    (
        {"/linux/sysctl": {"net/../x": "1"}},
        "/linux/sysctl/net~1..~1x",
        '"net/../x": ¶"1"',
        "must be the name of a sysctl",
    ),
    (
        {"/linux/sysctl": {"net.ipv4.ip_forward": "1"}, f"{NS}/1": REMOVE},
        "/linux/sysctl/net.ipv4.ip_forward",
        '"net.ipv4.ip_forward": ¶"1"',
        'needs a "network" namespace',
    ),
    (
        {"/linux/sysctl": {"kernel.sem": "1"}, f"{NS}/2": REMOVE},
        "/linux/sysctl/kernel.sem",
        '"kernel.sem": ¶"1"',
        'needs a "ipc" namespace',
    ),
    (
        {"/linux/devices": [{"type": "c", "path": "/dev/x", "minor": 1}]},
        "/linux/devices/0",
        '"devices": [\n   ¶{\n    "type"',
        "needs a major",
    ),
    (
        {"/linux/devices": [{"type": "c", "path": "x", "major": 1, "minor": 1}]},
        "/linux/devices/0/path",
        '"path": ¶"x"',
        "must be the absolute path of a file",
    ),
    (
        {"/linux/devices": [{"type": "b", "path": "/x", "major": 4096, "minor": 1}]},
        "/linux/devices/0/major",
        "¶4096",
        "must be between 0 and 4095",
    ),
    (
        {"/linux/devices": [{"type": "p", "path": "/x"}, {"path": "/x", "type": "c", "major": 1, "minor": 3}]},
        "/linux/devices/1/path",
        '"path": ¶"/x",\n    "type"',
        "is also the path of another device",
    ),
    (
        {"/linux/devices": [{"type": "p", "path": "/x", "fileMode": 65536}]},
        "/linux/devices/0/fileMode",
        '"fileMode": ¶65536',
        "octal 7777",
    ),
    (
        {"/linux/netDevices": {"eth0": {}}, f"{NS}/1": REMOVE},
        "/linux/netDevices",
        '"netDevices": ¶{',
        'needs a "network" namespace',
    ),
    (
        {"/linux/netDevices": {"a/b": {}}},
        "/linux/netDevices/a~1b",
        '"a/b": ¶{}',
        "its key must be the name of a network",
    ),
    (
        {"/linux/netDevices": {"eth0": {"name": "sixteen-letters-"}}},
        "/linux/netDevices/eth0/name",
        '¶"sixteen-letters-"',
        "1 to 15 bytes",
    ),
    (
        {"/linux/netDevices": {"eth0": {"name": "x"}, "x": {}}},
        "/linux/netDevices/x",
        '"x": ¶{}',
        "another device is to be named x too",
    ),
    ({"/linux/timeOffsets": {"boottime": {"secs": 1}}}, "/linux/timeOffsets", '"timeOffsets": ¶{', '"time" namespace'),
    (
        {"/linux/timeOffsets": {"boottime": {"secs": 1}}, f"{NS}/-": {"type": "time", "path": "/run/t"}},
        "/linux/timeOffsets",
        '"timeOffsets": ¶{',
        "cannot be set in a time namespace that exists",
    ),
    (
        {"/linux/timeOffsets": {"realtime": {"secs": 1}}, f"{NS}/-": {"type": "time"}},
        "/linux/timeOffsets/realtime",
        '"realtime": ¶{',
        "must be a clock, boottime or monotonic",
    ),
    (
        {"/linux/timeOffsets": {"monotonic": {"nanosecs": 10**9}}, f"{NS}/-": {"type": "time"}},
        "/linux/timeOffsets/monotonic/nanosecs",
        "¶1000000000",
        "at most 999999999",
    ),
    ({"/linux/intelRdt": {"closID": "a/b"}}, "/linux/intelRdt/closID", '¶"a/b"', "the name of a directory"),
    ({"/linux/intelRdt": {"closID": ".."}}, "/linux/intelRdt/closID", '¶".."', "the name of a directory"),
    ({"/linux/intelRdt": {"schemata": ["a\nb"]}}, "/linux/intelRdt/schemata/0", '¶"a\\nb"', "must be one line"),
    ({"/linux/memoryPolicy": {}}, "/linux/memoryPolicy", '"memoryPolicy": ¶{}', "needs a mode"),
    ({"/linux/memoryPolicy": {"mode": "MPOL_BIND"}}, "/linux/memoryPolicy", '"memoryPolicy": ¶{', "at least one node"),
    (
        {"/linux/memoryPolicy": {"mode": "MPOL_LOCAL", "nodes": "1"}},
        "/linux/memoryPolicy/nodes",
        '"nodes": ¶"1"',
        "must be empty with MPOL_LOCAL",
    ),
    (
        {"/linux/memoryPolicy": {"mode": "MPOL_BIND", "nodes": "a"}},
        "/linux/memoryPolicy/nodes",
        '"nodes": ¶"a"',
        "must be a list of memory nodes",
    ),
    ({"/linux/personality": {}}, "/linux/personality", '"personality": ¶{}', "needs a domain"),
    (
        {"/linux/personality": {"domain": "LINUX", "flags": ["x"]}},
        "/linux/personality/flags",
        '"flags": ¶[',
        "no flags are defined",
    ),
    # --- seccomp
    (
        {"/linux/seccomp": {"defaultAction": "SCMP_ACT_NOTIFY", "listenerPath": "/s"}},
        "/linux/seccomp/defaultAction",
        '¶"SCMP_ACT_NOTIFY"',
        "cannot be the default",
    ),
    (
        {"/linux/seccomp": {"defaultAction": "SCMP_ACT_KILL", "defaultErrnoRet": 1}},
        "/linux/seccomp/defaultErrnoRet",
        '"defaultErrnoRet": ¶1',
        "SCMP_ACT_KILL returns no error",
    ),
    (
        {"/linux/seccomp": seccomp(errnoRet=4096)},
        "/linux/seccomp/syscalls/0/errnoRet",
        "¶4096",
        "must be at most 4095 with SCMP_ACT_ERRNO",
    ),
    (
        {"/linux/seccomp": seccomp(action="SCMP_ACT_NOTIFY")},
        "/linux/seccomp/syscalls/0/action",
        '¶"SCMP_ACT_NOTIFY"',
        "needs /linux/seccomp/listenerPath",
    ),
    (
        {"/linux/seccomp": {**seccomp(action="SCMP_ACT_NOTIFY", names=["write"]), "listenerPath": "/s"}},
        "/linux/seccomp/syscalls/0/names/0",
        '¶"write"',
        "cannot be notified",
    ),
    ({"/linux/seccomp": {**seccomp(), "listenerPath": "s"}}, "/linux/seccomp/listenerPath", '¶"s"', "absolute path"),
    (
        {"/linux/seccomp": {**seccomp(), "listenerMetadata": "m"}},
        "/linux/seccomp/listenerMetadata",
        '¶"m"',
        "must not be set without listenerPath",
    ),
    (
        {"/linux/seccomp": seccomp(names=["a", ""])},
        "/linux/seccomp/syscalls/0/names/1",
        '"a",\n      ¶""',
        "system call",
    ),
    (
        {"/linux/seccomp": seccomp(args=[{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}])},
        "/linux/seccomp/syscalls/0/args/0/index",
        '"index": ¶6',
        "must be between 0 and 5",
    ),
    # --- resources
    (
        {"/linux/resources/devices/0/access": "rwx"},
        "/linux/resources/devices/0/access",
        '¶"rwx"',
        "r for read, w for write and m for mknod",
    ),
    (
        {"/linux/resources/devices/0/type": "p"},
        "/linux/resources/devices/0/type",
        '"type": ¶"p"',
        "a for all, b for block or c for character",
    ),
    (
        {"/linux/resources/devices/0/major": -2},
        "/linux/resources/devices/0/major",
        '"major": ¶-2',
        "must be a device number, or -1",
    ),
    (
        {"/linux/resources/memory": {"limit": 200, "swap": 100}},
        "/linux/resources/memory/swap",
        '"swap": ¶100',
        "must be at least the limit, 200",
    ),
    (
        {"/linux/resources/memory": {"swap": 100}},
        "/linux/resources/memory/swap",
        '"swap": ¶100',
        "needs a limit of the memory",
    ),
    (
        {"/linux/resources/memory": {"limit": -2}},
        "/linux/resources/memory/limit",
        '"limit": ¶-2',
        "or -1 for no limit",
    ),
    (
        {"/linux/resources/memory": {"swappiness": 101}},
        "/linux/resources/memory/swappiness",
        "¶101",
        "must be between 0 and 100",
    ),
    (
        {"/linux/resources/cpu": {"quota": 5, "burst": 6}},
        "/linux/resources/cpu/burst",
        '"burst": ¶6',
        "must not exceed the quota, 5",
    ),
    ({"/linux/resources/cpu": {"idle": 2}}, "/linux/resources/cpu/idle", '"idle": ¶2', "must be 0 or 1"),
    (
        {"/linux/resources/blockIO": {"weight": 9}},
        "/linux/resources/blockIO/weight",
        '"weight": ¶9',
        "must be between 10 and 1000",
    ),
    (
        {"/linux/resources/blockIO": {"weightDevice": [{"major": 8, "minor": 0}]}},
        "/linux/resources/blockIO/weightDevice/0",
        '"weightDevice": [\n     ¶{',
        "must have a weight, a leafWeight or both",
    ),
    (
        {"/linux/resources/network": {"priorities": [{"name": "a b", "priority": 1}]}},
        "/linux/resources/network/priorities/0/name",
        '¶"a b"',
        "must be the name of a network interface",
    ),
    (
        {"/linux/resources/rdma": {"mlx": {}}},
        "/linux/resources/rdma/mlx",
        '"mlx": ¶{}',
        "hcaHandles, hcaObjects or both",
    ),
    (
        {"/linux/resources/unified": {"../memory.max": "1"}},
        "/linux/resources/unified/..~1memory.max",
        '"../memory.max": ¶"1"',
        "must be the name of a file of cgroup v2",
    ),
    # --- strings no kernel can take
    ({"/process/args/-": "a\0b"}, "/process/args/1", '¶"a\\u0000b"', "must not contain a NUL"),
    ({"/process/env/-": "A=\0"}, "/process/env/2", '¶"A=\\u0000"', "must not contain a NUL"),
    ({"/mounts/0/source": "\0"}, "/mounts/0/source", '¶"\\u0000"', "must not contain a NUL"),
    (
        {"/linux/sysctl": {"net.\0x": "1"}},
        "/linux/sysctl/net.\0x",
        '"net.\\u0000x": ¶"1"',
        "its key must not contain a NUL",
    ),
    ({"/hostname": "\ud800"}, "/hostname", '¶"\\ud800"', "half of a surrogate pair"),
    ({"/annotations": {"a": "\udfff"}}, "/annotations/a", '¶"\\udfff"', "half of a surrogate pair"),
]


def dump(document: Any) -> str:
    """With escapes only for what is no character."""
    try:
        text = json.dumps(document, indent=1, ensure_ascii=False)
        text.encode()
        return text
    except UnicodeEncodeError:
        return json.dumps(document, indent=1)


def case_id(case: tuple[dict[str, Any], str, str, str]) -> str:
    return f"{case[1].replace(chr(0), 'NUL')}-{case[3][:30]}"


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_config(case: tuple[dict[str, Any], str, str, str], tmp_path: Path) -> None:
    edits, pointer, snippet, message = case
    text = dump(edited(bundle("minimal"), edits))
    path = tmp_path / "config.json"
    path.write_text(text, "utf-8")
    with pytest.raises(SpecError) as caught:
        load_config(str(path))
    (problem,) = caught.value.problems
    assert isinstance(problem, LocatedProblem)
    line, column = place(text, snippet)
    assert (problem.pointer, problem.line, problem.column) == (pointer, line, column)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{path}:{line}:{column}: {pointer or 'the document'}")
    assert "\n" not in str(caught.value)


def test_several_problems_are_all_shown(tmp_path: Path) -> None:
    """In the order of the file, one a line, below a line that says how many."""
    edits = {"/linux/maskedPaths/0": "x", "/process/cwd": "tmp", "/ociVersion": "3.0.0", "/process/env/0": "PATH"}
    path = tmp_path / "config.json"
    path.write_text(dump(edited(bundle("minimal"), edits)), "utf-8")
    with pytest.raises(SpecError) as caught:
        load_config(str(path))
    lines = str(caught.value).splitlines()
    assert lines[0] == f"{path} has 4 problems"
    assert [line.split(": ")[1].split(" ")[0] for line in lines[1:]] == [
        "/ociVersion",
        "/process/env/0",
        "/process/cwd",
        "/linux/maskedPaths/0",
    ]
    assert [problem.pointer for problem in caught.value.problems] == [line.split(" ")[1] for line in lines[1:]]


def test_several_schema_errors_are_all_shown(tmp_path: Path) -> None:
    edits = {"/process/cwd": 5, "/root/readonly": "yes", "/hostname": False}
    path = tmp_path / "config.json"
    path.write_text(dump(edited(bundle("minimal"), edits)), "utf-8")
    with pytest.raises(SpecError) as caught:
        load_config(str(path))
    assert [problem.pointer for problem in caught.value.problems] == ["/process/cwd", "/root/readonly", "/hostname"]


def test_long_values_are_shortened(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(dump(edited(bundle("minimal"), {"/process/cwd": "x" * 5000})), "utf-8")
    with pytest.raises(SpecError) as caught:
        load_config(str(path))
    assert len(str(caught.value)) < 300
    assert "x…" in str(caught.value)


@pytest.mark.parametrize(
    ("edits", "pointer", "message"),
    [
        ({"/cwd": "x"}, "/cwd", "must be an absolute path"),
        ({"/cwd": REMOVE}, "", 'lacks the required property "cwd"'),
        ({"/args": []}, "/args", "at least one entry"),
        ({"/args": REMOVE}, "", 'needs "args"'),
        ({"/env/0": "A\0=1"}, "/env/0", "must not contain a NUL"),
        ({"/rlimits/0/soft": -1}, "/rlimits/0/soft", "must be between 0"),
    ],
)
def test_process(edits: dict[str, Any], pointer: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "process.json"
    path.write_text(dump(edited(bundle("engine-process"), edits)), "utf-8")
    with pytest.raises(SpecError, match=message) as caught:
        load_process(str(path))
    assert [problem.pointer for problem in caught.value.problems] == [pointer]


@pytest.mark.parametrize(
    ("resources", "pointer", "message"),
    [
        ({"memory": {"limit": "1G"}}, "/memory/limit", "must be an integer"),
        ({"memory": {"limit": 2, "swap": 1}}, "/memory/swap", "must be at least the limit"),
        ({"rdma": {"mlx5_1": {}}}, "/rdma/mlx5_1", "must have hcaHandles"),
        ({"unified": {"a/b": ""}}, "/unified/a~1b", "must be the name of a file"),
        ({"unified": {"a": "\0"}}, "/unified/a", "must not contain a NUL"),
    ],
)
def test_resources(resources: dict[str, Any], pointer: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "resources.json"
    path.write_text(dump(resources), "utf-8")
    with pytest.raises(SpecError, match=message) as caught:
        load_resources(str(path))
    assert [problem.pointer for problem in caught.value.problems] == [pointer]
