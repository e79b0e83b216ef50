"""What is valid, and obeyed or ignored as the specification says, but should be logged as a warning (runtime.md)."""

from __future__ import annotations

from oci_runtime.errors import Problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.spec.types import Config


def config_warnings(config: Config) -> list[Problem]:
    """The warnings for a valid config.json; each message is a whole sentence about its pointer."""
    found = []
    for i, mount in enumerate(config.get("mounts", [])):
        if mount["destination"][:1] != "/":
            found.append(
                Problem(
                    f"/mounts/{i}/destination", "relative destinations are deprecated; it is taken as relative to /"
                )
            )
    if config.get("hooks", {}).get("prestart"):
        found.append(
            Problem("/hooks/prestart", "prestart hooks are deprecated; createRuntime hooks run at the same time")
        )
    memory = config.get("linux", {}).get("resources", {}).get("memory", {})
    for key in ("kernel", "kernelTCP"):
        if key in memory:
            found.append(Problem(f"/linux/resources/memory/{key}", "limits of kernel memory are obsolete and ignored"))
    return found
