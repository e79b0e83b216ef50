"""Changes of process, hooks and what else a program is given."""

from __future__ import annotations

from typing import Any

from differential.draw import strategies as st
from differential.draw.change import Change, Config, entries, section
from differential.draw.strategies import Draw
from differential.places import OUT, OUT_INSIDE, PROBE

_CAPABILITIES = ["CAP_CHOWN", "CAP_KILL", "CAP_SYS_ADMIN", "CAP_SYS_CHROOT", "CAP_MKNOD", "CAP_NET_RAW", "CAP_BPF"]
_SETS = ["bounding", "effective", "permitted", "inheritable", "ambient"]
_ENVIRONMENTS: list[Any] = [
    [],
    None,
    ["PATH=/usr/bin:/bin"],
    ["PATH=", "A=1"],
    ["PATH=/bin", "HOME=/tmp"],
    ["PATH=/bin", "HOME="],
    ["HOME=/a", "HOME=/b", "PATH=/bin"],
    ["PATH=/bin", "PATH=/nowhere", "X=1", "X=2"],
    ["A", "PATH=/bin"],
    ["=x", "PATH=/bin", "B=c=d", "EMPTY="],
    ["PATH=/bin", "HOSTNAME=x", "TERM=dumb", "NOTIFY_SOCKET=/nowhere", "LISTEN_FDS=1", "USER=u"],
    ["PATH=/bin", "UTF8=\u00e4\u2028", "TAB=\t"],
]
_DIRECTORIES = [
    "/",
    "/tmp",
    "/home/alice",
    "/root",
    "/nowhere/below",
    "/relative",
    "/dangling",
    "/etc/passwd",
    "tmp",
    "",
    "/proc",
    "/proc/acpi",
    "/proc/self/fd",
    "/tmp/../mnt",
    "/var/lib/link",
]
_LIMITS = ["NOFILE", "CORE", "NPROC", "STACK", "CPU", "FSIZE", "SIGPENDING", "MSGQUEUE", "RTPRIO", "NICE", "LOCKS"]
_ARGS: list[Any] = [
    ["probe", "wait"],
    ["/bin/sh", "-c", "exit 5"],
    ["sh", "-c", "exit 5"],
    ["/no/such"],
    ["none-such"],
    ["/tmp"],
    ["/words"],
    ["/script"],
    ["/dangling"],
    [""],
    [],
    None,
    ["/probe", ""],
    ["/etc/passwd"],
]


def user(draw: Draw, config: Config) -> None:
    found: dict[str, Any] = {
        "uid": draw(st.sampled_from([0, 1000, 65534, 4242, 4294967294])),
        "gid": draw(st.sampled_from([0, 1000, 50, 4242])),
    }
    if draw(st.booleans()):
        found["additionalGids"] = draw(st.sampled_from([[], [50], [7, 5, 7], [0], list(range(100, 140)), None]))
    if draw(st.booleans()):
        found["umask"] = draw(st.sampled_from([0, 0o22, 0o77, 0o777, None]))
    section(config, "process")["user"] = found


def environment(draw: Draw, config: Config) -> None:
    section(config, "process")["env"] = draw(st.sampled_from(_ENVIRONMENTS))


def directory(draw: Draw, config: Config) -> None:
    section(config, "process")["cwd"] = draw(st.sampled_from(_DIRECTORIES))


def arguments(draw: Draw, config: Config) -> None:
    section(config, "process")["args"] = draw(st.sampled_from(_ARGS))


def capabilities(draw: Draw, config: Config) -> None:
    names = st.lists(st.sampled_from(_CAPABILITIES), unique=True, max_size=4)
    sets = draw(st.lists(st.sampled_from(_SETS), unique=True, max_size=5))
    same = draw(names)
    chosen = {name: same if draw(st.booleans()) else draw(names) for name in sets}
    section(config, "process")["capabilities"] = draw(st.sampled_from([chosen, chosen, chosen, None]))


def no_new_privileges(draw: Draw, config: Config) -> None:
    section(config, "process")["noNewPrivileges"] = draw(st.sampled_from([True, False, None]))


def limits(draw: Draw, config: Config) -> None:
    names = draw(st.lists(st.sampled_from(_LIMITS), unique=True, min_size=1, max_size=3))
    section(config, "process")["rlimits"] = [
        {"type": f"RLIMIT_{name}", "soft": draw(st.sampled_from([64, 100])), "hard": draw(st.sampled_from([100, 1024]))}
        for name in names
    ]


def odd_limits(draw: Draw, config: Config) -> None:
    section(config, "process")["rlimits"] = draw(
        st.sampled_from(
            [
                None,
                [],
                [{"type": "RLIMIT_NOFILE", "soft": 200, "hard": 100}],
                [{"type": "RLIMIT_NOFILE", "soft": 10, "hard": 10}],
                [{"type": "RLIMIT_CORE", "soft": 1, "hard": 1}, {"type": "RLIMIT_CORE", "soft": 0, "hard": 0}],
                [{"type": "RLIMIT_BANANA", "soft": 1, "hard": 1}],
                [{"type": "RLIMIT_CPU", "soft": 18446744073709551615, "hard": 18446744073709551615}],
                [{"type": "NOFILE", "soft": 1, "hard": 1}],
                [{"soft": 1, "hard": 1}],
            ]
        )
    )


def oom_score_adj(draw: Draw, config: Config) -> None:
    section(config, "process")["oomScoreAdj"] = draw(st.sampled_from([0, 100, 1000, 1001, None, 1]))


def labels(draw: Draw, config: Config) -> None:
    name = draw(st.sampled_from(["selinuxLabel", "apparmorProfile"]))
    section(config, "process")[name] = draw(st.sampled_from(["", None, "unconfined"]))


def terminal(draw: Draw, config: Config) -> None:
    process = section(config, "process")
    process["terminal"] = True
    size = draw(st.sampled_from([None, {"height": 33, "width": 99}, {"height": 0, "width": 0}]))
    if size:
        process["consoleSize"] = size


def scheduling(draw: Draw, config: Config) -> None:
    process = section(config, "process")
    if draw(st.booleans()):
        kind = draw(st.sampled_from(["IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE", "IOPRIO_CLASS_RT", "IOPRIO_CLASS_X"]))
        process["ioPriority"] = {"class": kind, "priority": draw(st.sampled_from([0, 4, 7, 8]))}
    else:
        policy = draw(st.sampled_from(["SCHED_OTHER", "SCHED_BATCH", "SCHED_IDLE", "SCHED_FIFO", "SCHED_NO", ""]))
        process["scheduler"] = {"policy": policy, "nice": draw(st.sampled_from([0, 5]))}
        if policy == "SCHED_FIFO":
            process["scheduler"]["priority"] = 3


def hooks(draw: Draw, config: Config) -> None:
    kinds = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"]
    found = section(config, "hooks")
    for kind in draw(st.lists(st.sampled_from(kinds), unique=True, min_size=1, max_size=3)):
        inside = kind == "startContainer"
        if inside:
            entries(config, "mounts").append(
                {"destination": OUT_INSIDE, "type": "bind", "source": str(OUT), "options": ["rbind", "rw"]}
            )
        file = f"{OUT_INSIDE if inside else OUT}/hook-{kind}"
        hook: dict[str, Any] = {
            "path": "/probe" if inside else str(PROBE),
            "args": ["probe", "hook", file, *draw(st.sampled_from([[], [], [], ["fail"]]))],
        }
        environment = draw(st.sampled_from([None, [], ["A=1", "PATH=/bin"], ["HOME="]]))
        if environment is not None:
            hook["env"] = environment
        if draw(st.booleans()):
            hook["timeout"] = 20
        found[kind] = [hook]


def odd_hooks(draw: Draw, config: Config) -> None:
    kind = draw(st.sampled_from(["prestart", "createRuntime", "createContainer", "startContainer", "poststart"]))
    section(config, "hooks")[kind] = draw(
        st.sampled_from(
            [
                [],
                None,
                [{"path": "/no/such/hook"}],
                [{"path": "relative"}],
                [{"path": "/bin/true", "timeout": 0}],
                [{"path": "/bin/true", "timeout": -1}],
                [{"path": "/bin/true", "args": []}],
                [{"path": ""}],
                [{}],
                [{"path": "/bin/false"}, {"path": "/bin/true"}],
            ]
        )
    )


CHANGES: list[Change] = [
    user,
    environment,
    directory,
    arguments,
    capabilities,
    no_new_privileges,
    limits,
    odd_limits,
    oom_score_adj,
    labels,
    terminal,
    scheduling,
    hooks,
    hooks,
    hooks,
    odd_hooks,
]
