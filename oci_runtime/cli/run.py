"""`run`: creates and starts a container and waits for it."""

from __future__ import annotations

from oci_runtime.cli import bundle_options as common

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.cli.main import GlobalOptions
    from oci_runtime.cli.options import Arguments

SUMMARY = "create a container from a bundle and run it"
ARGUMENTS = ("<container-id>", 1, 1)
DESCRIPTION = f"""{common.DESCRIPTION}

The exit status is that of the container's process, or 1 when it could not be
run."""
OPTIONS = (
    common.BUNDLE,
    common.CONSOLE_SOCKET,
    common.PIDFD_SOCKET,
    ("detach", "d", "bool", False, "return as soon as the container runs"),
    ("keep", "", "bool", False, "do not delete the container when its process has ended"),
    common.PID_FILE,
    ("no-subreaper", "", "bool", False, "do not adopt the orphans of the container"),
    common.NO_PIVOT,
    common.NO_NEW_KEYRING,
    common.PRESERVE_FDS,
)
FAILURE = ("pyoci run failed: ", 1)


def main(global_options: GlobalOptions, arguments: Arguments) -> int:
    request = common.create_request(global_options, arguments)
    from oci_runtime.lifecycle.requests import RunRequest
    from oci_runtime.lifecycle.run import run

    return run(
        RunRequest(
            detach=arguments.flag("detach"),
            keep=arguments.flag("keep"),
            no_subreaper=arguments.flag("no-subreaper"),
            **request,
        ),
        global_options.warn,
    )
