"""What create, run, plan and exec have in common: the options that describe a new container or process."""

from __future__ import annotations

import posix

from oci_runtime.cli.options import container_id
from oci_runtime.cli.paths import absolute, current_directory
from oci_runtime.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from oci_runtime.cli.main import GlobalOptions
    from oci_runtime.cli.options import Arguments
    from oci_runtime.lifecycle.requests import Common

BUNDLE = ("bundle", "b", "text", "", "directory of the bundle (default: the current directory)")
CONSOLE_SOCKET = ("console-socket", "", "text", "", "AF_UNIX socket that is sent the terminal's descriptor")
PIDFD_SOCKET = ("pidfd-socket", "", "text", "", "AF_UNIX socket that is sent a pidfd of the process")
PID_FILE = ("pid-file", "", "text", "", "file to write the pid of the process to")
NO_PIVOT = ("no-pivot", "", "bool", False, "chroot, not pivot_root; for a root filesystem in a ramdisk")
NO_NEW_KEYRING = ("no-new-keyring", "", "bool", False, "keep the session keyring of the caller")
PRESERVE_FDS = (
    *("preserve-fds", "", "int", 0),
    "pass on what is open of so many descriptors, after 0-2 and those of $LISTEN_FDS",
)

DESCRIPTION = """A bundle is a directory with a config.json and, usually, a root filesystem;
"pyoci spec" writes a config.json to start from. The id must not be in use by
another container below the same --root."""


def create_request(global_options: GlobalOptions, arguments: Arguments) -> dict[str, Any]:
    """The arguments of CreateRequest. UsageError when one cannot be right."""
    listening = listen_fds()
    return {
        **request(global_options, arguments, listening),
        "bundle": bundle(arguments),
        "listen_fds": listening,
        "notify_socket": environment(b"NOTIFY_SOCKET"),
        "no_pivot": arguments.flag("no-pivot"),
        "no_new_keyring": arguments.flag("no-new-keyring"),
        "systemd_cgroup": global_options.systemd_cgroup,
        "rootless": global_options.rootless,
    }


def request(global_options: GlobalOptions, arguments: Arguments, listening: int = 0) -> Common:
    """The arguments of Request, which `exec` has too; `listening` descriptors are passed on in any case."""
    return {
        "root": global_options.root,
        "id": container_id(arguments.positional[0]),
        "console_socket": absolute(arguments.text("console-socket"), "console-socket"),
        "pidfd_socket": absolute(arguments.text("pidfd-socket"), "pidfd-socket"),
        "pid_file": absolute(arguments.text("pid-file"), "pid-file"),
        "preserve_fds": preserved(listening, arguments.number("preserve-fds")),
    }


def bundle(arguments: Arguments) -> str:
    """Absolute path of the bundle."""
    path = arguments.text("bundle")
    return absolute(path, "bundle") if path else current_directory("bundle")


def listen_fds() -> int:
    """How many sockets systemd passed to this very process, from descriptor 3 on (sd_listen_fds(3))."""
    process = environment(b"LISTEN_PID")
    count = environment(b"LISTEN_FDS")
    if not (process.isdecimal() and count.isdecimal()) or int(process) != posix.getpid():
        return 0
    return int(count)


def preserved(listening: int, more: int) -> Sequence[int]:
    """The descriptors from 3 on that the process inherits. UsageError unless we inherited those of systemd.

    Of the `more` after them those that are open: an engine that was told to pass on 5 and 9 asks for seven, with holes
    (podman --preserve-fd). What we opened ourselves is close-on-exec, and what we inherited is not.
    """
    if more < 0:
        raise UsageError(f"--preserve-fds {more}: must not be negative")
    if not listening and not more:
        return ()
    found = [fd for fd in map(int, posix.listdir("/proc/self/fd")) if 3 <= fd < 3 + listening + more]
    inherited = sorted(fd for fd in found if _is_inherited(fd))
    for descriptor in range(3, 3 + listening):
        if descriptor not in inherited:
            raise UsageError(f"descriptor {descriptor}, which $LISTEN_FDS wants to pass on, is not open")
    return inherited


def _is_inherited(descriptor: int) -> bool:
    try:
        return posix.get_inheritable(descriptor)
    except OSError:
        return False  # listdir's own


def environment(name: bytes) -> str:
    return posix.environ.get(name, b"").decode("utf-8", "surrogateescape")
