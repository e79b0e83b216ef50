"""`pause`: freezes all processes of a container."""

from __future__ import annotations

from oci_runtime.cli.options import container_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.cli.main import GlobalOptions
    from oci_runtime.cli.options import Arguments, Options

SUMMARY = "freeze all processes of a container"
ARGUMENTS = ("<container-id>", 1, 1)
OPTIONS: Options = ()


def main(global_options: GlobalOptions, arguments: Arguments) -> int:
    identifier = container_id(arguments.positional[0])
    from oci_runtime.lifecycle.pause import pause

    pause(global_options.root, identifier, global_options.warn)
    return 0
