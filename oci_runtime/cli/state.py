"""`state`: prints the state of a container as JSON (runtime-spec, runtime.md, State)."""

from __future__ import annotations

from oci_runtime.cli.options import container_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.cli.main import GlobalOptions
    from oci_runtime.cli.options import Arguments, Options

SUMMARY = "print the state of a container as JSON"
ARGUMENTS = ("<container-id>", 1, 1)
OPTIONS: Options = ()


def main(global_options: GlobalOptions, arguments: Arguments) -> int:
    identifier = container_id(arguments.positional[0])
    from oci_runtime.cli.json_text import indented
    from oci_runtime.cli.main import write_output
    from oci_runtime.lifecycle.state import state

    write_output(indented(state(global_options.root, identifier)))
    return 0
