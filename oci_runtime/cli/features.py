"""`features`: prints what this runtime can do, as JSON (runtime-spec, features.md)."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.cli.main import GlobalOptions
    from oci_runtime.cli.options import Arguments, Options

SUMMARY = "print the features of this runtime as JSON"
ARGUMENTS = ("", 0, 0)
OPTIONS: Options = ()


def main(global_options: GlobalOptions, arguments: Arguments) -> int:
    from oci_runtime.cli.json_text import indented
    from oci_runtime.cli.main import write_output
    from oci_runtime.lifecycle.features import features

    write_output(indented(features(), "    ") + "\n")
    return 0
