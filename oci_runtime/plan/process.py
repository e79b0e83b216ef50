"""process: args, env, cwd, and the order in which the process gets its identity and loses privileges."""

from __future__ import annotations

from _struct import pack

from oci_runtime._shim import lib
from oci_runtime.plan.capabilities import plan_bounding_set, plan_capabilities
from oci_runtime.plan.user import plan_user

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.plan.context import Context
    from oci_runtime.plan.operations import Plan
    from oci_runtime.spec.types import Linux, Process


OPEN_FILES_OF_INIT = 64
"""Descriptors that init, which has three and a handful, can do with."""


def plan_linux_process(plan: Plan, linux: Linux) -> None:
    """What `linux` says of every process of the container: linux.personality, linux.memoryPolicy."""
    if "personality" in linux:
        from oci_runtime.plan.personality import plan_personality

        plan_personality(plan, linux)
    if "memoryPolicy" in linux:
        from oci_runtime.plan.memory_policy import plan_memory_policy

        plan_memory_policy(plan, linux)


def plan_preparation(plan: Plan, process: Process, context: Context) -> None:
    """What can be done, and can fail, before the process is told to start."""
    if context.keyring:
        plan.add(lib.OP_SESSION_KEYRING, "", (context.keyring, process.get("selinuxLabel") or None))
    if "scheduler" in process or "ioPriority" in process:
        from oci_runtime.plan.scheduler import plan_scheduler

        plan_scheduler(plan, process)
    path = ""
    for variable in process.get("env", ()):
        if variable.startswith("PATH="):
            path = variable[5:]
    plan.add(lib.OP_FIND_EXECUTABLE, "/process/args/0", (process["args"][0], path, process["cwd"]))


def plan_process(plan: Plan, process: Process, context: Context) -> None:
    """The last steps but plan_exec(), in an order that each of them needs: seccomp without noNewPrivileges needs
    CAP_SYS_ADMIN, the working directory may need root's rights or the user's, and the filter binds whatever comes
    after it."""
    if process.get("apparmorProfile") or process.get("selinuxLabel"):
        from oci_runtime.plan.lsm import plan_lsm_labels

        plan_lsm_labels(plan, process)
    cwd = process["cwd"]
    plan.add(lib.OP_WORKING_DIRECTORY, "/process/cwd", (cwd,), (1,))
    plan_bounding_set(plan, process, context)
    plan_inherited(plan, process, context)
    plan_open_files(plan, process, context)
    no_new_privileges = process.get("noNewPrivileges", False)
    if context.seccomp and not no_new_privileges:
        _plan_seccomp(plan, context)
    plan_user(plan, process, context)
    plan_capabilities(plan, process, context)
    plan.add(lib.OP_WORKING_DIRECTORY, "/process/cwd", (cwd,))
    if no_new_privileges:
        plan.add(lib.OP_NO_NEW_PRIVILEGES, "/process/noNewPrivileges")
    if context.seccomp and no_new_privileges:
        _plan_seccomp(plan, context)


def plan_inherited(plan: Plan, process: Process, context: Context) -> None:
    """Standard streams, descriptors, umask; and HOME, where env has none or, as with runc, an empty one."""
    user = process.get("user", {})
    uid = user.get("uid", 0)
    home = uid
    for variable in process.get("env", ()):
        if variable.startswith("HOME="):
            home = uid if variable == "HOME=" else -1
    descriptors = pack(f"={len(context.preserved)}I", *context.preserved)
    numbers = (uid, user.get("umask", -1), len(context.preserved), home)
    plan.add(lib.OP_INHERITED, "/process/user", (descriptors,), numbers)


def plan_open_files(plan: Plan, process: Process, context: Context) -> None:
    """RLIMIT_NOFILE, where init could not work with it: the runtime sets the other limits, before `start`."""
    for i, rlimit in enumerate(process.get("rlimits", ())):
        if rlimit["type"] == "RLIMIT_NOFILE" and rlimit["soft"] < OPEN_FILES_OF_INIT:
            # as int64, which a hard limit of infinity is -1 in
            hard = rlimit["hard"] if rlimit["hard"] < 1 << 63 else rlimit["hard"] - (1 << 64)
            plan.add(lib.OP_OPEN_FILES, f"/process/rlimits/{i}", (), (rlimit["soft"], hard))
    if context.open_files and not any(rlimit["type"] == "RLIMIT_NOFILE" for rlimit in process.get("rlimits", ())):
        plan.add(lib.OP_OPEN_FILES, "", (), context.open_files)


def _plan_seccomp(plan: Plan, context: Context) -> None:
    seccomp = context.seccomp
    assert seccomp
    plan.add(
        lib.OP_SECCOMP,
        "/linux/seccomp",
        (seccomp.filter,),
        (seccomp.size, seccomp.flags, seccomp.notify),
    )


def environment(process: Process) -> tuple[str, ...]:
    """The variables, but for an empty HOME. Of one that is there twice the last counts."""
    env: dict[str, str] = {}
    for variable in process.get("env", ()):
        env[variable.partition("=")[0]] = variable
    if env.get("HOME") == "HOME=":
        del env["HOME"]
    return tuple(env.values())


def plan_exec(plan: Plan, process: Process) -> None:
    """execve(2)."""
    args, variables = tuple(process["args"]), environment(process)
    plan.add(lib.OP_EXEC, "/process/args", (None, args, variables), (len(args), len(variables)))
