"""The rules for user namespaces, their id mappings, and id-mapped mounts (user_namespaces(7), config-linux.md)."""

from __future__ import annotations

from oci_runtime.errors import Problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.spec.types import Config, IDMapping, Linux, Mount, Process

MAX_MAPPINGS = 340
"""Lines in a uid_map since Linux 4.15."""


def validate_user_namespace(config: Config, namespaces: dict[str, str], problems: list[Problem]) -> None:
    """Append the problems of a user namespace, and of mappings that lack one."""
    linux = config.get("linux", {})
    before = len(problems)
    for key, mappings in (("uidMappings", linux.get("uidMappings")), ("gidMappings", linux.get("gidMappings"))):
        at = "/linux/" + key
        if mappings and "user" not in namespaces:
            problems.append(Problem(at, 'needs a "user" namespace in /linux/namespaces'))
        elif not mappings and namespaces.get("user") == "":
            problems.append(
                Problem("/linux", f'a new "user" namespace needs {key}, such as the whole range 0 to itself')
            )
        elif mappings:
            known = len(problems)
            _mappings(mappings, at, problems)
            if len(problems) == known and not is_mapped(0, mappings):
                problems.append(Problem(at, "must map id 0 of the container, which sets it up"))
    if len(problems) == before and namespaces.get("user") == "" and "process" in config:
        validate_process_ids(config["process"], "/process", linux, problems)


def validate_process_ids(process: Process, at: str, linux: Linux, problems: list[Problem]) -> None:
    """Append a problem for each id of the process that the mappings of a new user namespace leave out."""
    user = process.get("user", {})
    gids = linux.get("gidMappings", [])
    if not is_mapped(user.get("uid", 0), linux.get("uidMappings", [])):
        problems.append(Problem(at + "/user/uid", "must be an id that /linux/uidMappings maps"))
    if not is_mapped(user.get("gid", 0), gids):
        problems.append(Problem(at + "/user/gid", "must be an id that /linux/gidMappings maps"))
    for i, gid in enumerate(user.get("additionalGids", [])):
        if not is_mapped(gid, gids):
            problems.append(Problem(f"{at}/user/additionalGids/{i}", "must be an id that /linux/gidMappings maps"))


def validate_id_mapped_mount(
    mount: Mount, at: str, bind: bool, namespaces: dict[str, str], linux: Linux, problems: list[Problem]
) -> None:
    """Append the problems of a mount with idmap, ridmap, uidMappings or gidMappings."""
    if not bind:
        problems.append(Problem(at, "only a bind mount can be id-mapped; its options must contain bind or rbind"))
    named = _validate_mappings_in_options(mount, at, linux, problems)
    uids, gids = mount.get("uidMappings"), mount.get("gidMappings")
    if uids is None and gids is None:
        if "user" not in namespaces and not named:
            problems.append(
                Problem(
                    at + "/options", 'idmap needs uidMappings and gidMappings, or a "user" namespace to take them from'
                )
            )
    elif not uids or not gids:
        problems.append(Problem(at, "uidMappings and gidMappings must be given together, each with at least one entry"))
    else:
        _mappings(uids, at + "/uidMappings", problems)
        _mappings(gids, at + "/gidMappings", problems)


def _validate_mappings_in_options(mount: Mount, at: str, linux: Linux, problems: list[Problem]) -> bool:
    """Whether an option has mappings; crun(1)."""
    from oci_runtime.plan.id_mapped_mounts import parse

    named = False
    for i, option in enumerate(mount.get("options", ())):
        kind, equals, text = option.partition("=")
        if kind not in ("idmap", "ridmap") or not equals:
            continue
        named = True
        try:
            found = parse(text, linux.get("uidMappings", ()), linux.get("gidMappings", ()))
        except ValueError as error:
            problems.append(Problem(f"{at}/options/{i}", str(error)))
        else:
            for mappings in found:
                _mappings(mappings, f"{at}/options/{i}", problems)
    return named


def is_mapped(identifier: int, mappings: list[IDMapping]) -> bool:
    """Whether the mappings give an id of the container one of the host."""
    return any(m["containerID"] <= identifier < m["containerID"] + m["size"] for m in mappings)


def _mappings(mappings: list[IDMapping], at: str, problems: list[Problem]) -> None:
    if len(mappings) > MAX_MAPPINGS:
        problems.append(Problem(at, f"must have at most {MAX_MAPPINGS} entries"))
        return
    for i, mapping in enumerate(mappings):
        if not mapping["size"]:
            problems.append(Problem(f"{at}/{i}/size", "must be at least 1"))
        for key, start in (("containerID", mapping["containerID"]), ("hostID", mapping["hostID"])):
            if start + mapping["size"] > 0xFFFFFFFF:
                problems.append(Problem(f"{at}/{i}", f"{key} and size reach beyond the largest id, 4294967294"))
            for j, other in enumerate(mappings[:i]):
                first = other["containerID"] if key == "containerID" else other["hostID"]
                if start < first + other["size"] and first < start + mapping["size"]:
                    problems.append(Problem(f"{at}/{i}/{key}", f"the range overlaps that of {at}/{j}"))
