"""What process `exec` runs: that of a process.json, or the container's own with what the options change."""

from __future__ import annotations

from oci_runtime.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.lifecycle.requests import ExecRequest
    from oci_runtime.spec.types import Config, Process


def process_of(request: ExecRequest, config: Config) -> Process:
    """The process, valid. `--tty` and `--detach` and sockets are the caller's business, but terminal is set here."""
    if request.process:
        from oci_runtime.spec.document import load_process

        given = load_process(request.process, name=request.process)
        # As runc and crun do: a process.json that says nothing of capabilities has the container's.
        if "capabilities" not in given and "capabilities" in config["process"]:
            given["capabilities"] = config["process"]["capabilities"]
        return given
    process: Process = {**config["process"]}
    process["args"] = list(request.args)
    process["terminal"] = request.tty
    process.pop("consoleSize", None)
    if request.cwd:
        if request.cwd[0] != "/":
            raise UsageError(f"--cwd {request.cwd}: must be an absolute path inside the container")
        process["cwd"] = request.cwd
    if request.env:
        process["env"] = [*process.get("env", ()), *request.env]
    if request.apparmor:
        process["apparmorProfile"] = request.apparmor
    if request.process_label:
        process["selinuxLabel"] = request.process_label
    if request.no_new_privs is not None:
        process["noNewPrivileges"] = request.no_new_privs
    _change_user(process, request)
    _add_capabilities(process, request)
    return process


def _change_user(process: Process, request: ExecRequest) -> None:
    user = {**process.get("user", {})}
    if request.user:
        uid, gid = request.user
        user["uid"] = uid
        if gid is not None:
            user["gid"] = gid
    if request.additional_gids:
        user["additionalGids"] = [*process.get("user", {}).get("additionalGids", ()), *request.additional_gids]
    process["user"] = user  # type: ignore[typeddict-item]


def _add_capabilities(process: Process, request: ExecRequest) -> None:
    """--cap: to the sets that runc adds it to, not the inheritable one (CVE-2022-29162). An ambient one must be
    inheritable, so it is made ambient only where config.json names inheritable ones."""
    if not request.caps:
        return
    from oci_runtime.spec.validate_process import CAPABILITIES

    for name in request.caps:
        if name not in CAPABILITIES:
            raise UsageError(f"--cap {name!r}: no such capability; {_suggestion(name)}see capabilities(7)")
    sets = {**process.get("capabilities", {})}
    names = ["bounding", "effective", "permitted"]
    if sets.get("inheritable"):
        names.append("ambient")
    for name in names:
        sets[name] = [*sets.get(name, ()), *request.caps]  # type: ignore[misc]
    process["capabilities"] = sets  # type: ignore[typeddict-item]


def _suggestion(name: str) -> str:
    from difflib import get_close_matches

    from oci_runtime.spec.validate_process import CAPABILITIES

    name = name.upper()
    near = get_close_matches(name if name.startswith("CAP_") else f"CAP_{name}", CAPABILITIES, 1, 0.75)
    return f"did you mean {near[0]}? Else " if near else ""
