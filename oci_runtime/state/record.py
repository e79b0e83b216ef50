"""The record of a container, state.json: what is in it, and the one table of what may be.

All of a record is checked when it is read, so that no command meets a field that it cannot use.
"""

from __future__ import annotations

from oci_runtime.errors import PyociError
from oci_runtime.state.codec import loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypedDict

    from oci_runtime.linux.resctrl import Groups
    from oci_runtime.spec.types import NamespaceType

    class Record(TypedDict):
        """state.json. `start_time` is that of linux/processes.py; `created` is RFC 3339; `owner` a uid;
        `cgroups` and `resctrl` what their managers recorded; `hooks` the kinds that the configuration has; `operations`
        Plan.after_start as JSON, text since it is written and read more often than looked at, '' if that is not known;
        `paused` that `pause` was called; `status` "creating", "created" or "running", which tells how far the
        container's commands got, not whether it lives; `keyring` the name of its session keyring, or '';
        `own_pids` whether its pid namespace is its alone; `start_descriptor` that of init's which `start` takes,
        0 if it connects; `hooks_told` whether init tells when its startContainer hooks have run."""

        version: int
        ociVersion: str
        id: str
        bundle: str
        rootfs: str
        annotations: dict[str, str]
        status: str
        pid: int
        start_time: int
        created: str
        owner: int
        namespaces: list[NamespaceType]
        cgroups: dict[str, Any] | None
        resctrl: Groups | None
        hooks: list[str]
        operations: str
        paused: bool
        rootless: bool
        keyring: str
        own_pids: bool
        start_descriptor: int
        hooks_told: bool


VERSION = 2
# In the first format `operations` was only a number: that of init's operations.
_NUMBER_OF_OPERATIONS = 1
_PID_AT_MOST = 1 << 22  # PID_MAX_LIMIT
_PATH_MAX, _NAME_MAX = 4096, 255
_UID_AT_MOST = (1 << 32) - 2
_KINDS = ("pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time")
_HOOKS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")


class DamagedState(PyociError):
    """A container is there, but what it is cannot be told."""


def parse(data: bytes, path: str, container_id: str) -> Record:
    """The record in the file `path`. DamagedState names the field that is wrong."""
    record = _object(data)
    if record is None:
        raise damaged(path, "it is no JSON object")
    if record.get("version").__class__ is not int:
        raise damaged(path, "/version must be a number")
    if record["version"] == _NUMBER_OF_OPERATIONS:
        _convert(record)
    version = record["version"]
    if version != VERSION:
        raise DamagedState(
            f"{path} has format version {version!r}; this pyoci knows {VERSION} "
            "(`pyoci delete --force` removes the container)"
        )
    for name, (is_valid, valid) in _FIELDS.items():
        if name not in record and name in _LATER:
            record[name] = _LATER[name](record)
        if name not in record or not is_valid(record[name]):
            raise damaged(path, f"/{name} {'must be' if name in record else 'is missing; it is'} {valid}")
    if record["id"] != container_id:
        raise damaged(path, "/id is that of another container")
    return record  # type: ignore[return-value]


def date(nanoseconds: int) -> str:
    """A time since the epoch as `created` has it."""
    from time import gmtime

    year, month, day, hour, minute, second = gmtime(nanoseconds // 10**9)[:6]
    return f"{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanoseconds % 10**9:09}Z"


def damaged(path: str, why: str) -> DamagedState:
    """The error for the file `path`."""
    return DamagedState(f"{path} is damaged: {why}; `pyoci delete --force` removes the container")


def salvage(data: bytes) -> dict[str, Any]:
    """The fields of a damaged record that are as they must be; of its cgroups, those that are."""
    record = _object(data) or {}
    found = {name: record[name] for name, (is_valid, _) in _FIELDS.items() if name in record and is_valid(record[name])}
    cgroups = record.get("cgroups")
    if "cgroups" not in found and cgroups.__class__ is dict and cgroups.get("cgroups").__class__ is list:
        entries = [entry for entry in cgroups["cgroups"] if _is_cgroup(entry)]
        if entries:
            unit = {"driver": "systemd", "unit": cgroups.get("unit")}
            found["cgroups"] = {**(unit if _is_unit(unit["unit"]) else {"driver": "cgroupfs"}), "cgroups": entries}
    return found


def _object(data: bytes) -> dict[str, Any] | None:
    try:
        value = loads(data.decode())
    except (ValueError, StopIteration, RecursionError):
        return None
    return value if value.__class__ is dict else None


def _convert(record: dict[str, Any]) -> None:
    """Makes a record of the first format one of this, as containers outlive an upgrade."""
    if record.get("operations").__class__ is int:  # builds between the two wrote text already
        record["operations"] = ""
    record["version"] = VERSION


def _is_text(value: object) -> bool:
    return value.__class__ is str


def _is_flag(value: object) -> bool:
    return value.__class__ is bool


def _is_path(value: Any) -> bool:
    """Absolute, and one that the kernel could take."""
    return value.__class__ is str and value[:1] == "/" and _is_name(value)


def _is_name(value: str) -> bool:
    if "\0" in value or len(value) >= _PATH_MAX:
        return False
    try:
        return value.isascii() or len(value.encode("utf-8", "surrogateescape")) < _PATH_MAX
    except UnicodeEncodeError:  # half of a surrogate pair, which stands for no byte
        return False


def _is_time(value: Any) -> bool:
    return value.__class__ is str and len(value) == 30 and value.isascii() and value[10] == "T" and value[29] == "Z"


def _are_texts(value: Any) -> bool:
    return value.__class__ is dict and all(text.__class__ is str for text in value.values())


def _are_kinds(value: Any) -> bool:
    return value.__class__ is list and all(kind in _KINDS for kind in value)


def _are_hooks(value: Any) -> bool:
    return value.__class__ is list and all(kind in _HOOKS for kind in value)


def _is_number(value: Any, at_most: int) -> bool:
    return value.__class__ is int and 0 <= value <= at_most


def _are_groups(value: Any) -> bool:
    """resctrl.Groups."""
    if value is None:
        return True
    if value.__class__ is not dict:
        return False
    own = [value.get(name) for name in ("own", "monitoring")]
    return _is_path(value.get("group")) and all(path == "" or _is_path(path) for path in own)


def _are_cgroups(value: Any) -> bool:
    """Manager.to_state() of either driver."""
    if value is None:
        return True
    if value.__class__ is not dict:
        return False
    entries = value.get("cgroups")
    if entries.__class__ is not list or not entries or not all(map(_is_cgroup, entries)):
        return False
    driver = value.get("driver")
    return driver == "cgroupfs" or (driver == "systemd" and _is_unit(value.get("unit")))


def _is_cgroup(value: Any) -> bool:
    """Cgroup.to_state(). Its path is one below the mount."""
    if value.__class__ is not list or len(value) != 5:
        return False
    version, controllers, mount, path, kept = value
    if version.__class__ is not int or version not in (1, 2) or kept.__class__ is not int or kept < 0:
        return False
    if controllers.__class__ is not str or path.__class__ is not str or not _is_path(mount) or not _is_below(mount[1:]):
        return False
    # a v1 hierarchy has a controller or a name
    return (version == 2 or controllers[:1] not in ("", ",")) and _is_below(path)


def _is_below(path: str) -> bool:
    """No part of the path is empty, "." or "..", or longer than a file's name may be."""
    whole = f"/{path}/"
    if not _is_name(path) or "//" in whole or "/./" in whole or "/../" in whole:
        return False
    return len(path) <= _NAME_MAX or all(len(name) <= _NAME_MAX for name in path.split("/"))


def _is_unit(value: Any) -> bool:
    """systemd_unit.Unit.to_state()."""
    if value.__class__ is not dict:
        return False
    texts = [value.get(name) for name in ("name", "slice", "manager")]
    slices = value.get("slices")
    return slices.__class__ is list and all(text.__class__ is str and text.isprintable() for text in (*texts, *slices))


# The fields, each with whether a value can be used, and what those are that can.
_FIELDS = {
    "id": (_is_text, "the container's id"),
    "status": (lambda value: value in ("creating", "created", "running"), "creating, created or running"),
    "pid": (lambda value: _is_number(value, _PID_AT_MOST), f"a number from 0 to {_PID_AT_MOST}"),
    "start_time": (lambda value: _is_number(value, 1 << 63), "a number of clock ticks"),
    "cgroups": (_are_cgroups, "null or the cgroups that were made"),
    "namespaces": (_are_kinds, "a list of kinds of namespaces"),
    "paused": (_is_flag, "true or false"),
    "hooks": (_are_hooks, "a list of kinds of hooks"),
    "bundle": (_is_path, "an absolute path"),
    "rootfs": (_is_path, "an absolute path"),
    "annotations": (_are_texts, "an object of strings"),
    "created": (_is_time, "a time like 2006-01-02T15:04:05.000000000Z"),
    "owner": (lambda value: _is_number(value, _UID_AT_MOST), "a user id"),
    "resctrl": (_are_groups, "null or groups of resctrl"),
    "operations": (_is_text, "a text"),
    "ociVersion": (_is_text, "a text"),
    "rootless": (_is_flag, "true or false"),
    "keyring": (lambda value: value.__class__ is str and _is_name(value), "a name"),
    "own_pids": (_is_flag, "true or false"),
    "start_descriptor": (lambda value: _is_number(value, 1 << 30), "a descriptor"),
    "hooks_told": (_is_flag, "true or false"),
}
# Those that containers of an older pyoci do not have, and what is true of them.
_LATER: dict[str, Callable[[dict[str, Any]], object]] = {
    "keyring": lambda record: f"_ses.{record['id']}",
    "own_pids": lambda record: "pid" in record["namespaces"],
    "start_descriptor": lambda record: 0,
    "hooks_told": lambda record: False,
}
