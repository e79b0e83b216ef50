"""`exec`: runs a further process in a container."""

from __future__ import annotations

from oci_runtime.cli import bundle_options as common
from oci_runtime.cli.paths import absolute
from oci_runtime.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from oci_runtime.cli.main import GlobalOptions
    from oci_runtime.cli.options import Arguments

SUMMARY = "run a further process in a container"
ARGUMENTS = ("<container-id> <command> [argument]... | --process process.json <container-id>", 1, None)
DESCRIPTION = """The process is as config.json describes the container's own, but for the command
and what the options change; or it is described by a process.json. The exit
status is that of the process, or 255 when it could not be run."""
OPTIONS = (
    common.CONSOLE_SOCKET,
    common.PIDFD_SOCKET,
    ("cwd", "", "text", "", "working directory in the container"),
    ("env", "e", "list", (), "add NAME=VALUE to the environment"),
    ("tty", "t", "bool", False, "give the process a terminal"),
    ("user", "u", "text", "", "run as UID[:GID]"),
    ("additional-gids", "g", "ints", (), "add a supplementary group"),
    ("process", "p", "text", "", "process.json that describes the process"),
    ("detach", "d", "bool", False, "return as soon as the process runs"),
    common.PID_FILE,
    ("process-label", "", "text", "", "SELinux label of the process"),
    ("apparmor", "", "text", "", "AppArmor profile of the process"),
    ("no-new-privs", "", "bool", False, "set no_new_privs, or with =false do not, whatever config.json says"),
    ("cap", "c", "list", (), "add a capability"),
    common.PRESERVE_FDS,
    ("cgroup", "", "list", (), "run in an existing cgroup below the container's: [controller[,controller]...:]path"),
    ("ignore-paused", "", "bool", False, "allow a paused container"),
)
INTERLEAVED = False
FAILURE = ("exec failed: ", 255)

#: (uid_t)-1 and (gid_t)-1 mean "unchanged" to the kernel, so they are nobody's.
MAX_IDENTIFIER = 0xFFFFFFFE


def main(global_options: GlobalOptions, arguments: Arguments) -> int:
    request = common.request(global_options, arguments)
    process = absolute(arguments.text("process"), "process")
    command = arguments.positional[1:]
    if not command and not process:
        raise UsageError("exec args cannot be empty: give a command or --process")
    from oci_runtime.lifecycle.exec import exec_process
    from oci_runtime.lifecycle.requests import ExecRequest

    return exec_process(
        ExecRequest(
            args=command,
            process=process,
            detach=arguments.flag("detach"),
            tty=arguments.flag("tty"),
            cwd=arguments.text("cwd"),
            env=environment_variables(arguments.texts("env")),
            user=user(arguments.text("user")),
            additional_gids=[_in_range(gid, "additional-gids") for gid in arguments.numbers("additional-gids")],
            caps=arguments.texts("cap"),
            apparmor=arguments.text("apparmor"),
            process_label=arguments.text("process-label"),
            no_new_privs=arguments.flag("no-new-privs") if arguments.is_set("no-new-privs") else None,
            cgroup=cgroups(arguments.texts("cgroup")),
            ignore_paused=arguments.flag("ignore-paused"),
            **request,
        ),
        global_options.warn,
    )


def user(text: str) -> tuple[int, int | None] | None:
    """UID[:GID] of --user."""
    if not text:
        return None
    uid, colon, gid = text.partition(":")
    return _identifier(uid, "uid", text), _identifier(gid, "gid", text) if colon else None


def environment_variables(variables: Sequence[str]) -> Sequence[str]:
    """The values of --env, as they are."""
    for variable in variables:
        name, equals, _ = variable.partition("=")
        if not name or not equals:
            raise UsageError(f"--env {variable!r}: must be NAME=VALUE")
    return variables


def cgroups(values: Sequence[str]) -> dict[str, str]:
    """The values of --cgroup as path by controller; one without a controller, for all of them, is that of ''."""
    paths: dict[str, str] = {}
    for value in values:
        controllers, colon, path = value.partition(":")
        if not colon:
            if len(values) > 1:
                raise UsageError(f"--cgroup {value}: must begin with a controller and a colon when there are several")
            return {"": value}
        for controller in controllers.split(","):
            if not controller:
                raise UsageError(f"--cgroup {value}: empty controller; valid is CONTROLLER[,CONTROLLER...]:PATH")
            if controller in paths:
                raise UsageError(f"--cgroup {value}: controller {controller} is there twice")
            paths[controller] = path
    return paths


def _identifier(text: str, what: str, value: str) -> int:
    if not (text.isascii() and text.isdecimal()) or len(text) > 10:
        raise UsageError(f"--user {value}: bad {what} {text!r}; must be UID or UID:GID, both numbers")
    return _in_range(int(text), "user")


def _in_range(identifier: int, option: str) -> int:
    if not 0 <= identifier <= MAX_IDENTIFIER:
        raise UsageError(f"--{option} {identifier}: must be from 0 to {MAX_IDENTIFIER}")
    return identifier
