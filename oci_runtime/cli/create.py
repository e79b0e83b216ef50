"""`create`: makes a container from a bundle; its process waits for `start`."""

from __future__ import annotations

from oci_runtime.cli import bundle_options as common

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.cli.main import GlobalOptions
    from oci_runtime.cli.options import Arguments

SUMMARY = "create a container from a bundle"
ARGUMENTS = ("<container-id>", 1, 1)
DESCRIPTION = f"""{common.DESCRIPTION}

The process of config.json runs when "pyoci start" is called."""
OPTIONS = (
    common.BUNDLE,
    common.CONSOLE_SOCKET,
    common.PIDFD_SOCKET,
    common.PID_FILE,
    common.NO_PIVOT,
    common.NO_NEW_KEYRING,
    common.PRESERVE_FDS,
)
FAILURE = ("pyoci create failed: ", 1)


def main(global_options: GlobalOptions, arguments: Arguments) -> int:
    request = common.create_request(global_options, arguments)
    from oci_runtime.lifecycle.create import create
    from oci_runtime.lifecycle.requests import CreateRequest

    create(CreateRequest(**request), global_options.warn)
    return 0
