"""What a plan depends on besides config.json: facts of the host and the options of the command."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from oci_runtime.linux.cgroups.mounts import ContainerMounts
    from oci_runtime.plan.namespaces import Namespaces
    from oci_runtime.plan.operations import Blob, Output, Socket
    from oci_runtime.spec.types import IDMapping


class SeccompFilter:
    """The compiled filter: bytes of BPF, SECCOMP_FILTER_FLAG_ flags, and who takes its listener (enum listener)."""

    __slots__ = ("filter", "flags", "notify", "size")

    def __init__(self, blob: Blob, flags: int, notify: int) -> None:
        self.filter = blob
        self.size = len(blob.data)
        self.flags = flags
        self.notify = notify


class Context:
    """Facts and options, with the values of a plain `create` as root.

    `mounts`: whether anything is mounted, in the container's mount namespace or in the one that it inherits;
    `capabilities`: bits that can be granted here; `capabilities_denied`: those that planning had to leave out, by set;
    `capabilities_unknown`: names that are none, with the pointer of the first;
    `selinux`: whether the kernel has it enabled; `mount_label`: the option that labels a new filesystem, or '';
    `mount_label_left_out`: whether planning had to leave linux.mountLabel out; `in_user_namespace`: of the container
    or of the runtime, so that the kernel lets no device be made; `keyring`: name of the session keyring or '';
    `cgroup_mounts`: see cgroup_mounts.py; `hook_output`: the files that get the standard output and error of hooks;
    `open_files`: RLIMIT_NOFILE that the process inherits although it is too low for init, soft and hard;
    `groups_kept`: the process has the caller's supplementary groups, and `groups_left_out`: though it names some.
    """

    __slots__ = (
        "bind_propagation",
        "bundle",
        "capabilities",
        "capabilities_denied",
        "capabilities_unknown",
        "cgroup_mounts",
        "console_socket",
        "groups_denied",
        "groups_kept",
        "groups_left_out",
        "hook_output",
        "id_mappings",
        "in_user_namespace",
        "keyring",
        "mount_label",
        "mount_label_left_out",
        "mounts",
        "namespaces",
        "no_pivot",
        "open_files",
        "options_left_out",
        "preserved",
        "rootfs",
        "seccomp",
        "selinux",
        "start_socket",
    )

    def __init__(self, bundle: str, namespaces: Namespaces) -> None:
        self.bundle = bundle
        self.namespaces = namespaces
        self.capabilities = (1 << 41) - 1
        self.capabilities_denied: dict[str, int] = {}
        self.capabilities_unknown: dict[str, str] = {}
        self.in_user_namespace = False
        self.groups_denied = False
        self.groups_kept = False
        self.groups_left_out = False
        self.id_mappings: tuple[list[IDMapping], list[IDMapping]] = ([], [])
        self.keyring = ""
        self.mount_label = ""
        self.mount_label_left_out = False
        self.selinux = True
        self.no_pivot = False
        self.options_left_out: list[tuple[str, str]] = []
        self.open_files: tuple[int, int] | None = None
        self.preserved: Sequence[int] = ()
        self.rootfs = ""
        self.mounts = True
        self.bind_propagation = 0
        self.cgroup_mounts: ContainerMounts | None = None
        self.console_socket: Socket | None = None
        self.start_socket: Socket | None = None
        self.seccomp: SeccompFilter | None = None
        self.hook_output: tuple[Output | None, Output | None] = (None, None)

    def waits_filtered(self) -> bool:
        """Whether the filter is loaded before the process is told to start: that of a listener."""
        return bool(self.start_socket and self.seccomp and self.seccomp.notify)
