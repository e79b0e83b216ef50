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
# Of the superblock: fsconfig(2) knows these by name. Bind mounts take them without effect, as mount(2) does.
SUPERBLOCK = ("sync", "async", "dirsync", "lazytime", "nolazytime", "mand", "nomand")
# Without effect on any mount: they mean something to mount(8) alone, or the kernel has no such option any more.
WITHOUT_EFFECT = (
    "defaults",
    "silent",
    "loud",
    "iversion",
    "noiversion",
    "auto",
    "noauto",
    "nofail",
    "nouser",
    "_netdev",
)
PREFIXES_WITHOUT_EFFECT = ("x-", "X-", "comment=")
# What the mount is, or what is done to it.
KINDS = ("bind", "rbind", "remount", "tmpcopyup", "idmap", "ridmap")
# Of bind mounts alone, besides idmap and ridmap; crun(1)
BIND = ("copy-symlink", "src-nofollow", "dest-nofollow")
# All that a bind mount may have, but for mappings and PREFIXES_WITHOUT_EFFECT.
BIND_OPTIONS = frozenset(
    (
        "bind",
        "rbind",
        "remount",
        "idmap",
        "ridmap",
        *ATTRIBUTES,
        *ACCESS_TIMES,
        *(f"r{name}" for name in (*ATTRIBUTES, *ACCESS_TIMES, *SUPERBLOCK)),
        *PROPAGATION,
        *SUPERBLOCK,
        *WITHOUT_EFFECT,
        *BIND,
    )
)


class MountOptions:
    """Options, sorted out.

    `top` and `recursive` are [set, clear] MOUNT_ATTR_ pairs; `propagation` MS_ flags in their order; `data` what the
    filesystem gets; `superblock` the flags among it that every filesystem knows; `id_map` is idmap or ridmap with what
    crun's mappings follow; `of_bind` those of BIND; `flagged` whether any flag is named, `access_time` whether noatime,
    strictatime or relatime is.
    """

    __slots__ = (
        "access_time",
        "bind",
        "copy_up",
        "data",
        "flagged",
        "id_map",
        "of_bind",
        "propagation",
        "recursive",
        "remount",
        "superblock",
        "top",
    )

    def __init__(self, options: Iterable[str]) -> None:
        self.bind = ""
        self.remount = False
        self.copy_up = False
        self.flagged = False
        self.access_time = False
        self.id_map = ""
        self.of_bind: list[str] = []
        self.top = [0, 0]
        self.recursive = [0, 0]
        self.propagation: list[int] = []
        self.superblock: list[str] = []
        self.data: list[str] = []
        for option in options:
            if not self._attribute(option) and not self._kind(option) and option:
                self.data.append(option)

    def attributes(self) -> int:
        """Those of a new mount. There is none below it, so an option with an r is like the one without; it counts where
        the two differ, as with runc and crun."""
        return self.top[0] & ~self.recursive[1] | self.recursive[0]

    def bind_attributes(self) -> tuple[int, int]:
        """[set, clear] of a bind mount's top. One of the access times, named, stands for all of them, as for the
        kernel: mount(2), MS_REMOUNT with MS_BIND."""
        to_set, to_clear = self.top
        if self.access_time or to_set & NODIRATIME:
            to_clear |= ATIME_MASK | NODIRATIME & ~to_set
        return to_set, to_clear

    def _attribute(self, option: str) -> bool:
        if option in ATTRIBUTES:
            self.flagged = True
            _change(self.top, *ATTRIBUTES[option])
        elif option in ACCESS_TIMES:
            self.flagged = True
            self.access_time = option in ("noatime", "strictatime", "relatime")
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
            self.bind = option if self.bind != "rbind" else "rbind"
        elif option == "remount":
            self.remount = True
        elif option == "tmpcopyup":
            self.copy_up = True
        elif option in ("idmap", "ridmap") or option.startswith(("idmap=", "ridmap=")):
            self.id_map = option
        elif option in BIND:
            self.of_bind.append(option)
        elif option in SUPERBLOCK:
            self.flagged = True
            self.superblock.append(option)
        elif option[:1] == "r" and option[1:] in SUPERBLOCK:
            self.superblock.append(option[1:])
        else:
            return option in WITHOUT_EFFECT or option.startswith(PREFIXES_WITHOUT_EFFECT)
        return True


def _change(attributes: list[int], to_set: int, to_clear: int) -> None:
    attributes[0] = attributes[0] & ~to_clear | to_set
    attributes[1] = attributes[1] & ~to_set | to_clear


def _change_access_time(attributes: list[int], value: int) -> None:
    attributes[0] = attributes[0] & ~ATIME_MASK | value
    attributes[1] |= ATIME_MASK
