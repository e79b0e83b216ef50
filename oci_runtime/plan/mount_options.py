"""The options of a mount, mount(8) and config.md: which are attributes of the mount, which go to the filesystem."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

# mount_setattr(2)
RDONLY = 0x01
NOSUID = 0x02
NODEV = 0x04
NOEXEC = 0x08
NOATIME = 0x10
STRICTATIME = 0x20
ATIME_MASK = 0x70
NODIRATIME = 0x80
NOSYMFOLLOW = 0x200000

# mount(2)
REC = 0x4000
UNBINDABLE = 1 << 17
PRIVATE = 1 << 18
SLAVE = 1 << 19
SHARED = 1 << 20

PROPAGATION = {
    "private": PRIVATE,
    "rprivate": PRIVATE | REC,
    "slave": SLAVE,
    "rslave": SLAVE | REC,
    "shared": SHARED,
    "rshared": SHARED | REC,
    "unbindable": UNBINDABLE,
    "runbindable": UNBINDABLE | REC,
}
# name: (attributes to set, attributes to clear); with a leading r it holds for all mounts below too
ATTRIBUTES = {
    "ro": (RDONLY, 0),
    "rw": (0, RDONLY),
    "nosuid": (NOSUID, 0),
    "suid": (0, NOSUID),
    "nodev": (NODEV, 0),
    "dev": (0, NODEV),
    "noexec": (NOEXEC, 0),
    "exec": (0, NOEXEC),
    "nodiratime": (NODIRATIME, 0),
    "diratime": (0, NODIRATIME),
    "nosymfollow": (NOSYMFOLLOW, 0),
    "symfollow": (0, NOSYMFOLLOW),
}
# The access times are a field of their own, of which one value holds; relatime, the default, is 0.
ACCESS_TIMES = {
    "noatime": NOATIME,
    "strictatime": STRICTATIME,
    "relatime": 0,
    "atime": 0,
    "norelatime": 0,
    "nostrictatime": 0,
}
# Of the superblock: fsconfig(2) knows these by name.
SUPERBLOCK = ("sync", "async", "dirsync", "lazytime", "nolazytime", "mand", "nomand")
WITHOUT_EFFECT = ("defaults", "silent", "loud", "iversion", "noiversion")


class MountOptions:
    """Options, sorted out.

    `top` and `recursive` are [set, clear] MOUNT_ATTR_ pairs; `propagation` MS_ flags in their order; `data` what the
    filesystem gets; `superblock` the flags among it that every filesystem knows.
    """

    __slots__ = ("bind", "copy_up", "data", "id_map", "propagation", "recursive", "remount", "superblock", "top")

    def __init__(self, options: Iterable[str]) -> None:
        self.bind = ""
        self.remount = False
        self.copy_up = False
        self.id_map = ""
        self.top = [0, 0]
        self.recursive = [0, 0]
        self.propagation: list[int] = []
        self.superblock: list[str] = []
        self.data: list[str] = []
        for option in options:
            if not self._attribute(option) and not self._kind(option) and option:
                self.data.append(option)

    def _attribute(self, option: str) -> bool:
        if option in ATTRIBUTES:
            _change(self.top, *ATTRIBUTES[option])
        elif option in ACCESS_TIMES:
            _change_access_time(self.top, ACCESS_TIMES[option])
        elif option in PROPAGATION:
            self.propagation.append(PROPAGATION[option])
        elif option[:1] == "r" and option[1:] in ATTRIBUTES:
            _change(self.recursive, *ATTRIBUTES[option[1:]])
        elif option[:1] == "r" and option[1:] in ACCESS_TIMES:
            _change_access_time(self.recursive, ACCESS_TIMES[option[1:]])
        else:
            return False
        return True

    def _kind(self, option: str) -> bool:
        if option in ("bind", "rbind"):
            self.bind = option
        elif option == "remount":
            self.remount = True
        elif option == "tmpcopyup":
            self.copy_up = True
        elif option in ("idmap", "ridmap"):
            self.id_map = option
        elif option in SUPERBLOCK:
            self.superblock.append(option)
        else:
            return option in WITHOUT_EFFECT
        return True


def _change(attributes: list[int], to_set: int, to_clear: int) -> None:
    attributes[0] = attributes[0] & ~to_clear | to_set
    attributes[1] = attributes[1] & ~to_set | to_clear


def _change_access_time(attributes: list[int], value: int) -> None:
    attributes[0] = attributes[0] & ~ATIME_MASK | value
    attributes[1] |= ATIME_MASK
