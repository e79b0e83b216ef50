"""The rules, in the order in which they are tried: docs/differences.md has the reason of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from differential.compare import Difference
from differential.rules import Rule

_ALL: dict[str, tuple[int, ...]] = {"runc": (), "crun": ()}
_RUNC: dict[str, tuple[int, ...]] = {"runc": ()}
_CRUN: dict[str, tuple[int, ...]] = {"crun": ()}
_OLD_RUNC: dict[str, tuple[int, ...]] = {"runc": (1, 2)}
_MOUNT = r"(report|hook-\w+)/N/mounts/[^/]+"


def _linux(difference: Difference) -> dict[str, Any]:
    linux = difference.case.config.get("linux")
    return linux if isinstance(linux, dict) else {}


def _names(difference: Difference, name: str) -> list[str]:
    found = _linux(difference).get(name)
    return [each for each in found if isinstance(each, str)] if isinstance(found, list) else []


def _path(difference: Difference) -> str:
    """The path in a place such as report/0/mounts/~proc~keys#2/options."""
    parts = difference.place.split("/")
    return parts[3].partition("#")[0].replace("~", "/") if len(parts) > 3 else ""


#: Links of the image, scene.py.
_LINKS = {"/relative": "/mnt", "/var/lib/link": "/usr/share", "/dangling": "/nowhere/at/all"}


def _masked(difference: Difference, _: str) -> bool:
    return _path(difference) in {_LINKS.get(path, path) for path in _names(difference, "maskedPaths")}


def _theirs(test: Callable[[Any, Any], bool]) -> Callable[[Difference, str], bool]:
    return lambda difference, peer: test(difference.ours, difference.theirs[peer])


def _but_for_glibcs(ours: list[str], theirs: list[str]) -> bool:
    """The same signals but 32 and 33."""
    return int(ours[0], 16) | 0x180000000 == int(theirs[0], 16) | 0x180000000


def _in_user_namespace(difference: Difference, _: str) -> bool:
    namespaces = _linux(difference).get("namespaces")
    return any(isinstance(each, dict) and each.get("type") == "user" for each in namespaces or [])


def _says(runtime: str, *words: str) -> Callable[[Difference, str], bool]:
    """One of the words is in what the runtime said; "" is the peer."""
    return lambda difference, peer: any(word in difference.messages.get(runtime or peer, "") for word in words)


def _parents(difference: Difference, peer: str) -> bool:
    theirs = difference.theirs[peer]
    more = set(theirs) - set(difference.ours)
    return set(difference.ours) <= set(theirs) and bool(more)


def _same_set(ours: Any, theirs: Any) -> bool:
    """What is mounted twice at a point counts once."""
    return {str(each).partition("#")[0] for each in ours} == {str(each).partition("#")[0] for each in theirs}


def _verbs(difference: Difference) -> list[str]:
    return [step["verb"] for step in difference.case.steps]


def _failed(difference: Difference, peer: str) -> bool:
    """The peer does what pyoci refuses."""
    return difference.ours is False and difference.theirs[peer] is True


def _refuses(difference: Difference, peer: str) -> bool:
    """The peer refuses what pyoci does."""
    return difference.ours is True and difference.theirs[peer] is False


def _pyoci_says(*words: str) -> Callable[[Difference, str], bool]:
    return lambda d, peer: _failed(d, peer) and any(word in d.messages.get("pyoci", "") for word in words)


def _peer_says(*words: str) -> Callable[[Difference, str], bool]:
    return lambda d, peer: _refuses(d, peer) and any(word in d.messages.get(peer, "") for word in words)


def _on_cgroups(difference: Difference, _: str) -> bool:
    """The mount is of cgroups, or below such a mount."""
    path = _path(difference)
    report = difference.place.partition("/mounts/")[0]
    if difference.flat.get(f"{report}/mounts/{path.replace('/', '~')}/type") in ("cgroup", "cgroup2"):
        return True
    mounts = difference.case.config.get("mounts")
    for mount in mounts if isinstance(mounts, list) else []:
        if isinstance(mount, dict) and mount.get("type") in ("cgroup", "cgroup2"):
            destination = "/" + str(mount.get("destination")).lstrip("/")
            destination = _LINKS.get(destination, destination)
            if path == destination or path.startswith(f"{destination.rstrip('/')}/"):
                return True
    return path.startswith("/sys/fs/cgroup")


def _mode(value: Any) -> str:
    return str(value[0]) if isinstance(value, list) and value else ""


def _made_by_crun(ours: Any, theirs: Any) -> bool:
    """Only what crun gives to a mount point is different: 0700 to a file, the sticky bit of a directory."""
    same = isinstance(ours, list) and isinstance(theirs, list) and ours[1:] == theirs[1:]
    return same and _mode(theirs) in ("0o100700", "0o41755", "0o100755")


def _empty_devices(ours: Any, theirs: Any) -> bool:
    same = isinstance(ours, list) and isinstance(theirs, list) and ours[1:] == theirs[1:]
    return same and _mode(theirs) in ("0o100000", "0o100700", "0o100755")


def _without_cloexec(fds: Any) -> Any:
    return [[fd, flags, kind, status & ~0x80000 | 0x8000, link] for fd, flags, kind, status, link in fds]


def _with_mark(ours: Any, theirs: Any) -> bool:
    return bool(theirs == [*ours, "_LIBCONTAINER_CLONED_BINARY=1"])


def _mode_of_tmpfs(ours: Any, theirs: Any) -> bool:
    return isinstance(ours, list) and isinstance(theirs, list) and ours[1:] == theirs[1:]


def _all_devices(ours: Any, theirs: Any) -> bool:
    return bool(theirs == ["a *:* rwm"])


def _recursive(difference: Difference, _: str) -> bool:
    """A mount that is no bind mount has an option such as "rnosuid"."""
    mounts = difference.case.config.get("mounts")
    words = {"rnoatime", "rnosuid", "rnodev", "rnoexec", "rro", "rrw", "rexec", "rdev", "rsuid"}
    return any(
        isinstance(mount, dict) and isinstance(mount.get("options"), list) and words & set(map(str, mount["options"]))
        for mount in (mounts if isinstance(mounts, list) else [])
    )


def _no_mount_namespace(difference: Difference, _: str) -> bool:
    namespaces = _linux(difference).get("namespaces")
    return not any(isinstance(each, dict) and each.get("type") == "mount" for each in namespaces or [])


def _poststart_fails(difference: Difference, _: str) -> bool:
    hooks = difference.case.config.get("hooks")
    found = hooks.get("poststart") if isinstance(hooks, dict) else None
    return any("fail" in str(each) or "/no/such" in str(each) or "/bin/false" in str(each) for each in found or [])


#: What the specification does not allow, in the words in which pyoci refuses it.
_STRICT = (
    "must be the absolute path",
    "must be an absolute path",
    "lacks the required property",
    "the major version must be 1",
    "of its own for kernel memory",
    "is for mounts of type tmpfs",
    'lacks a "source"',
    "the key of an annotation must not be empty",
    "take a value",
    "must be between",
    "must be one of",
    "needs a domain",
    "is not a capability",
    "is no option of",
    "must have at least 1 entry",
    "needs a major number",
    "/ociVersion is null",
    "must be a version",
)
#: What the kernel can do, and others fail at, in their words: nosymfollow on /proc, mounts below a source that a user
#: namespace may not take off, a container without /proc, a working directory behind a link to nowhere.
_ALLOWED = (
    "too many levels of symbolic links",
    "mount `proc` to `proc`",
    "MS_BIND: invalid argument",
    "cap_last_cap: no such file",
    "reopening /dev/null",
    "unable to apply apparmor profile",
    "no `mounts` block",
    "closing exec fds",
    "mkdir /dangling: file exists",
    "chdir to `/dangling`",
)
#: What is newer than runc 1.1, as it or pyoci says.
_OLD_ERRORS = (
    "namespace {",
    "unable to get oom kill count",
    "closing exec fds",
    "cannot set hugetlb limit",
    "error running hook",
    "invalid argument",
)
_NEW = ("idmap needs", "sched_setattr", "sched_setscheduler")
_STATE_PLACE = r"hook-\w+/N/state"

RULES: tuple[Rule, ...] = (
    # --- mounts
    Rule("masks", _ALL, rf"{_MOUNT}/(options|source|superblock|root|type|propagation|parent)", _masked),
    Rule("masks", _ALL, r"report/N/paths/[^/]+/(stat|writable|open)", _masked),
    Rule("cgroup-mounts", _ALL, rf"{_MOUNT}/\w+", _on_cgroups),
    Rule("cgroup-mounts", _ALL, r"report/N/(paths|tree)/[^/]+(/\w+)?", _on_cgroups),
    Rule("mount-order", _ALL, r"(report|hook-\w+)/N/mounts/order", _theirs(_same_set)),
    Rule(
        "superblocks-writable",
        _RUNC,
        rf"{_MOUNT}/superblock",
        _theirs(lambda ours, theirs: str(theirs).split(",") == ["ro", *str(ours).split(",")[1:]]),
    ),
    Rule("read-only-root", _RUNC, r"report/N/.*", lambda d, _: "/" in _names(d, "readonlyPaths")),
    Rule("superblocks-writable", _RUNC, r"report/N/paths/.*/writable", _theirs(lambda o, t: t == -30 != o)),
    Rule(
        "devices-of-user-namespaces",
        _ALL,
        rf"{_MOUNT.replace('[^/]+', '~dev~[^/]+')}/(options|propagation|source|superblock|root|type)",
        _in_user_namespace,
    ),
    Rule("devices-of-user-namespaces", _ALL, r"tree/~dev~.*", _theirs(_empty_devices)),
    Rule("devices-of-user-namespaces", _ALL, r"report/N/(tree/~dev~.*|mknod)", _in_user_namespace),
    Rule("mqueue-owner", _ALL, r"report/N/(paths/~dev~mqueue/stat|tree/~dev~mqueue)", _in_user_namespace),
    Rule(
        "slaves",
        _ALL,
        rf"{_MOUNT}/propagation",
        _theirs(lambda o, t: o == ["master of the host"] and t == []),
    ),
    Rule("recursive-attributes", _RUNC, rf"{_MOUNT}/options", _recursive),
    Rule("recursive-attributes", _RUNC, r"report/N/(controlling_terminal|mknod)", _recursive),
    Rule("no-source", _ALL, rf"{_MOUNT}/source", _theirs(lambda o, t: o == "none")),
    Rule("crun-mount-points", _CRUN, r"(report/N/)?(tree|paths)/.*", _theirs(_made_by_crun)),
    Rule("crun-console", _CRUN, r"report/N/mounts/order", _theirs(lambda o, t: {*o} - {*t} == {"/dev/console"})),
    Rule("no-mount-namespace", _ALL, r"left/mounts|tree/.*", _no_mount_namespace),
    Rule("crun-core", _CRUN, r"report/N/tree/~dev~core"),
    Rule("crun-core", _CRUN, r"report/N/paths/~dev/entries", _theirs(lambda o, t: {*t} - {*o} == {"core"})),
    Rule("crun-shm", _CRUN, rf"{_MOUNT.replace('[^/]+', '~dev~shm~inner')}/\w+"),
    Rule("crun-shm", _CRUN, r"report/N/mounts/order", _theirs(lambda o, t: {*t} - {*o} == {"/dev/shm/inner"})),
    Rule("crun-shm", _CRUN, r"report/N/tree/~dev~shm.*"),
    # --- cgroups
    Rule("cgroup-parents", _ALL, r"left/cgroups", _parents),
    Rule("devices-of-type-a", _RUNC, r"step N \w+/process/cgroups/.*devices.list", _theirs(_all_devices)),
    Rule("hybrid", _RUNC, r"step N (create|run)/ok", _peer_says("cannot set hugetlb limit")),
    Rule("pids-zero", _RUNC, r"step N \w+/process/cgroups/.*pids.max", _theirs(lambda o, t: t == "1\n")),
    Rule("kernel-tcp", _RUNC, r"step N \w+/process/cgroups/.*kmem.tcp.limit_in_bytes"),
    # --- hooks
    Rule("hook-files", _ALL, r"hook-\w+/N/fds"),
    Rule("glibc-signals", _ALL, r"(report|hook-\w+)/N/status/SigIgn", _theirs(_but_for_glibcs)),
    Rule("crun-signals", _CRUN, r"(hook-\w+|report)/N/(blocked|status/SigBlk)", _theirs(lambda o, t: len(t) > 0)),
    Rule("crun-hooks", _CRUN, r"hook-\w+/N/(umask|status/Umask|limits|groups|status/Groups)"),
    Rule("crun-hooks", _CRUN, _STATE_PLACE + r"/(pid|status|bundle)", lambda d, _: "startContainer" in d.place),
    Rule("crun-hooks", _CRUN, r"hook-\w+/N/env", _theirs(_with_mark)),
    Rule("crun-hooks", _CRUN, r"hook-createContainer/N/(state/pid|cwd|env)"),
    Rule("crun-hooks", _CRUN, r"hooks", _theirs(lambda o, t: {*t} - {*o} == {"hook-poststart"})),
    Rule("crun-hooks", _CRUN, r"hook-poststart/.*", lambda d, _: d.ours == "(nothing)"),
    Rule("hook-status", _RUNC, _STATE_PLACE + "/status", _theirs(lambda o, t: (o, t) == ("created", "creating"))),
    Rule("hook-directory", _RUNC, r"hook-(poststart|poststop)/N/cwd"),
    Rule("hook-limits", _RUNC, r"hook-createContainer/N/limits"),
    Rule("poststop", _RUNC, r"step N delete/ok", _says("pyoci", "poststop hook")),
    Rule("poststart", _ALL, r"report(/.*)?|output/endings|step N start/process/.*", _poststart_fails),
    Rule("poststart", _ALL, r"step N \w+/(ok|state/.*)", _poststart_fails),
    Rule("start-errors", _ALL, r"step N (start|run)/ok", _pyoci_says("exec: ", "startContainer hook")),
    # --- processes
    Rule("no-capabilities", _RUNC, r"report/N/(status/Cap\w+|calls/\w+|mknod|paths/.*)", lambda d, _: _no_sets(d)),
    Rule("capabilities-beyond", _ALL, r"step N (create|run)/ok", _peer_says("unable to apply caps", "capset")),
    Rule("exec-oom", _ALL, r"report/N/proc/oom_score_adj", lambda d, _: "exec" in _verbs(d)),
    Rule("exec-umask", _RUNC, r"report/N/(umask|status/Umask)", lambda d, _: "exec" in _verbs(d)),
    Rule("exec-files", _RUNC, r"report/N/fds", lambda d, _: "exec" in _verbs(d)),
    Rule("terminal-flags", _ALL, r"report/N/fds", _theirs(lambda o, t: _without_cloexec(o) == t)),
    Rule("groups-twice", _RUNC, r"report/N/(groups|status/Groups)", _theirs(lambda o, t: sorted({*o}) == sorted(t))),
    Rule("crun-created", _CRUN, r"step N wait/(ok|hang)", lambda d, _: "start" not in _verbs(d)),
    Rule("real-time-signals", _RUNC, r"step N kill/ok", _peer_says("unknown signal")),
    # --- what is refused
    Rule("crun-exec-status", _CRUN, r"step N exec/code", _theirs(lambda o, t: (o, t) == (255, 1))),
    Rule("runc-update-panic", _RUNC, r"step N update/ok", _peer_says("panic: runtime error")),
    Rule("delete-created", _ALL, r"step N delete/ok", _pyoci_says("that is not stopped: created")),
    Rule("as-the-kernel-allows", _ALL, r"step N (create|run)/ok", _peer_says(*_ALLOWED)),
    Rule("bind-by-type", _RUNC, r"step N (create|run)/ok", _peer_says("no such device")),
    Rule("time-offsets", _RUNC, r"step N (create|run)/ok", _peer_says("timens_offsets")),
    Rule("strict", _ALL, r"step N (create|run|exec)/ok", _pyoci_says(*_STRICT)),
    # --- what runc was until 1.1, Debian 12's
    Rule("old-runc-limits", _OLD_RUNC, r"(report|hook-\w+)/N/limits"),
    Rule("old-runc-mount-points", _OLD_RUNC, r"(report/N/)?(tree|paths)/.*", _theirs(_made_by_crun)),
    Rule("old-runc-tmpfs", _OLD_RUNC, r"report/N/(paths|tree)/.*", _theirs(_mode_of_tmpfs)),
    Rule("old-runc-tmpfs", _OLD_RUNC, rf"{_MOUNT}/superblock", _theirs(lambda o, t: str(o).startswith(str(t)))),
    Rule("old-runc-propagation", _OLD_RUNC, rf"{_MOUNT}/propagation", lambda d, _: "rootfsPropagation" in _linux(d)),
    Rule("old-runc-hooks", _OLD_RUNC, r"hook-poststart/N/state/status|hook-createContainer/N/env"),
    Rule(
        "old-runc-lacks",
        _OLD_RUNC,
        r"(report|hook-startContainer)/N/(policy|priority|timerslack|nice|ioprio|personality)",
    ),
    Rule("old-runc-lacks", _OLD_RUNC, rf"report/N/(uname|umask|status/Umask|namespaces/\w+)|{_MOUNT}/(options|source)"),
    Rule("old-runc-lacks", _OLD_RUNC, r"step N (create|run)/ok", _peer_says(*_OLD_ERRORS)),
    Rule("old-runc-lacks", _OLD_RUNC, r"step N (create|run)/ok", _pyoci_says(*_NEW)),
)


def _no_sets(difference: Difference) -> bool:
    process = difference.case.config.get("process")
    return isinstance(process, dict) and not process.get("capabilities")
