"""The state that hooks get on their standard input, and that `state` prints: runtime.md, State."""

from __future__ import annotations

from oci_runtime.state.codec import dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.spec.types import State, Status
    from oci_runtime.state.store import Record

SPEC_VERSION = "1.3.0"


def oci_state(record: Record, status: Status) -> State:
    """The state of a container as the specification has it."""
    state: State = {
        "ociVersion": SPEC_VERSION,
        "id": record["id"],
        "status": status,
        "pid": record["pid"],
        "bundle": record["bundle"],
    }
    if record["annotations"]:
        state["annotations"] = record["annotations"]
    return state


def hook_state(record: Record, status: Status) -> bytes:
    """The same as JSON."""
    return dumps(oci_state(record, status)).encode()
