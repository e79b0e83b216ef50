"""The state that hooks get on their standard input, and that `state` prints: runtime.md, State."""

from __future__ import annotations

from oci_runtime.state.codec import dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.linux.hooks import Surroundings
    from oci_runtime.plan.operations import Output
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


def surroundings(bundle: str, annotations: dict[str, str]) -> Surroundings:
    """Of a container's hooks: they run in the bundle's directory, those in the container apart."""
    from oci_runtime.linux.hooks import Surroundings

    if not annotations:
        return Surroundings(bundle)
    from oci_runtime.annotations import HOOKS_STDERR, HOOKS_STDOUT

    files = [annotations.get(name, "") for name in (HOOKS_STDOUT, HOOKS_STDERR)]
    return Surroundings(bundle, *(f"{bundle}/{file}" if file and file[0] != "/" else file for file in files))


def hook_output(bundle: str, annotations: dict[str, str]) -> tuple[Output | None, Output | None]:
    """For hooks in the container: the files of their standard output and error, open, where annotations name some."""
    from oci_runtime.linux.hooks import open_output
    from oci_runtime.plan.operations import Output

    around = surroundings(bundle, annotations)
    files = (Output(around.stdout, ""), Output(around.stderr, ""))
    for file, which in zip(files, ("stdout", "stderr"), strict=True):
        if file.path:
            file.fd = open_output(file.path, which)
    out, err = (file if file.path else None for file in files)
    return out, err


def _pid_in_container(record: Record) -> int:
    with open(f"/proc/{record['pid']}/status", encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.startswith("NSpid:"):
                return int(line.split()[-1])
    return record["pid"]
