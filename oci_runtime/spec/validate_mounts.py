"""The options that a mount does not have; imported when there may be one (config.md, Linux mount options)."""

from __future__ import annotations

from oci_runtime.errors import Problem
from oci_runtime.plan import mount_options
from oci_runtime.plan.mount_options import MountOptions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.spec.types import Mount

# cgroups(7), and the kernel's cgroup-v2.rst
_CGROUP2 = (
    "nsdelegate",
    "favordynmods",
    "memory_localevents",
    "memory_recursiveprot",
    "memory_hugetlb_accounting",
    "pids_localevents",
)
# words whose meaning is not that of the nearest by their letters
_MEANT = {"readonly": "ro", "read-only": "ro", "readwrite": "rw", "recursive": "rbind"}


def validate_bind_options(mount: Mount, at: str, problems: list[Problem]) -> None:
    """Append a problem for each option that a bind mount does not have: the kernel would ignore it, and the mount be
    what nobody wanted, a writable one where "readonly" was asked for. Where no type is named, what has a value may be a
    filesystem's, as config.md wants unknown options to be taken: the plan leaves it out, with a warning."""
    options = MountOptions(mount.get("options", ()))
    for i, option in enumerate(mount.get("options", ())):
        if option in options.data and ("type" in mount or "=" not in option or "," in option):
            problems.append(Problem(f"{at}/options/{i}", f"is no option of a bind mount{_hint(option)}"))
        elif option == "tmpcopyup":
            problems.append(Problem(f"{at}/options/{i}", "is for mounts of type tmpfs"))
        elif option == "copy-symlink" and len(set(options.of_bind)) > 1:
            problems.append(Problem(f"{at}/options/{i}", "excludes src-nofollow and dest-nofollow"))


def validate_other_options(mount: Mount, at: str, problems: list[Problem]) -> None:
    """Append a problem for each option of bind mounts or of a tmpfs at a mount that is none, and, for the control
    groups, for those that are no flags."""
    kind = mount.get("type", "")
    data = MountOptions(mount.get("options", ())).data if kind in ("cgroup", "cgroup2") else []
    for i, option in enumerate(mount.get("options", ())):
        if option in mount_options.BIND:
            problems.append(Problem(f"{at}/options/{i}", "is for bind mounts"))
        elif option == "tmpcopyup" and kind != "tmpfs":
            problems.append(Problem(f"{at}/options/{i}", "is for mounts of type tmpfs"))
        elif option in data and option not in _CGROUP2:
            problems.append(Problem(f"{at}/options/{i}", f"is no option of the control groups{_hint(option)}"))


def _hint(option: str) -> str:
    if "," in option:
        return "; each option is a string of its own"
    lower = option.lower()
    word = _MEANT.get(lower)
    if not word:
        from difflib import get_close_matches

        known = known_options()
        near = [lower] if lower in known else get_close_matches(lower, known, 1, 0.7)
        word = near[0] if near else ""
    if word:
        return f'; is "{word}" meant?'
    return ", and options of filesystems have no effect there; valid are the flags of config.md, such as ro or nosuid"


def known_options() -> list[str]:
    """The options that are not the filesystem's own."""
    return sorted({*mount_options.BIND_OPTIONS, *mount_options.KINDS})
