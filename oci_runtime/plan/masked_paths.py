"""linux.maskedPaths: covered by the null device, or by an empty read-only directory."""

from __future__ import annotations

from oci_runtime._shim import lib
from oci_runtime.paths import clean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.plan.context import Context
    from oci_runtime.plan.operations import Plan
    from oci_runtime.spec.types import Linux


def plan_masked_paths(plan: Plan, linux: Linux, context: Context) -> None:
    """One operation a path, however often it is listed; a path that does not exist is no error."""
    option = context.mount_label or None
    places: dict[str, int] = {}
    for i, path in enumerate(linux.get("maskedPaths", ())):
        places.setdefault(clean(path), i)
    for path, i in places.items():
        plan.add(lib.OP_MASKED_PATH, f"/linux/maskedPaths/{i}", (path, option))
