"""`plan`: prints what `create` would do for a bundle, and does nothing. Needs no privileges."""

from __future__ import annotations

from oci_runtime.cli import bundle_options as common
from oci_runtime.cli.options import container_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.cli.main import GlobalOptions
    from oci_runtime.cli.options import Arguments

SUMMARY = "print what create would do for a bundle, without doing it"
ARGUMENTS = ("[container-id]", 0, 1)
DESCRIPTION = """The operations that set up the container are printed in their order, each with
the property of config.json that is its reason. No container is made, and no
privilege is needed."""
OPTIONS = (common.BUNDLE, common.NO_PIVOT, common.NO_NEW_KEYRING)

#: The id that a plan is made for when none is given.
DEFAULT_ID = "container"


def main(global_options: GlobalOptions, arguments: Arguments) -> int:
    identifier = container_id(arguments.positional[0]) if arguments.positional else DEFAULT_ID
    from oci_runtime.cli.main import write_output
    from oci_runtime.lifecycle.requests import CreateRequest
    from oci_runtime.lifecycle.show_plan import show_plan

    request = CreateRequest(
        root=global_options.root,
        id=identifier,
        bundle=common.bundle(arguments),
        no_pivot=arguments.flag("no-pivot"),
        no_new_keyring=arguments.flag("no-new-keyring"),
        systemd_cgroup=global_options.systemd_cgroup,
        rootless=global_options.rootless,
    )
    write_output(show_plan(request).rstrip("\n") + "\n")
    return 0
