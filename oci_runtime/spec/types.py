"""The types of config.json (Runtime Specification 1.3.0, common and Linux parts) and of the state document.

Only type checkers read this module; nothing imports it at run time. A document that went through
oci_runtime/spec/document.py has these types: `Required` properties are there, the others may be absent, and none is
null. Integers that were written as 1.0 have become ints.
"""

from __future__ import annotations

from typing import Literal, TypedDict

from typing_extensions import Required

SeccompActionName = Literal[
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_TRAP",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_TRACE",
    "SCMP_ACT_ALLOW",
    "SCMP_ACT_LOG",
    "SCMP_ACT_NOTIFY",
]
SeccompOperator = Literal[
    "SCMP_CMP_NE",
    "SCMP_CMP_LT",
    "SCMP_CMP_LE",
    "SCMP_CMP_EQ",
    "SCMP_CMP_GE",
    "SCMP_CMP_GT",
    "SCMP_CMP_MASKED_EQ",
]
NamespaceType = Literal["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"]
HookName = Literal["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"]
Status = Literal["creating", "created", "running", "stopped"]


class Root(TypedDict, total=False):
    path: Required[str]
    readonly: bool


class ConsoleSize(TypedDict):
    height: int
    width: int


class User(TypedDict, total=False):
    """`uid` and `gid` default to 0, as in every runtime, although config.md calls them REQUIRED."""

    uid: int
    gid: int
    umask: int
    additionalGids: list[int]
    username: str


class Capabilities(TypedDict, total=False):
    bounding: list[str]
    effective: list[str]
    inheritable: list[str]
    permitted: list[str]
    ambient: list[str]


class Rlimit(TypedDict):
    type: str
    soft: int
    hard: int


class Scheduler(TypedDict, total=False):
    """`runtime`, `deadline` and `period` are in nanoseconds, see sched_setattr(2)."""

    policy: Required[
        Literal["SCHED_OTHER", "SCHED_BATCH", "SCHED_IDLE", "SCHED_FIFO", "SCHED_RR", "SCHED_DEADLINE", "SCHED_ISO"]
    ]
    nice: int
    priority: int
    flags: list[str]
    runtime: int
    deadline: int
    period: int


IOPriority = TypedDict(
    "IOPriority",
    {"class": Required[Literal["IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE"]], "priority": int},
    total=False,
)


class ExecCPUAffinity(TypedDict, total=False):
    """Lists of CPUs such as 0-3,7."""

    initial: str
    final: str


class Process(TypedDict, total=False):
    cwd: Required[str]
    args: Required[list[str]]
    env: list[str]
    terminal: bool
    consoleSize: ConsoleSize
    user: User
    capabilities: Capabilities
    rlimits: list[Rlimit]
    noNewPrivileges: bool
    apparmorProfile: str
    selinuxLabel: str
    oomScoreAdj: int
    scheduler: Scheduler
    ioPriority: IOPriority
    execCPUAffinity: ExecCPUAffinity


class IDMapping(TypedDict):
    containerID: int
    hostID: int
    size: int


class Mount(TypedDict, total=False):
    """`destination` may be relative, which means relative to / (config.md, Mounts)."""

    destination: Required[str]
    type: str
    source: str
    options: list[str]
    uidMappings: list[IDMapping]
    gidMappings: list[IDMapping]


class Hook(TypedDict, total=False):
    """`timeout` is in seconds; `args` includes argv[0] and defaults to [path]."""

    path: Required[str]
    args: list[str]
    env: list[str]
    timeout: int


class Hooks(TypedDict, total=False):
    prestart: list[Hook]
    createRuntime: list[Hook]
    createContainer: list[Hook]
    startContainer: list[Hook]
    poststart: list[Hook]
    poststop: list[Hook]


class Namespace(TypedDict, total=False):
    """An empty `path` means what an absent one means: a new namespace."""

    type: Required[NamespaceType]
    path: str


class TimeOffset(TypedDict, total=False):
    secs: int
    nanosecs: int


class TimeOffsets(TypedDict, total=False):
    boottime: TimeOffset
    monotonic: TimeOffset


class Device(TypedDict, total=False):
    """`major` and `minor` are there unless `type` is p; `fileMode` may carry the S_IFMT bits, to be masked."""

    type: Required[Literal["b", "c", "p", "u"]]
    path: Required[str]
    major: int
    minor: int
    fileMode: int
    uid: int
    gid: int


class NetDevice(TypedDict, total=False):
    name: str


class DeviceRule(TypedDict, total=False):
    """`type` is a, b or c; an absent one means a; an absent `major` or `minor`, or -1, means all."""

    allow: Required[bool]
    type: str
    major: int
    minor: int
    access: str


class Memory(TypedDict, total=False):
    """Bytes; -1 means unlimited; `swap` is memory and swap together."""

    limit: int
    reservation: int
    swap: int
    kernel: int
    kernelTCP: int
    swappiness: int
    disableOOMKiller: bool
    useHierarchy: bool
    checkBeforeUpdate: bool


class CPU(TypedDict, total=False):
    """Times in microseconds."""

    shares: int
    quota: int
    burst: int
    period: int
    realtimeRuntime: int
    realtimePeriod: int
    cpus: str
    mems: str
    idle: int


class Pids(TypedDict, total=False):
    limit: int


class WeightDevice(TypedDict, total=False):
    major: Required[int]
    minor: Required[int]
    weight: int
    leafWeight: int


class ThrottleDevice(TypedDict, total=False):
    major: Required[int]
    minor: Required[int]
    rate: int


class BlockIO(TypedDict, total=False):
    weight: int
    leafWeight: int
    weightDevice: list[WeightDevice]
    throttleReadBpsDevice: list[ThrottleDevice]
    throttleWriteBpsDevice: list[ThrottleDevice]
    throttleReadIOPSDevice: list[ThrottleDevice]
    throttleWriteIOPSDevice: list[ThrottleDevice]


class HugepageLimit(TypedDict):
    pageSize: str
    limit: int


class InterfacePriority(TypedDict):
    name: str
    priority: int


class Network(TypedDict, total=False):
    classID: int
    priorities: list[InterfacePriority]


class Rdma(TypedDict, total=False):
    hcaHandles: int
    hcaObjects: int


class Resources(TypedDict, total=False):
    devices: list[DeviceRule]
    memory: Memory
    cpu: CPU
    pids: Pids
    blockIO: BlockIO
    hugepageLimits: list[HugepageLimit]
    network: Network
    rdma: dict[str, Rdma]
    unified: dict[str, str]


class SyscallArg(TypedDict, total=False):
    index: Required[int]
    value: Required[int]
    valueTwo: int
    op: Required[SeccompOperator]


class Syscall(TypedDict, total=False):
    names: Required[list[str]]
    action: Required[SeccompActionName]
    errnoRet: int
    args: list[SyscallArg]


class Seccomp(TypedDict, total=False):
    defaultAction: Required[SeccompActionName]
    defaultErrnoRet: int
    architectures: list[str]
    flags: list[str]
    listenerPath: str
    listenerMetadata: str
    syscalls: list[Syscall]


class IntelRdt(TypedDict, total=False):
    closID: str
    schemata: list[str]
    l3CacheSchema: str
    memBwSchema: str
    enableMonitoring: bool


class MemoryPolicy(TypedDict, total=False):
    mode: Required[str]
    nodes: str
    flags: list[str]


class Personality(TypedDict, total=False):
    domain: Required[Literal["LINUX", "LINUX32"]]
    flags: list[str]


class Linux(TypedDict, total=False):
    namespaces: list[Namespace]
    uidMappings: list[IDMapping]
    gidMappings: list[IDMapping]
    timeOffsets: TimeOffsets
    devices: list[Device]
    netDevices: dict[str, NetDevice]
    cgroupsPath: str
    resources: Resources
    rootfsPropagation: str
    seccomp: Seccomp
    sysctl: dict[str, str]
    maskedPaths: list[str]
    readonlyPaths: list[str]
    mountLabel: str
    intelRdt: IntelRdt
    memoryPolicy: MemoryPolicy
    personality: Personality


class Config(TypedDict, total=False):
    """A valid config.json; document.load_config guarantees `root` and `process` too."""

    ociVersion: Required[str]
    root: Required[Root]
    process: Required[Process]
    hostname: str
    domainname: str
    mounts: list[Mount]
    hooks: Hooks
    annotations: dict[str, str]
    linux: Linux


class State(TypedDict, total=False):
    """What `state` prints and what hooks receive on stdin (runtime.md, State)."""

    ociVersion: Required[str]
    id: Required[str]
    status: Required[Status]
    pid: int
    bundle: Required[str]
    annotations: dict[str, str]


class ContainerProcessState(TypedDict, total=False):
    """What a seccomp agent receives with the descriptors named in `fds` (config-linux.md)."""

    ociVersion: Required[str]
    fds: list[str]
    pid: Required[int]
    metadata: str
    state: Required[State]
