"""What init reports, in words: which operation, on whose behalf in config.json, and the kernel's answer."""

from __future__ import annotations

from errno import (
    EACCES,
    EAGAIN,
    EINVAL,
    EISDIR,
    ELOOP,
    ENODEV,
    ENOENT,
    ENOEXEC,
    ENOMEM,
    ENOTDIR,
    EPERM,
    EPROTO,
    ETIMEDOUT,
)
from posix import strerror

from oci_runtime._shim import lib
from oci_runtime.errors import PyociError, SystemCallError
from oci_runtime.plan.operations import Operation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.linux.conversation import Report
    from oci_runtime.plan.operations import Plan

_VERBS = {
    lib.OP_TIME_NAMESPACE: "cannot set up the time namespace",
    lib.OP_CGROUP_NAMESPACE: "cannot make the cgroup namespace",
    lib.OP_LOOPBACK_UP: "cannot bring up the loopback device",
    lib.OP_HOSTNAME: "cannot set the hostname {s0}",
    lib.OP_DOMAINNAME: "cannot set the domainname {s0}",
    lib.OP_SYSCTL: "cannot write {s1} to /proc/sys/{path}",
    lib.OP_HOST_PROPAGATION: "cannot change the propagation of the mounts of the host's copy",
    lib.OP_ROOTFS: "cannot mount the root filesystem",
    lib.OP_MOUNT: "cannot mount {s0}{from} on {s2}",
    lib.OP_OPEN_TREE: "cannot open {path}",
    lib.OP_BIND: "cannot mount {s0} on {s2}",
    lib.OP_MOUNT_ATTRIBUTES: "cannot change the mount at {s2}",
    lib.OP_RECONFIGURE: "cannot change the filesystem at {s2}",
    lib.OP_MASKED_PATH: "cannot mask {s0}",
    lib.OP_READONLY_PATH: "cannot make {s0} read-only",
    lib.OP_DEVICE: "cannot make the device {s0}",
    lib.OP_DEVICE_NODES: "cannot use the devices that the runtime has made",
    lib.OP_BIND_DEVICE: "cannot bind the device {s0}",
    lib.OP_SYMLINK: "cannot make the link {s1}",
    lib.OP_DIRECTORY: "cannot make the directory {s0}",
    lib.OP_CONSOLE: "cannot set up the terminal",
    lib.OP_PIVOT_ROOT: "pivot_root",
    lib.OP_MOVE_ROOT: "cannot change the root",
    lib.OP_CHROOT: "chroot",
    lib.OP_NEW_SESSION: "setsid",
    lib.OP_SESSION_KEYRING: "cannot join a session keyring",
    lib.OP_LSM_LABEL: "cannot set the label {s1}",
    lib.OP_SCHEDULER: "sched_setattr",
    lib.OP_IO_PRIORITY: "ioprio_set",
    lib.OP_PERSONALITY: "personality",
    lib.OP_MEMORY_POLICY: "set_mempolicy",
    lib.OP_CPU_AFFINITY: "sched_setaffinity",
    lib.OP_SYNC: "the runtime did not answer",
    lib.OP_HOOK_FILES: "cannot make the files that hooks read and write",
    lib.OP_HOOKS_RAN: "cannot tell that the startContainer hooks have run",
    lib.OP_START_CHANNEL: "cannot make the sockets for start",
    lib.OP_WAIT_START: "cannot wait for start",
    lib.OP_BOUNDING_SET: "cannot drop capabilities from the bounding set",
    lib.OP_INHERITED: "cannot close what the process is not to inherit",
    lib.OP_OPEN_FILES: "cannot set RLIMIT_NOFILE to {n0}:{n1}",
    lib.OP_USER: "cannot become uid {n0}, gid {n1}",
    lib.OP_CAPABILITIES: "cannot set the capabilities",
    lib.OP_NO_NEW_PRIVILEGES: "cannot set no_new_privs",
    lib.OP_SECCOMP: "cannot load the seccomp filter",
    lib.OP_WORKING_DIRECTORY: "chdir to cwd ({s0}) set in config.json failed",
}


_MOUNT_NAMESPACES = {
    "mqueue": "a user namespace can mount one only for an ipc namespace of its own; else bind /dev/mqueue",
    "proc": "a user namespace can mount one only for a pid namespace of its own, with all of it seen; else bind /proc",
    "sysfs": "a user namespace can mount one only for a network namespace of its own; else bind /sys",
}


_LSM_ERRORS = {
    ("/process/apparmorProfile", EINVAL): " (AppArmor is not enabled on this machine)",
    ("/process/apparmorProfile", ENOENT): " (no profile of that name is loaded: apparmor_parser(8))",
    ("/process/selinuxLabel", EINVAL): " (SELinux is not enabled on this machine, or its policy has no such label)",
}


_EXECUTION_HINTS = {
    EAGAIN: " (its user may have no more processes: RLIMIT_NPROC)",
    ENOMEM: " (RLIMIT_AS, RLIMIT_DATA or RLIMIT_STACK in /process/rlimits may be too low for it)",
}

# of hook.c
_NOT_EXECUTED = "cannot execute: errno "
FILTERED_CALLS = (
    "a filter must allow what starts a hook: clone, dup3, execve, lseek, wait4, write, and ppoll for a timeout"
)


class HookError(PyociError):
    """A hook in the container failed."""


def operation_failure(report: Report, plan: Plan | None) -> PyociError:
    """The error for a REPORT_FAILED. `plan` is the one that init was given."""
    detail = f" ({' '.join(report.text.split())})" if report.text.strip() else ""
    if plan is None or report.op >= len(plan.operations):
        return SystemCallError(f"init failed{detail}", report.value)
    operation = plan.operations[report.op]
    if operation.code == lib.OP_SESSION_KEYRING and detail:
        detail, operation = "", Operation(lib.OP_LSM_LABEL, "/process/selinuxLabel", (None, operation.s[1]), ())
    if operation.code == lib.OP_FIND_EXECUTABLE:
        return _not_found(str(operation.s[0]), report.value, detail)
    if operation.code == lib.OP_EXEC:
        return _not_executed(operation, report.value, detail)
    if operation.code == lib.OP_HOOK:
        return _hook_failed(operation, report.value, " ".join(report.text.split()))
    return SystemCallError(
        _describe(operation) + (detail or _hint(operation, report.value) or _mask_over(operation, plan)),
        report.value,
        operation.pointer,
    )


def _hint(operation: Operation, errno: int) -> str:
    """What makes the difference where the kernel's answer says little."""
    if operation.code == lib.OP_LSM_LABEL:
        return _LSM_ERRORS.get((operation.pointer, errno), "")
    if operation.code == lib.OP_USER and errno == EINVAL:
        return " (the user namespace has no such user, or group, or one of the additionalGids: uid_map, gid_map)"
    if operation.code == lib.OP_CONSOLE and errno in (ENOENT, ENOTDIR, ENODEV, ELOOP):
        return " (it needs /dev/pts/ptmx, of a mount of type devpts on /dev/pts)"
    if operation.code == lib.OP_MOUNT and errno == ENODEV:
        return " (/proc/filesystems lists the types that the kernel has)"
    if errno != EPERM:
        return ""
    if operation.code == lib.OP_BIND:
        return " (flags that the host has set are locked for a user namespace: mount_namespaces(7))"
    if operation.code == lib.OP_USER and operation.s[0]:
        return " (setgroups is denied in the user namespace, so there can be no additionalGids: user_namespaces(7))"
    if operation.code == lib.OP_MOUNT and operation.s[0] in _MOUNT_NAMESPACES:
        return f" ({_MOUNT_NAMESPACES[str(operation.s[0])]})"
    return ""


def _mask_over(operation: Operation, plan: Plan) -> str:
    """That the working directory is not there because it is masked."""
    if operation.code != lib.OP_WORKING_DIRECTORY:
        return ""
    for other in plan.operations:
        if other.code == lib.OP_MASKED_PATH and (str(operation.s[0]) + "/").startswith(str(other.s[0]) + "/"):
            return f" (it is hidden by {other.pointer}, {other.s[0]!s})"
    return ""


def _describe(operation: Operation) -> str:
    words = {f"s{i}": repr(text) for i, text in enumerate(operation.s)}
    words.update({f"n{i}": str(number) for i, number in enumerate(operation.n)})
    words["path"] = str(operation.s[0]) if operation.s else ""
    words["from"] = _source(operation)
    return _VERBS.get(operation.code, f"operation {operation.code} failed").format(**words)


def _source(operation: Operation) -> str:
    """What a mount is of, if its type does not say it."""
    if operation.code == lib.OP_MOUNT:
        source = str(operation.s[1])
        return f" of {source!r}" if source[:1] == "/" else ""
    return ""


def _not_found(name: str, errno: int, detail: str) -> PyociError:
    """The words are those of runc, by which engines tell exit codes 126 and 127."""
    pointer = "(/process/args/0)"
    if errno == ENOENT and "/" not in name:
        return PyociError(f'exec: "{name}": executable file not found in $PATH {pointer}')
    if errno in (ENOENT, ENOTDIR):
        return PyociError(f'exec: "{name}": stat {name}: {strerror(errno).lower()}{detail} {pointer}')
    if errno == EISDIR:
        return PyociError(f'exec: "{name}": is a directory: permission denied {pointer}')
    if errno == EACCES:
        return PyociError(f'exec: "{name}": permission denied{detail} {pointer}')
    return SystemCallError(f'exec: "{name}"{detail}', errno, "/process/args/0")


def _not_executed(operation: Operation, errno: int, detail: str) -> PyociError:
    arguments = operation.s[1]
    name = arguments[0] if isinstance(arguments, tuple) else "?"
    what = "exec format error" if errno == ENOEXEC else strerror(errno).lower()
    detail = detail or _EXECUTION_HINTS.get(errno, "")
    return PyociError(f'exec: "{name}": {what}{detail} ({operation.pointer}/0)')


def _hook_failed(operation: Operation, errno: int, text: str) -> PyociError:
    path, kind = str(operation.s[0]), str(operation.s[3])
    if errno == ETIMEDOUT:
        return HookError(
            f"{kind} hook {path}: still running after its timeout of {operation.n[2]} s ({operation.pointer})"
        )
    return HookError(f"{kind} hook {path} failed: {_why_hook_failed(kind, errno, text)} ({operation.pointer})")


def _why_hook_failed(kind: str, errno: int, text: str) -> str:
    """`text`: what the hook wrote and how it ended; with another error than EPROTO the call of init's that failed."""
    if errno == EPROTO:
        number = text[len(_NOT_EXECUTED) :].split(" ")[0] if text.startswith(_NOT_EXECUTED) else ""
        return f"cannot execute it: {strerror(int(number))}" if number.isdecimal() else text
    if errno == EAGAIN:
        return "its container may have no more processes (/linux/resources/pids/limit)"
    hint = ""
    if kind == "startContainer" and errno != ENOMEM:
        hint = "; " + FILTERED_CALLS
    return f"{text}: {strerror(errno)}{hint}" if text else strerror(errno)


def ended_in_hooks() -> HookError:
    """init is gone, and has not told that the startContainer hooks have run."""
    return HookError(
        "init ended before the startContainer hooks had run; was it killed, or by the seccomp filter? "
        f"{FILTERED_CALLS} (/hooks/startContainer)"
    )
