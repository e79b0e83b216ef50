"""`delete`: removes a container and all that it holds."""

from __future__ import annotations

from oci_runtime.cli.options import container_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.cli.main import GlobalOptions
    from oci_runtime.cli.options import Arguments

SUMMARY = "remove a container and everything it holds"
ARGUMENTS = ("<container-id>", 1, 1)
DESCRIPTION = """A container whose process has ended is removed; one that is created, runs or is
paused only with --force, which also is content when there is no such container."""
OPTIONS = (("force", "f", "bool", False, "kill what has not ended (SIGKILL), and remove it"),)


def main(global_options: GlobalOptions, arguments: Arguments) -> int:
    identifier = container_id(arguments.positional[0])
    from oci_runtime.lifecycle.delete import delete

    delete(global_options.root, identifier, arguments.flag("force"), global_options.warn)
    return 0
