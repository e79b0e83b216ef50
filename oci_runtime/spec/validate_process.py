"""The rules for `process`, of config.json and of `exec --process`, that the schema cannot say (config.md, Process)."""

from __future__ import annotations

from oci_runtime.errors import Problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.spec.types import Process, Rlimit

# In the order of their numbers, capabilities(7). Whether the running kernel knows one is not a question of the spec.
CAPABILITIES = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
)

# In the order of their numbers on x86 and ARM, getrlimit(2).
RLIMITS = (
    "RLIMIT_CPU",
    "RLIMIT_FSIZE",
    "RLIMIT_DATA",
    "RLIMIT_STACK",
    "RLIMIT_CORE",
    "RLIMIT_RSS",
    "RLIMIT_NPROC",
    "RLIMIT_NOFILE",
    "RLIMIT_MEMLOCK",
    "RLIMIT_AS",
    "RLIMIT_LOCKS",
    "RLIMIT_SIGPENDING",
    "RLIMIT_MSGQUEUE",
    "RLIMIT_NICE",
    "RLIMIT_RTPRIO",
    "RLIMIT_RTTIME",
)

NO_ID = 0xFFFFFFFF
"""(uid_t) -1, which setresuid(2) and setgroups(2) do not take for an id."""


def validate_env(env: list[str], at: str, problems: list[Problem]) -> None:
    """Append the problems of an environment, of a process or a hook."""
    for i in range(len(env)):
        if env[i].find("=") < 1:
            problems.append(Problem(f"{at}/{i}", "must be NAME=VALUE, with a name that is not empty"))


def validate_process(process: Process, at: str, problems: list[Problem]) -> None:
    """Append the problems of a process; `at` is its pointer, empty for a document of its own."""
    if process["cwd"][:1] != "/":
        problems.append(Problem(at + "/cwd", "must be an absolute path inside the container"))
    _args(process, at, problems)
    validate_env(process.get("env", []), at + "/env", problems)
    if process.get("terminal") and "consoleSize" in process:
        for key, size in (("height", process["consoleSize"]["height"]), ("width", process["consoleSize"]["width"])):
            if size > 65535:
                problems.append(Problem(f"{at}/consoleSize/{key}", "must be at most 65535, as a terminal's size is"))
    _user(process, at, problems)
    if "rlimits" in process:
        _rlimits(process["rlimits"], at + "/rlimits", problems)
    if not -1000 <= process.get("oomScoreAdj", 0) <= 1000:
        problems.append(Problem(at + "/oomScoreAdj", "must be between -1000 and 1000"))
    if "scheduler" in process or "ioPriority" in process or "execCPUAffinity" in process:
        from oci_runtime.spec.validate_scheduling import validate_scheduling

        validate_scheduling(process, at, problems)


def _args(process: Process, at: str, problems: list[Problem]) -> None:
    # Absent is possible here: only on Windows may it stay so, hence the schema does not require it.
    args = process.get("args")
    if not args:
        problems.append(
            Problem(
                at if args is None else at + "/args", 'needs "args" with at least one entry, the program to execute'
            )
        )
    elif not args[0]:
        # The words by which engines know that a command is not there, and give 127 for it.
        problems.append(Problem(at + "/args/0", "must be the program to execute; executable file not found in $PATH"))


def _user(process: Process, at: str, problems: list[Problem]) -> None:
    user = process.get("user", {})
    for key, value in (("uid", user.get("uid", 0)), ("gid", user.get("gid", 0))):
        if value == NO_ID:
            problems.append(Problem(f"{at}/user/{key}", "is not an id; the largest is 4294967294"))
    gids = user.get("additionalGids", ())
    if NO_ID in gids:
        problems.append(
            Problem(f"{at}/user/additionalGids/{gids.index(NO_ID)}", "is not an id; the largest is 4294967294")
        )
    if user.get("umask", 0) > 0o777:
        problems.append(Problem(at + "/user/umask", "must be at most 511, which is octal 777"))


def _rlimits(rlimits: list[Rlimit], at: str, problems: list[Problem]) -> None:
    seen = set()
    for i in range(len(rlimits)):
        rlimit = rlimits[i]
        if rlimit["type"] not in RLIMITS:
            problems.append(Problem(f"{at}/{i}/type", f"must be one of {', '.join(RLIMITS)}"))
        elif rlimit["type"] in seen:
            problems.append(Problem(f"{at}/{i}/type", "occurs twice; there may be one limit of each type"))
        if rlimit["soft"] > rlimit["hard"]:
            problems.append(Problem(f"{at}/{i}/soft", f"must not exceed the hard limit, {rlimit['hard']}"))
        seen.add(rlimit["type"])
