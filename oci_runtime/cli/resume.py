"""`resume`: thaws a paused container."""

from __future__ import annotations

from oci_runtime.cli.options import container_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.cli.main import GlobalOptions
    from oci_runtime.cli.options import Arguments, Options

SUMMARY = "let the processes of a paused container go on"
ARGUMENTS = ("<container-id>", 1, 1)
OPTIONS: Options = ()


def main(global_options: GlobalOptions, arguments: Arguments) -> int:
    identifier = container_id(arguments.positional[0])
    from oci_runtime.lifecycle.resume import resume

    resume(global_options.root, identifier, global_options.warn)
    return 0
