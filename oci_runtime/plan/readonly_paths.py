"""linux.readonlyPaths: each bound over itself, read-only."""

from __future__ import annotations

from oci_runtime._shim import lib
from oci_runtime.paths import clean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.plan.operations import Plan
    from oci_runtime.spec.types import Linux


def plan_readonly_paths(plan: Plan, linux: Linux) -> None:
    """One operation a path; a path that does not exist is no error."""
    for i, path in enumerate(linux.get("readonlyPaths", ())):
        plan.add(lib.OP_READONLY_PATH, f"/linux/readonlyPaths/{i}", (clean(path),))
