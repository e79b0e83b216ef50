"""Broken bundles and calls, each with what its message must say. test_broken_inputs.py runs them, errors_document.py
makes docs/errors.md of some."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from containers import Bundle


class Broken:
    """A broken bundle: what `create` must say of it. `pointer` is '' where no property is to blame.

    `located`: the message has config.json's name, line and column; what only the kernel refuses has not.
    """

    __slots__ = ("_break", "located", "name", "pointer", "texts")

    def __init__(
        self, name: str, pointer: str, texts: tuple[str, ...], break_it: Callable[[Bundle], object], located: bool
    ) -> None:
        self.name = name
        self.pointer = pointer
        self.texts = texts
        self.located = located
        self._break = break_it

    def make(self, bundle: Bundle) -> None:
        """Breaks the bundle, and writes it."""
        bundle.save()
        if self._break(bundle) is not True:  # it has written a text of its own
            bundle.save()


REMOVED = object()


def change(config: Any, pointer: str, value: Any) -> None:
    """Sets, adds (…/-) or removes the value at a JSON pointer."""
    *parents, last = pointer.split("/")[1:]
    for key in parents:
        config = config[int(key)] if isinstance(config, list) else config.setdefault(key, {})
    if last == "-":
        config.append(value)
    elif value is REMOVED:
        del config[last]
    else:
        config[int(last) if isinstance(config, list) else last] = value


def _edit(name: str, at: str, value: Any, *texts: str, pointer: str | None = None, located: bool = True) -> Broken:
    blamed = at if pointer is None else pointer
    return Broken(name, blamed, texts, lambda bundle: change(bundle.config, at, value), located)


def _kernel(name: str, at: str, value: Any, *texts: str, pointer: str | None = None) -> Broken:
    return _edit(name, at, value, *texts, pointer=pointer, located=False)


def _text(name: str, change_text: Callable[[bytes], bytes], *texts: str, located: bool = True) -> Broken:
    def break_it(bundle: Bundle) -> bool:
        file = bundle.path / "config.json"
        file.write_bytes(change_text(file.read_bytes()))
        return True

    return Broken(name, "", texts, break_it, located)


def _bundle(name: str, break_it: Callable[[Bundle], object], *texts: str, pointer: str = "") -> Broken:
    return Broken(name, pointer, texts, break_it, False)


def _new_user_namespace(bundle: Bundle) -> None:
    bundle.user_namespace()
    bundle.linux["uidMappings"][0]["size"] = 10
    bundle.linux["uidMappings"].append({"containerID": 5, "hostID": 200000, "size": 10})


def _without_rootfs(bundle: Bundle) -> None:
    bundle.rootfs.rename(bundle.path / "elsewhere")


def _without_config(bundle: Bundle) -> bool:
    (bundle.path / "config.json").unlink()
    return True


def _directory_as_config(bundle: Bundle) -> bool:
    _without_config(bundle)
    (bundle.path / "config.json").mkdir()
    return True


def _fifo_as_config(bundle: Bundle) -> bool:
    (bundle.path / "config.json").unlink()
    os.mkfifo(bundle.path / "config.json")
    return True


def _rootfs_is_a_file(bundle: Bundle) -> None:
    _without_rootfs(bundle)
    bundle.rootfs.write_text("")


PID = {"type": "pid"}
LIMIT = {"type": "RLIMIT_NOFILE", "soft": 10, "hard": 10}
HOST_MOUNT = {"destination": "/mnt", "source": "/no/such/source", "options": ["bind"]}

CONFIGS = [
    # --- no JSON
    _text("truncated", lambda text: text[: len(text) // 2]),
    _text("empty", lambda text: b"", "the file is empty", located=False),
    _text("trailing comma", lambda text: text.replace(b'"terminal": false,', b'"terminal": false,,', 1)),
    _text("comma before the end", lambda text: text[: text.rindex(b"}")] + b",}"),
    _text("two documents", lambda text: text + b"{}"),
    _text("bad UTF-8", lambda text: text.replace(b'"hostname": "', b'"hostname": "\xff', 1)),
    _text("a control character", lambda text: text.replace(b'"hostname": "', b'"hostname": "\x01', 1)),
    _text("a comment", lambda text: b"// comment\n" + text),
    _text("no object", lambda text: b"[]", "object"),
    _text("NaN", lambda text: text.replace(b'"uid": 0', b'"uid": NaN', 1)),
    # --- wrong by the schema
    _edit("no ociVersion", "/ociVersion", REMOVED, "ociVersion", pointer=""),
    _edit("ociVersion 2.0.0", "/ociVersion", "2.0.0", "2.0.0"),
    _edit("ociVersion of words", "/ociVersion", "latest", "latest"),
    _edit("no root", "/root", REMOVED, "root", pointer=""),
    _edit("root without path", "/root", {}, "path"),
    _edit("no cwd", "/process/cwd", REMOVED, "cwd", pointer="/process"),
    _edit("relative cwd", "/process/cwd", "tmp", "absolute"),
    _edit("args as text", "/process/args", "sh -c true", "array"),
    _edit("no args", "/process/args", [], pointer="/process/args"),
    _edit("an empty command", "/process/args", [""], pointer="/process/args"),
    _edit("NUL in an argument", "/process/args", ["/bin/echo", "a\0b"], "NUL", pointer="/process/args/1"),
    _edit("NUL in the environment", "/process/env/-", "A=\0", "NUL", pointer="/process/env/2"),
    _edit("environment without =", "/process/env/-", "A", "NAME=VALUE", pointer="/process/env/2"),
    _edit("uid as text", "/process/user/uid", "root", "integer"),
    _edit("negative gid", "/process/user/gid", -1),
    _edit("uid too large", "/process/user/uid", 1 << 32),
    _edit("terminal as number", "/process/terminal", 1, "true or false"),
    _edit(
        "a terminal as large as a house",
        "/process",
        {"terminal": True, "consoleSize": {"height": 1 << 20, "width": 1}, "cwd": "/", "args": ["sh"]},
        pointer="/process/consoleSize/height",
    ),
    _edit("a rlimit twice", "/process/rlimits", [LIMIT, LIMIT], pointer="/process/rlimits/1/type"),
    _edit("soft limit above the hard", "/process/rlimits", [{**LIMIT, "soft": 11}], pointer="/process/rlimits/0/soft"),
    _edit(
        "unknown rlimit",
        "/process/rlimits",
        [{**LIMIT, "type": "RLIMIT_LUCK"}],
        "RLIMIT_LUCK",
        pointer="/process/rlimits/0/type",
    ),
    _edit("oomScoreAdj out of range", "/process/oomScoreAdj", 1001),
    _edit("unknown scheduler", "/process/scheduler", {"policy": "SCHED_LUCK"}, pointer="/process/scheduler/policy"),
    _edit(
        "unknown class of I/O",
        "/process/ioPriority",
        {"class": "IOPRIO_CLASS_LUCK", "priority": 1},
        pointer="/process/ioPriority/class",
    ),
    _edit("mount without destination", "/mounts/-", {"type": "tmpfs"}, "destination", pointer="/mounts/6"),
    _edit("mount options as text", "/mounts/0/options", "ro", "array"),
    _edit("duplicate namespaces", "/linux/namespaces/-", PID, pointer="/linux/namespaces/5"),
    _edit("unknown namespace", "/linux/namespaces/-", {"type": "luck"}, "luck", pointer="/linux/namespaces/5/type"),
    _edit("relative path of a namespace", "/linux/namespaces/0/path", "ns"),
    _edit(
        "mappings without user namespace", "/linux/uidMappings", [{"containerID": 0, "hostID": 0, "size": 1}], "user"
    ),
    _edit("hostname without namespace", "/linux/namespaces", [{"type": "mount"}], "uts", pointer="/hostname"),
    _edit("annotation that is no text", "/annotations", {"a": 1}, pointer="/annotations/a"),
    _edit("hook without path", "/hooks", {"poststop": [{"args": ["x"]}]}, "path", pointer="/hooks/poststop/0"),
    _edit(
        "hook with relative path",
        "/hooks",
        {"prestart": [{"path": "sh"}]},
        "absolute",
        pointer="/hooks/prestart/0/path",
    ),
    _edit(
        "hook with timeout 0",
        "/hooks",
        {"prestart": [{"path": "/bin/sh", "timeout": 0}]},
        pointer="/hooks/prestart/0/timeout",
    ),
    _edit(
        "unknown seccomp action",
        "/linux/seccomp",
        {"defaultAction": "SCMP_ACT_LUCK"},
        "SCMP_ACT_LUCK",
        pointer="/linux/seccomp/defaultAction",
    ),
    _edit(
        "unknown kind of device", "/linux/devices", [{"path": "/dev/x", "type": "q"}], pointer="/linux/devices/0/type"
    ),
    _edit("device without numbers", "/linux/devices", [{"path": "/dev/x", "type": "c"}], pointer="/linux/devices/0"),
    _edit("unknown propagation", "/linux/rootfsPropagation", "loud", "loud"),
    _edit("limit as text", "/linux/resources/memory", {"limit": "1G"}, pointer="/linux/resources/memory/limit"),
    _edit("pids limit as text", "/linux/resources/pids", {"limit": "many"}, pointer="/linux/resources/pids/limit"),
    _edit(
        "device rule without access",
        "/linux/resources/devices",
        [{"allow": True}],
        pointer="/linux/resources/devices/0/access",
    ),
    _edit("unknown sysctl", "/linux/sysctl", {"luck": "1"}, pointer="/linux/sysctl/luck"),
    # --- what only shows when it is done
    _kernel(
        "unknown filesystem",
        "/mounts/-",
        {"destination": "/mnt", "type": "luckfs", "source": "x"},
        "luckfs",
        "No such device",
        pointer="/mounts/6",
    ),
    _kernel(
        "source that is not there",
        "/mounts/-",
        HOST_MOUNT,
        "/no/such/source",
        "No such file or directory",
        pointer="/mounts/6/source",
    ),
    _kernel(
        "unknown mount option",
        "/mounts/-",
        {"destination": "/mnt", "type": "tmpfs", "options": ["luck=1"]},
        "luck",
        pointer="/mounts/6",
    ),
    _kernel(
        "sysctl that is not there",
        "/linux/sysctl",
        {"net.ipv4.luck": "1"},
        "No such file or directory",
        pointer="/linux/sysctl/net.ipv4.luck",
    ),
    _kernel(
        "sysctl that cannot be written",
        "/linux/sysctl",
        {"net.ipv4.conf.lo.mc_forwarding": "1"},
        pointer="/linux/sysctl/net.ipv4.conf.lo.mc_forwarding",
    ),
    _kernel(
        "value that a sysctl refuses",
        "/linux/sysctl",
        {"net.ipv4.ip_forward": "x"},
        "Invalid argument",
        pointer="/linux/sysctl/net.ipv4.ip_forward",
    ),
    _kernel(
        "rlimit above the hard one",
        "/process/rlimits",
        [{"type": "RLIMIT_NOFILE", "soft": 1, "hard": 1 << 31}],
        "Operation not permitted",
        pointer="/process/rlimits/0",
    ),
    _kernel(
        "namespace that is not there",
        "/linux/namespaces/1",
        {"type": "network", "path": "/no/such/ns"},
        "No such file or directory",
        pointer="/linux/namespaces/1/path",
    ),
    _kernel(
        "namespace that is another file",
        "/linux/namespaces/1",
        {"type": "network", "path": "/etc/passwd"},
        "Invalid argument",
        pointer="/linux/namespaces",
    ),
    _kernel(
        "namespace of another kind",
        "/linux/namespaces/1",
        {"type": "network", "path": "/proc/self/ns/uts"},
        "Invalid argument",
        pointer="/linux/namespaces",
    ),
    _kernel(
        "program that is not there",
        "/process/args",
        ["/no/such/program"],
        "no such file or directory",
        pointer="/process/args/0",
    ),
    _kernel(
        "program that is not in the PATH",
        "/process/args",
        ["no-such-program"],
        "not found in $PATH",
        pointer="/process/args/0",
    ),
    _kernel("program that is a directory", "/process/args", ["/etc"], "is a directory", pointer="/process/args/0"),
    _kernel(
        "device below a file",
        "/linux/devices",
        [{"path": "/etc/passwd/x", "type": "c", "major": 1, "minor": 3}],
        "Not a directory",
        pointer="/linux/devices/0",
    ),
    _kernel(
        "mount on a file",
        "/mounts/-",
        {"destination": "/etc/passwd", "type": "tmpfs", "source": "x"},
        "/etc/passwd",
        pointer="/mounts/6",
    ),
    _edit("cgroup path that is the root", "/linux/cgroupsPath", "/"),
    Broken("overlapping id mappings", "/linux/uidMappings", (), _new_user_namespace, True),
    _bundle("rootfs that is not there", _without_rootfs, "rootfs is no directory", pointer="/root/path"),
    _bundle("rootfs that is a file", _rootfs_is_a_file, "rootfs is no directory", pointer="/root/path"),
    _bundle("no config.json", _without_config, "config.json: No such file or directory"),
    _bundle("config.json that is a directory", _directory_as_config, "config.json", "directory"),
    _bundle("config.json that is a FIFO", _fifo_as_config, "config.json: it is a FIFO that nobody writes to"),
]


class Call:
    """A call that must be refused. In `argv` BUNDLE and ID stand for a good bundle and an id that is free, CREATED and
    RUNNING for containers; `code` is the exit code."""

    __slots__ = ("argv", "code", "texts")

    def __init__(self, argv: str, *texts: str, code: int = 1) -> None:
        self.argv = argv.split(" ")
        self.texts = texts
        self.code = code

    def __str__(self) -> str:
        return " ".join(self.argv)


CALLS = [
    Call("create --bundle BUNDLE ../x", "invalid container ID format"),
    Call("create --bundle BUNDLE a/b", "invalid container ID format"),
    Call("create --bundle BUNDLE ", "container id cannot be empty"),
    Call("create --bundle BUNDLE .", "invalid container ID format"),
    Call("create --bundle BUNDLE ..", "invalid container ID format"),
    Call("create --bundle BUNDLE ä", "invalid container ID format"),
    Call("create --bundle BUNDLE ~x", "invalid container ID format"),
    Call("create --bundle BUNDLE " + "x" * 1025, "container"),
    Call("create --bundle BUNDLE", "requires exactly 1 argument"),
    Call("create --bundle BUNDLE ID more", "requires exactly 1 argument"),
    Call("create --bundle BUNDLE CREATED", "container with given ID already exists"),
    Call("create --luck ID", "luck"),
    Call("create --bundle", "bundle"),
    Call("create --bundle /no/such/bundle ID", "/no/such/bundle"),
    Call("create --bundle /etc/passwd ID", "/etc/passwd"),
    Call("create --bundle BUNDLE --preserve-fds x ID", "preserve-fds"),
    Call("create --bundle BUNDLE --preserve-fds -1 ID", "preserve-fds"),
    Call("create --bundle BUNDLE --pid-file /no/such/pid ID", "/no/such/pid"),
    Call("create --bundle BUNDLE --pidfd-socket /no/such/socket ID", "/no/such/socket"),
    Call("start ID", "container does not exist"),
    Call("start RUNNING", "cannot start an already running container"),
    Call("kill RUNNING SIGLUCK", "unknown signal"),
    Call("kill RUNNING 1000", "unknown signal"),
    Call("kill", "argument"),
    Call("delete RUNNING", "that is not stopped: running"),
    Call("state ../../etc", "invalid container ID format"),
    Call("state --luck RUNNING", "luck"),
    Call("resume RUNNING", "container not paused"),
    Call("list --format yaml", "yaml"),
    Call("ps --format yaml RUNNING", "yaml"),
    Call("exec RUNNING", "exec args cannot be empty", code=255),
    Call("exec RUNNING no-such-program", "executable file not found in $PATH", code=255),
    Call("exec --user me RUNNING true", "--user me", code=255),
    Call("exec --cap CAP_FLY RUNNING true", "CAP_FLY", code=255),
    Call("luck", "luck", code=3),
]

GLOBAL = [
    (["--log-format", "xml"], "xml"),
    (["--log", "/no/such/log"], "/no/such/log"),
    (["--root", "/"], "--root"),
    (["--rootless", "maybe"], "rootless"),
    (["--luck"], "luck"),
]
