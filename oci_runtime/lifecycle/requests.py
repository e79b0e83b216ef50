"""What a command asks of lifecycle/: the command line, checked and made independent of the current directory.

Paths are absolute and '' stands for an option that was not given.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, TypedDict

    from typing_extensions import Unpack

    class Common(TypedDict, total=False):
        """The arguments of Request."""

        root: str
        id: str
        console_socket: str
        pidfd_socket: str
        pid_file: str
        preserve_fds: Sequence[int]


class Request:
    """A process of a container is wanted.

    root            directory of all state, /run/pyoci
    id              the container's id, valid
    console_socket  AF_UNIX socket that gets the terminal's descriptor
    pidfd_socket    AF_UNIX socket that gets a pidfd of the process
    pid_file        file that gets the pid of the process
    preserve_fds    descriptors that the process inherits; all of them are open
    """

    __slots__ = ("console_socket", "id", "pid_file", "pidfd_socket", "preserve_fds", "root")

    def __init__(
        self,
        *,
        root: str,
        id: str,
        console_socket: str = "",
        pidfd_socket: str = "",
        pid_file: str = "",
        preserve_fds: Sequence[int] = (),
    ) -> None:
        self.root = root
        self.id = id
        self.console_socket = console_socket
        self.pidfd_socket = pidfd_socket
        self.pid_file = pid_file
        self.preserve_fds = preserve_fds


class CreateRequest(Request):
    """Create a container from a bundle (`create`, and `plan`, which only shows what create would do).

    bundle          directory that holds config.json
    listen_fds      how many of the preserved descriptors, the first ones, are systemd's (sd_listen_fds(3)): the
                    container's process is to find LISTEN_FDS and LISTEN_PID=1 in its environment when it is not 0
    notify_socket   systemd's notification socket, $NOTIFY_SOCKET
    no_pivot        chroot rather than pivot_root
    no_new_keyring  stay in the caller's session keyring
    systemd_cgroup  cgroupsPath is slice:prefix:name and systemd makes the cgroup
    rootless        ignore what only real root may do to cgroups: yes, no, or None to find out
    """

    __slots__ = (
        "bundle",
        "listen_fds",
        "no_new_keyring",
        "no_pivot",
        "notify_socket",
        "rootless",
        "systemd_cgroup",
    )

    def __init__(
        self,
        *,
        bundle: str,
        listen_fds: int = 0,
        notify_socket: str = "",
        no_pivot: bool = False,
        no_new_keyring: bool = False,
        systemd_cgroup: bool = False,
        rootless: bool | None = None,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(**common)
        self.bundle = bundle
        self.listen_fds = listen_fds
        self.notify_socket = notify_socket
        self.no_pivot = no_pivot
        self.no_new_keyring = no_new_keyring
        self.systemd_cgroup = systemd_cgroup
        self.rootless = rootless


class RunRequest(CreateRequest):
    """Create a container, start it and, unless `detach`, wait for it.

    detach        return once it runs
    keep          do not delete it after it ended
    no_subreaper  do not become the reaper of its orphans
    """

    __slots__ = ("detach", "keep", "no_subreaper")

    def __init__(self, *, detach: bool = False, keep: bool = False, no_subreaper: bool = False, **create: Any) -> None:
        super().__init__(**create)
        self.detach = detach
        self.keep = keep
        self.no_subreaper = no_subreaper


class ExecRequest(Request):
    """Run a further process in a container.

    process          path of a process.json; if given, `args` and what follows it here is not looked at
    args             the command and its arguments
    detach           return once it runs
    tty              give it a terminal
    cwd              its working directory, inside the container
    env              NAME=VALUE, added to the environment of config.json's process
    user             uid, and gid or None for the gid in config.json; None altogether for the user in config.json
    additional_gids  supplementary groups, added to those of config.json
    caps             capabilities (CAP_…), added to the bounding, effective and permitted sets
    apparmor         AppArmor profile
    process_label    SELinux label
    no_new_privs     None when the option was not given
    cgroup           paths of cgroups below the container's by controller of cgroup v1, or one by '' for all of them
    ignore_paused    allowed even if the container is paused
    """

    __slots__ = (
        "additional_gids",
        "apparmor",
        "args",
        "caps",
        "cgroup",
        "cwd",
        "detach",
        "env",
        "ignore_paused",
        "no_new_privs",
        "process",
        "process_label",
        "tty",
        "user",
    )

    def __init__(
        self,
        *,
        args: Sequence[str] = (),
        process: str = "",
        detach: bool = False,
        tty: bool = False,
        cwd: str = "",
        env: Sequence[str] = (),
        user: tuple[int, int | None] | None = None,
        additional_gids: Sequence[int] = (),
        caps: Sequence[str] = (),
        apparmor: str = "",
        process_label: str = "",
        no_new_privs: bool | None = None,
        cgroup: Mapping[str, str] | None = None,
        ignore_paused: bool = False,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(**common)
        self.args = args
        self.process = process
        self.detach = detach
        self.tty = tty
        self.cwd = cwd
        self.env = env
        self.user = user
        self.additional_gids = additional_gids
        self.caps = caps
        self.apparmor = apparmor
        self.process_label = process_label
        self.no_new_privs = no_new_privs
        self.cgroup: Mapping[str, str] = {} if cgroup is None else cgroup
        self.ignore_paused = ignore_paused
