"""Namespaces to be joined that turn out to be the runtime's own: what must not happen to the host's."""

from __future__ import annotations

import posix

from oci_runtime.errors import Problem, SpecError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from oci_runtime.plan.namespaces import Namespaces
    from oci_runtime.spec.types import Linux, NamespaceType

_FILES: dict[NamespaceType, str] = {"mount": "mnt", "network": "net"}


def refuse_own_namespaces(namespaces: Namespaces, opened: Sequence[int], linux: Linux) -> None:
    """SpecError for a mount namespace of our own, whose root would be changed, and for a sysctl in any of our own.

    `opened`: descriptors of `namespaces.joined`, in its order, as what a path leads to may change.
    """
    problems: list[Problem] = []
    foreign: dict[str, str] = dict.fromkeys(namespaces.new, "")
    for (kind, path, pointer), fd in zip(namespaces.joined, opened, strict=True):
        if not _is_own(kind, fd):
            foreign[kind] = path
        elif kind == "mount":
            message = "is the runtime's own mount namespace, whose root would be changed; must be another, or left out"
            problems.append(Problem(pointer, message))
    if linux.get("sysctl"):
        from oci_runtime.spec.validate_sysctl import validate_sysctl

        refused: list[Problem] = []
        validate_sysctl(linux["sysctl"], foreign, refused)
        problems += [Problem(each.pointer, f"{each.message} that is not the runtime's own") for each in refused]
    if problems:
        raise SpecError("\n".join(f"{problem.pointer}: {problem.message}" for problem in problems), problems)


def _is_own(kind: NamespaceType, fd: int) -> bool:
    try:
        ours = posix.stat(f"/proc/self/ns/{_FILES.get(kind, kind)}")
    except FileNotFoundError:
        return False  # a kernel without such namespaces
    theirs = posix.fstat(fd)
    return (theirs.st_dev, theirs.st_ino) == (ours.st_dev, ours.st_ino)
