"""process.terminal, process.consoleSize."""

from __future__ import annotations

from oci_runtime._shim import lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.plan.context import Context
    from oci_runtime.plan.operations import Plan
    from oci_runtime.spec.types import Process


def plan_terminal(plan: Plan, process: Process, context: Context, *, bind_console: bool) -> None:
    """A session of its own, with a terminal whose other end goes to the console socket or to the runtime."""
    if not process.get("terminal"):
        plan.add(lib.OP_NEW_SESSION)
        return
    size = process.get("consoleSize", {})
    target = context.console_socket if context.console_socket else -1
    uid = process.get("user", {}).get("uid", 0)
    numbers = (target, size.get("height", 0), size.get("width", 0), int(bind_console), uid)
    plan.add(lib.OP_CONSOLE, "/process/terminal", (), numbers)
