"""The plan of a process that joins a running container: `exec`."""

from __future__ import annotations

from oci_runtime._shim import lib
from oci_runtime.plan.operations import Directory, Plan
from oci_runtime.plan.process import plan_exec, plan_linux_process, plan_preparation, plan_process
from oci_runtime.plan.terminal import plan_terminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.plan.context import Context
    from oci_runtime.spec.types import Linux, Process


def plan_exec_process(process: Process, linux: Linux, context: Context, root: str = "") -> Plan:
    """The operations, in the namespaces of the container. Pure: makes no system call.

    `root` is the container's root directory where it has no mount namespace, into which the process is chrooted.
    """
    plan = Plan()
    if root:
        directory = Directory(root, "")
        plan.needs(directory)
        plan.add(lib.OP_ROOTFS_DIRECTORY, "", (), (directory,))
        plan.add(lib.OP_CHROOT)
    else:
        plan.add(lib.OP_ROOTFS_DIRECTORY, "", (), (-1,))
    plan_terminal(plan, process, context, bind_console=False)
    plan_linux_process(plan, linux)
    plan_preparation(plan, process, context)
    plan.add(lib.OP_SYNC, "", (), (lib.SYNC_READY,))
    plan_process(plan, process, context)
    plan_exec(plan, process)
    return plan
