"""The rules for `linux.seccomp` (config-linux.md, Seccomp; seccomp(2))."""

from __future__ import annotations

from oci_runtime.errors import Problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.spec.types import Seccomp, SyscallArg

_LARGEST_RETURN = {"SCMP_ACT_ERRNO": 4095, "SCMP_ACT_TRACE": 65535}


def validate_seccomp(seccomp: Seccomp, at: str, problems: list[Problem]) -> None:
    """Append the problems of a seccomp profile."""
    default = seccomp["defaultAction"]
    if default == "SCMP_ACT_NOTIFY":
        problems.append(
            Problem(
                at + "/defaultAction", "cannot be the default, because the runtime's own calls would wait for the agent"
            )
        )
    if "defaultErrnoRet" in seccomp:
        _return_value(default, seccomp["defaultErrnoRet"], at + "/defaultErrnoRet", problems)
    listener = seccomp.get("listenerPath", "")
    if listener and listener[0] != "/":
        problems.append(Problem(at + "/listenerPath", "must be the absolute path of a UNIX socket"))
    if seccomp.get("listenerMetadata") and not listener:
        problems.append(Problem(at + "/listenerMetadata", "must not be set without listenerPath"))
    syscalls = seccomp.get("syscalls", [])
    for i in range(len(syscalls)):
        rule = syscalls[i]
        if rule["action"] == "SCMP_ACT_NOTIFY":
            _notify(rule["names"], f"{at}/syscalls/{i}", listener, problems)
        if "errnoRet" in rule:
            _return_value(rule["action"], rule["errnoRet"], f"{at}/syscalls/{i}/errnoRet", problems)
        if "" in rule["names"]:
            problems.append(
                Problem(f"{at}/syscalls/{i}/names/{rule['names'].index('')}", "must be the name of a system call")
            )
        if rule.get("args"):
            _args(rule["args"], f"{at}/syscalls/{i}/args", problems)


def _return_value(action: str, value: int, at: str, problems: list[Problem]) -> None:
    largest = _LARGEST_RETURN.get(action)
    if largest is None:
        problems.append(Problem(at, f"{action} returns no error; only SCMP_ACT_ERRNO and SCMP_ACT_TRACE take a value"))
    elif value > largest:
        problems.append(Problem(at, f"must be at most {largest} with {action}"))


def _notify(names: list[str], at: str, listener: str, problems: list[Problem]) -> None:
    if not listener:
        problems.append(Problem(at + "/action", "needs /linux/seccomp/listenerPath, the socket of the agent to notify"))
    if "write" in names:
        problems.append(
            Problem(
                f"{at}/names/{names.index('write')}", "cannot be notified, because the runtime itself would wait for it"
            )
        )


def _args(args: list[SyscallArg], at: str, problems: list[Problem]) -> None:
    for i in range(len(args)):
        if args[i]["index"] > 5:
            problems.append(Problem(f"{at}/{i}/index", "must be between 0 and 5, as a system call has six arguments"))
