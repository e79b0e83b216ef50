"""What a plan depends on besides the configuration: facts of the host, and the options of the command."""

from __future__ import annotations

import posix

from oci_runtime._shim import lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from oci_runtime.lifecycle.requests import CreateRequest
    from oci_runtime.plan.context import Context
    from oci_runtime.spec.types import Config


def fill_context(context: Context, request: CreateRequest, config: Config) -> None:
    """The facts of the host and the options of the command that a plan depends on."""
    user_namespace = context.namespaces.has("user")
    context.in_user_namespace = user_namespace
    if not user_namespace:
        from oci_runtime.linux.own_ids import in_user_namespace

        context.in_user_namespace = in_user_namespace()
    context.capabilities = available_capabilities(user_namespace)
    context.no_pivot = request.no_pivot
    context.preserved = request.preserve_fds
    if "mountLabel" in config.get("linux", {}):
        context.selinux = has_selinux()
    if config.get("annotations"):
        from oci_runtime.annotations import keeps_groups

        context.groups_kept = keeps_groups(config)
    if not request.no_new_keyring:
        context.keyring = f"_ses.{request.id}"
    if "user" in context.namespaces.new and posix.geteuid() != 0:
        from oci_runtime.linux.subordinate_ids import groups_are_denied

        context.groups_denied = groups_are_denied(config.get("linux", {}).get("gidMappings", []))


def is_rootless() -> bool:
    """Whether the runtime lacks root's rights over cgroups and devices: it is not root, or root of a user namespace."""
    if posix.geteuid() != 0:
        return True
    from oci_runtime.linux.own_ids import in_user_namespace

    return in_user_namespace()


def available_capabilities(user_namespace: bool) -> int:
    """What can be granted: all that the kernel knows to root of a user namespace, else what the runtime has itself."""
    if user_namespace:
        return int((1 << (lib.sys_capabilities_last() + 1)) - 1)
    return int(lib.sys_permitted_capabilities())


def has_selinux() -> bool:
    """Whether the kernel has SELinux enabled: it knows selinuxfs only then (security/selinux/selinuxfs.c)."""
    try:
        fd = posix.open("/proc/filesystems", posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError:
        return True  # the mounts will tell
    found = posix.read(fd, 65536)
    posix.close(fd)
    return b"\tselinuxfs\n" in found


def warn_of_what_is_left_out(context: Context, warn: Callable[[str], None]) -> None:
    """Tells what the plan had to leave out."""
    if context.mount_label_left_out:
        warn("mounts get no label, as SELinux is not enabled on this machine (/linux/mountLabel)")
    for words, pointer in context.options_left_out:
        warn(f"a bind mount has no options of a filesystem: {words} left out ({pointer})")
    if context.groups_left_out:
        from oci_runtime.annotations import KEEP_ORIGINAL_GROUPS

        words = f"additional groups are left out, as {KEEP_ORIGINAL_GROUPS} keeps the caller's"
        warn(f"{words} (/process/user/additionalGids)")
    if context.capabilities_denied or context.capabilities_unknown:
        from oci_runtime.plan.capabilities import left_out

        for sentence in left_out(context):
            warn(sentence)
