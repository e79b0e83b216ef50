"""`start`: lets the process of a created container run."""

from __future__ import annotations

from oci_runtime.cli.bundle_options import environment
from oci_runtime.cli.options import container_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.cli.main import GlobalOptions
    from oci_runtime.cli.options import Arguments, Options

SUMMARY = "run the process of a created container"
ARGUMENTS = ("<container-id>", 1, 1)
OPTIONS: Options = ()


def main(global_options: GlobalOptions, arguments: Arguments) -> int:
    identifier = container_id(arguments.positional[0])
    from oci_runtime.lifecycle.start import start

    start(global_options.root, identifier, global_options.warn, environment(b"NOTIFY_SOCKET"))
    return 0
