"""Changes of root, mounts, devices, masked and read-only paths."""

from __future__ import annotations

from typing import Any

from differential.draw import strategies as st
from differential.draw.change import Change, Config, entries, section
from differential.draw.strategies import Draw
from differential.places import SOURCES

_DESTINATIONS = [
    "/mnt",
    "/mnt/new/deep",
    "/tmp",
    "/relative",
    "/var/lib/link/below",
    "/etc/passwd",
    "/new",
    "mnt",
    "/dangling",
    "/home/alice",
    "/usr/share/file",
    "/",
    "/proc/sub",
    "/dev/extra",
    "/mnt/../new2",
]
_ATTRIBUTES = [
    "ro",
    "rw",
    "nosuid",
    "suid",
    "nodev",
    "dev",
    "noexec",
    "exec",
    "noatime",
    "relatime",
    "strictatime",
    "nodiratime",
    "nosymfollow",
    "rro",
    "rnosuid",
    "rnodev",
    "rnoexec",
    "rrw",
    "rexec",
    "rnoatime",
]
_PROPAGATION = ["private", "rprivate", "slave", "rslave", "shared", "rshared", "unbindable", "runbindable"]
_BIND_SOURCES = [
    "directory",
    "file",
    "noexec",
    "plain",
    "locked",
    "readonly",
    "private",
    "link",
    "directory/inner",
    "fifo",
    "missing",
]
_TYPES: dict[str, list[str]] = {
    "tmpfs": [
        "size=1m",
        "mode=1777",
        "mode=700",
        "uid=1000",
        "gid=50",
        "nr_inodes=100",
        "size=5%",
        "tmpcopyup",
        "nosuchoption",
        "huge=never",
    ],
    "proc": ["hidepid=2", "subset=pid", "hidepid=invisible"],
    "sysfs": [],
    "devpts": ["newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
    "mqueue": [],
    "cgroup": [],
    "cgroup2": [],
    "ramfs": ["mode=750"],
    "nosuchfs": [],
    "": [],
    "none": [],
}
_DEVICES: list[dict[str, Any]] = [
    {"type": "c", "major": 10, "minor": 229, "path": "/dev/fuse"},
    {"type": "c", "major": 1, "minor": 11, "path": "/dev/kmsg", "fileMode": 0o600, "uid": 0, "gid": 0},
    {"type": "b", "major": 7, "minor": 0, "path": "/dev/loop0", "fileMode": 0o640, "uid": 5, "gid": 50},
    {"type": "u", "major": 1, "minor": 3, "path": "/dev/other-null", "fileMode": 0o666},
    {"type": "p", "path": "/dev/pipe", "fileMode": 0o622},
    {"type": "p", "path": "/dev/pipe", "major": 0, "minor": 0},
    {"type": "c", "major": 1, "minor": 3, "path": "/dev/null", "fileMode": 0o644, "uid": 1000},
    {"type": "c", "major": 1, "minor": 5, "path": "/dev/deep/er/zero"},
    {"type": "c", "major": 1, "minor": 5, "path": "/opt/zero", "fileMode": 0},
    {"type": "c", "major": 240, "minor": 77, "path": "/dev/not-on-the-host", "fileMode": 0o660},
    {"type": "x", "major": 1, "minor": 5, "path": "/dev/wrong"},
    {"type": "c", "path": "/dev/no-numbers"},
    {"type": "c", "major": 1, "minor": 5, "path": "relative-device"},
    {"type": "c", "major": 5, "minor": 2, "path": "/dev/ptmx"},
]
_PATHS = [
    "/proc/kcore",
    "/proc/acpi",
    "/proc/sys",
    "/proc/self",
    "/sys/firmware",
    "/etc/passwd",
    "/usr/share",
    "/tmp",
    "/nowhere",
    "/relative",
    "/var/lib/link",
    "/dev/null",
    "/proc/nowhere",
    "/dangling",
    "/",
    "relative",
    "",
    "/proc/keys",
    "/usr/share/file",
    "/sys/fs/cgroup",
    "/proc/1/net",
]


def _options(draw: Draw, pool: list[str], most: int = 3) -> list[str]:
    return draw(st.lists(st.sampled_from(pool), max_size=most))


def bind(draw: Draw, config: Config) -> None:
    source = draw(st.sampled_from(_BIND_SOURCES))
    kinds: list[list[str]] = [["bind"], ["rbind"], ["rbind", "bind"], ["bind", "rbind"]]
    options = [*draw(st.sampled_from(kinds)), *_options(draw, [*_ATTRIBUTES, *_PROPAGATION])]
    entries(config, "mounts").append(
        {
            "destination": draw(st.sampled_from(_DESTINATIONS)),
            "type": draw(st.sampled_from(["bind", "none", ""])),
            "source": str(SOURCES / source),
            "options": options,
        }
    )


def odd_bind(draw: Draw, config: Config) -> None:
    options: list[list[str]] = [
        ["bind", "readonly"],
        ["bind", "RO"],
        ["bind", "nosui"],
        ["bind", "size=1k"],
        ["bind", "consistency=cached"],
        ["bind", ""],
        ["bind", "rw", "ro"],
        ["bind", "ro", "rw"],
        ["bind", "defaults"],
        ["bind", "remount", "ro"],
        ["bind", "rprivate", "rshared"],
        ["bind", "mode=755"],
        ["bind", "sync"],
        ["bind", "tmpcopyup"],
        [],
        ["bind", "idmap"],
        ["bind", "ridmap"],
        ["bind", "X-mount.mkdir"],
        ["bind", "nofail"],
    ]
    mount: dict[str, Any] = {
        "destination": draw(st.sampled_from(["/mnt", "/new"])),
        "type": "bind",
        "source": draw(st.sampled_from([str(SOURCES / "plain"), str(SOURCES / "directory"), "relative", ""])),
        "options": draw(st.sampled_from(options)),
    }
    if draw(st.booleans()):
        del mount[draw(st.sampled_from(["type", "source", "options"]))]
    entries(config, "mounts").append(mount)


def filesystem(draw: Draw, config: Config) -> None:
    kind = draw(st.sampled_from(list(_TYPES)))
    options = _options(draw, [*_ATTRIBUTES, *_TYPES[kind], *_TYPES[kind]]) + _options(draw, _PROPAGATION, 1)
    entries(config, "mounts").append(
        {
            "destination": draw(st.sampled_from(_DESTINATIONS)),
            "type": kind,
            "source": draw(st.sampled_from([kind or "x", "", "none", "a b"])),
            "options": options,
        }
    )


def tmpfs(draw: Draw, config: Config) -> None:
    options = _options(draw, [*_ATTRIBUTES, *_TYPES["tmpfs"]], 4)
    destination = draw(st.sampled_from(_DESTINATIONS))
    entries(config, "mounts").append(
        {"destination": destination, "type": "tmpfs", "source": "tmpfs", "options": options}
    )


def within(draw: Draw, config: Config) -> None:
    """One mount shows another's source, or lies below it."""
    mounts = entries(config, "mounts")
    mounts.append({"destination": "/mnt", "type": "bind", "source": str(SOURCES / "directory"), "options": ["rbind"]})
    mounts.append(
        {
            "destination": draw(
                st.sampled_from(["/mnt/inner", "/mnt/file", "/mnt/made", "/mnt/inner/made/too", "/mnt"])
            ),
            "type": "tmpfs",
            "source": "tmpfs",
            "options": _options(draw, ["ro", "mode=700", "size=1m"]),
        }
    )


def attributes(draw: Draw, config: Config) -> None:
    """Other options for one of the mounts that an engine asks for."""
    mounts = [mount for mount in entries(config, "mounts") if isinstance(mount, dict)]
    if mounts:
        mount = draw(st.sampled_from(mounts))
        pool = [*_ATTRIBUTES, *_PROPAGATION]
        mount["options"] = [*mount.get("options", []), *draw(st.lists(st.sampled_from(pool), min_size=1, max_size=2))]


def less(draw: Draw, config: Config) -> None:
    """One of the mounts is not there."""
    mounts = entries(config, "mounts")
    if mounts:
        mounts.pop(draw(st.integers(0, len(mounts) - 1)))


def devices(draw: Draw, config: Config) -> None:
    entries(section(config, "linux"), "devices").extend(
        dict(each) for each in draw(st.lists(st.sampled_from(_DEVICES), min_size=1, max_size=2))
    )


def hidden(draw: Draw, config: Config) -> None:
    name = draw(st.sampled_from(["maskedPaths", "readonlyPaths"]))
    entries(section(config, "linux"), name).extend(draw(st.lists(st.sampled_from(_PATHS), min_size=1, max_size=3)))


def root(draw: Draw, config: Config) -> None:
    section(config, "root")["readonly"] = draw(st.sampled_from([True, False, None]))


def odd_root(draw: Draw, config: Config) -> None:
    config["root"] = draw(
        st.sampled_from(
            [
                {"path": "no-such-directory"},
                {"path": "/run/pyoci-differential/bundle/rootfs"},
                {"path": "config.json"},
                {"path": "./rootfs/"},
                {"path": ""},
                {},
                {"path": "../bundle/rootfs"},
            ]
        )
    )


def propagation(draw: Draw, config: Config) -> None:
    section(config, "linux")["rootfsPropagation"] = draw(st.sampled_from([*_PROPAGATION, "", "nonsense", None]))


CHANGES: list[Change] = [
    bind,
    bind,
    bind,
    odd_bind,
    filesystem,
    tmpfs,
    within,
    attributes,
    attributes,
    less,
    devices,
    devices,
    hidden,
    hidden,
    root,
    odd_root,
    propagation,
]
