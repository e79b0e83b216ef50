"""The annotations of config.json that change what pyoci does: the one list of them.

Whatever obeys an annotation takes its name from here, and `features` tells engines all of OBEYED, so that they can keep
from a container what its image or its user may not ask for (features.md, potentiallyUnsafeConfigAnnotations). A name
that ends in "." is a prefix. A module that is imported only where a container has annotations.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.errors import Problem
    from oci_runtime.spec.types import Config

# NAME is a property of the container's unit, with --systemd-cgroup
SYSTEMD_PROPERTY = "org.systemd.property."
# which of mount(8)'s four options gives mounts linux.mountLabel, as with crun
MOUNT_CONTEXT_TYPE = "run.oci.mount_context_type"

# files of the host that get what all hooks write, as with crun
HOOKS_STDOUT = "run.oci.hooks.stdout"
HOOKS_STDERR = "run.oci.hooks.stderr"
# unless "0" the process keeps the caller's supplementary groups, as with crun: podman's --group-add keep-groups
KEEP_ORIGINAL_GROUPS = "run.oci.keep_original_groups"

OBEYED = (SYSTEMD_PROPERTY, MOUNT_CONTEXT_TYPE, HOOKS_STDOUT, HOOKS_STDERR, KEEP_ORIGINAL_GROUPS)

CONTEXT_TYPES = ("context", "fscontext", "defcontext", "rootcontext")


def validate_annotations(annotations: dict[str, str], problems: list[Problem]) -> None:
    """No empty key, and the values of those that are obeyed here; the others are checked where they are obeyed."""
    from oci_runtime.errors import Problem

    if "" in annotations:
        problems.append(Problem("/annotations/", "the key of an annotation must not be empty"))
    if annotations.get(MOUNT_CONTEXT_TYPE, CONTEXT_TYPES[0]) not in CONTEXT_TYPES:
        problems.append(Problem(f"/annotations/{MOUNT_CONTEXT_TYPE}", f"must be one of {', '.join(CONTEXT_TYPES)}"))


def keeps_groups(config: Config) -> bool:
    """Whether setgroups(2) is left out."""
    return config.get("annotations", {}).get(KEEP_ORIGINAL_GROUPS, "0") != "0"


def mount_context_type(config: Config) -> str:
    """The option that gives a new filesystem its label."""
    return config.get("annotations", {}).get(MOUNT_CONTEXT_TYPE, CONTEXT_TYPES[0])
