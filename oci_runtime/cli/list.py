"""`list`: the containers below the root, as a table, as JSON, or their ids."""

from __future__ import annotations

from oci_runtime.errors import StateError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from oci_runtime.cli.main import GlobalOptions
    from oci_runtime.cli.options import Arguments

SUMMARY = "list the containers below --root"
ARGUMENTS = ("", 0, 0)
OPTIONS = (
    ("format", "f", "text", "table", "table or json"),
    ("quiet", "q", "bool", False, "print only the ids"),
)

_COLUMNS = ("id", "pid", "status", "bundle", "created", "owner")


def main(global_options: GlobalOptions, arguments: Arguments) -> int:
    output_format = arguments.text("format")
    if output_format not in ("table", "json"):
        raise UsageError(f"invalid format option {output_format!r}; must be table or json")
    from oci_runtime.cli.main import write_output

    containers = _containers(global_options)
    if arguments.flag("quiet"):
        write_output("".join(f"{container['id']}\n" for container in containers))
    elif output_format == "json":
        from oci_runtime.cli.json_text import compact

        write_output(compact(containers or None) + "\n")  # what Go makes of no containers is null
    else:
        from oci_runtime.cli.table import table

        rows = [[str(container[column]) for column in _COLUMNS] for container in containers]
        write_output(table([[column.upper() for column in _COLUMNS], *rows]))
    return 0


def _containers(global_options: GlobalOptions) -> list[dict[str, Any]]:
    """A default root that is not there yet has no containers, but one that was asked for must exist."""
    from oci_runtime.lifecycle.listing import list_containers

    try:
        return list_containers(global_options.root, global_options.warn)
    except FileNotFoundError:
        if not global_options.root_is_set:
            return []
        raise StateError(f"open {global_options.root}: no such file or directory") from None
