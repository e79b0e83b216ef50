"""Id mappings of a user who is not root: his own id alone, or the ranges of subuid(5) by newuidmap(1)."""

from __future__ import annotations

import posix

from oci_runtime.errors import PyociError, SystemCallError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from oci_runtime.spec.types import IDMapping


def map_ids_without_privileges(pid: int, uids: Sequence[IDMapping], gids: Sequence[IDMapping]) -> None:
    """Writes both mappings; the helpers of shadow-utils are asked where the kernel needs privileges."""
    from oci_runtime.linux.user_namespace import mapping_text, write_proc

    if _is_own(uids, posix.geteuid()):
        write_proc(pid, "uid_map", mapping_text(uids), "/linux/uidMappings")
    else:
        _run_helper("newuidmap", pid, uids, "/linux/uidMappings")
    if _is_own(gids, posix.getegid()):
        write_proc(pid, "setgroups", "deny", "/linux/gidMappings")
        write_proc(pid, "gid_map", mapping_text(gids), "/linux/gidMappings")
    else:
        _run_helper("newgidmap", pid, gids, "/linux/gidMappings")


def groups_are_denied(gids: Sequence[IDMapping]) -> bool:
    """Whether map_ids_without_privileges() gives setgroups(2) up."""
    return _is_own(gids, posix.getegid())


def _is_own(mappings: Sequence[IDMapping], own: int) -> bool:
    return len(mappings) == 1 and mappings[0]["size"] == 1 and mappings[0]["hostID"] == own


def _run_helper(name: str, pid: int, mappings: Sequence[IDMapping], pointer: str) -> None:
    arguments = [name, str(pid)]
    for mapping in mappings:
        arguments += [str(mapping["containerID"]), str(mapping["hostID"]), str(mapping["size"])]
    try:
        helper = posix.posix_spawnp(name, arguments, posix.environ)
    except OSError as error:
        raise SystemCallError(f"cannot run {name} (package uidmap)", error.errno or 0, pointer) from error
    status = posix.waitstatus_to_exitcode(posix.waitpid(helper, 0)[1])
    if status:
        raise PyociError(f"{name} refused the mappings ({pointer}): exit status {status}; see subuid(5)")
