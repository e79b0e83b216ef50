"""The state that hooks get on their standard input, and that `state` prints: runtime.md, State."""

from __future__ import annotations

from oci_runtime.state.codec import dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.spec.types import State, Status
    from oci_runtime.state.record import Record

SPEC_VERSION = "1.3.0"


def oci_state(record: Record, status: Status) -> State:
    """The state of a container as the specification has it."""
    state: State = {"ociVersion": SPEC_VERSION, "id": record["id"], "status": status, "bundle": record["bundle"]}
    if status != "stopped":
        state["pid"] = record["pid"]
    if record["annotations"]:
        state["annotations"] = record["annotations"]
    return state


def hook_state(record: Record, status: Status) -> bytes:
    """The same as JSON."""
    return dumps(oci_state(record, status)).encode()


def state_in_container(record: Record, status: Status) -> bytes:
    """The state for hooks that run in the container, with the pid that init has there (runtime.md, State)."""
    return hook_state({**record, "pid": _pid_in_container(record)}, status)


def _pid_in_container(record: Record) -> int:
    with open(f"/proc/{record['pid']}/status", encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.startswith("NSpid:"):
                return int(line.split()[-1])
    return record["pid"]
