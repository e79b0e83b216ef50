"""Id mappings by an ordinary user: user_namespaces(7), and newuidmap(1) as far as subuid(5) goes.

His own id alone he may map himself, and then nobody in the namespace may change groups any more (CVE-2014-8989).
"""

from __future__ import annotations

import posix
from errno import EPERM

from oci_runtime.errors import PyociError, SystemCallError
from oci_runtime.linux.user_namespace import mapping_text, write_proc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from oci_runtime.spec.types import IDMapping

# Where the helpers are looked for beside $PATH, which engines may not have set.
DIRECTORIES = ("/usr/bin", "/bin", "/usr/local/bin", "/usr/sbin", "/sbin", "/usr/local/sbin")
_ANSWER_AT_MOST = 1000  # bytes
SIGKILL = 9


def map_ids(pid: int, uids: Sequence[IDMapping], gids: Sequence[IDMapping]) -> None:
    """Writes both mappings of the process; the helpers of shadow-utils are asked where the kernel wants privileges.

    SystemCallError for what the kernel refuses, PyociError for what a helper refuses or when there is none.
    """
    if groups_are_denied(gids):
        write_proc(pid, "setgroups", "deny", "/linux/gidMappings")
    _map(pid, "uid_map", uids, "newuidmap", "/linux/uidMappings")
    _map(pid, "gid_map", gids, "newgidmap", "/linux/gidMappings")


def groups_are_denied(gids: Sequence[IDMapping]) -> bool:
    """Whether map_ids() gives setgroups(2) up: for the mapping that the kernel lets an ordinary user write himself."""
    return len(gids) == 1 and gids[0]["size"] == 1 and gids[0]["hostID"] == posix.getegid()


def _map(pid: int, file: str, mappings: Sequence[IDMapping], helper: str, pointer: str) -> None:
    try:
        write_proc(pid, file, mapping_text(mappings), pointer)
    except SystemCallError as error:
        if error.errno != EPERM:
            raise
        run_helper(helper, pid, mappings, pointer)


def run_helper(name: str, pid: int, mappings: Sequence[IDMapping], pointer: str) -> None:
    """newuidmap or newgidmap. PyociError tells what it says when it refuses."""
    path = find_program(name)
    if not path:
        raise PyociError(
            f"{pointer} has ids that only {name} (package uidmap) could map, which is not in $PATH; "
            "without it your own id is the only one that can be mapped"
        )
    arguments = [path, str(pid)]
    for mapping in mappings:
        arguments += [str(mapping["containerID"]), str(mapping["hostID"]), str(mapping["size"])]
    status, answer = _run(path, arguments, pointer)
    if status:
        raise PyociError(f"{answer or f'{name}: exit status {status}'} ({pointer}); see subuid(5)")


def find_program(name: str) -> str:
    """Its path: the first in the absolute directories of $PATH, then in DIRECTORIES; '' if there is none.

    Never in the current directory, which may be the bundle's.
    """
    path = posix.environ.get(b"PATH", b"").decode("utf-8", "surrogateescape")
    for directory in (*path.split(":"), *DIRECTORIES):
        found = f"{directory}/{name}"
        if directory.startswith("/") and posix.access(found, posix.X_OK):
            return found
    return ""


def _run(path: str, arguments: list[str], pointer: str) -> tuple[int, str]:
    """Exit status, and what it wrote to standard error."""
    read, write = posix.pipe()
    try:
        try:
            # nothing of the environment, as a setuid program needs none
            actions = ((posix.POSIX_SPAWN_DUP2, write, 1), (posix.POSIX_SPAWN_DUP2, write, 2))
            helper = posix.posix_spawn(path, arguments, {}, file_actions=actions)
        except OSError as error:
            raise SystemCallError(f"cannot run {path}", error.errno or 0, pointer) from error
        finally:
            posix.close(write)
        try:
            answer = b""
            while more := posix.read(read, _ANSWER_AT_MOST):
                answer = (answer + more)[:_ANSWER_AT_MOST]
            status = posix.waitstatus_to_exitcode(posix.waitpid(helper, 0)[1])
        except BaseException:  # interrupted
            posix.kill(helper, SIGKILL)
            posix.waitpid(helper, 0)
            raise
    finally:
        posix.close(read)
    return status, " ".join(answer.decode("utf-8", "replace").split())
