"""The config.json that `spec` writes: a shell with a terminal, no network and few capabilities, as runc's."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.spec.types import Config, IDMapping, Linux, Mount, Namespace

SPEC_VERSION = "1.3.0"

_MASKED = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/sys/firmware",
    "/proc/scsi",
]
_READONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]


def default_config(rootless: bool, *, uid: int = 0, gid: int = 0, cgroup2: bool = False) -> Config:
    """A new config.

    `uid` and `gid` are those of the user, on the host, that root of a rootless container is to be. `cgroup2` says that
    the host has only version 2 of cgroups, so that a cgroup namespace hides all of it.
    """
    capabilities = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]
    return {
        "ociVersion": SPEC_VERSION,
        "process": {
            "terminal": True,
            "user": {"uid": 0, "gid": 0},
            "args": ["sh"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": {
                "bounding": capabilities,
                "effective": capabilities[:],
                "permitted": capabilities[:],
            },
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": True},
        "hostname": "pyoci",
        "mounts": _mounts(rootless),
        "linux": _linux(rootless, uid, gid, cgroup2),
    }


def _mounts(rootless: bool) -> list[Mount]:
    devpts = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]
    sysfs: Mount = {
        "destination": "/sys",
        "type": "sysfs",
        "source": "sysfs",
        "options": ["nosuid", "noexec", "nodev", "ro"],
    }
    if rootless:
        # Group 5 is not mapped, and a sysfs can be mounted only by the owner of the network namespace.
        devpts.remove("gid=5")
        sysfs = {
            "destination": "/sys",
            "type": "none",
            "source": "/sys",
            "options": ["rbind", "nosuid", "noexec", "nodev", "ro"],
        }
    return [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {
            "destination": "/dev",
            "type": "tmpfs",
            "source": "tmpfs",
            "options": ["nosuid", "strictatime", "mode=755", "size=65536k"],
        },
        {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": devpts},
        {
            "destination": "/dev/shm",
            "type": "tmpfs",
            "source": "shm",
            "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"],
        },
        {
            "destination": "/dev/mqueue",
            "type": "mqueue",
            "source": "mqueue",
            "options": ["nosuid", "noexec", "nodev"],
        },
        sysfs,
        {
            "destination": "/sys/fs/cgroup",
            "type": "cgroup",
            "source": "cgroup",
            "options": ["nosuid", "noexec", "nodev", "relatime", "ro"],
        },
    ]


def _linux(rootless: bool, uid: int, gid: int, cgroup2: bool) -> Linux:
    namespaces: list[Namespace] = [{"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}]
    if cgroup2:
        namespaces.append({"type": "cgroup"})
    linux: Linux = {"namespaces": namespaces, "maskedPaths": _MASKED[:], "readonlyPaths": _READONLY[:]}
    if rootless:
        namespaces.append({"type": "user"})
        linux["uidMappings"] = _one(uid)
        linux["gidMappings"] = _one(gid)
    else:
        namespaces.insert(1, {"type": "network"})
        linux["resources"] = {"devices": [{"allow": False, "access": "rwm"}]}
    return linux


def _one(identifier: int) -> list[IDMapping]:
    return [{"containerID": 0, "hostID": identifier, "size": 1}]
