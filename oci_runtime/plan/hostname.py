"""hostname, domainname."""

from __future__ import annotations

from oci_runtime._shim import lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.plan.operations import Plan
    from oci_runtime.spec.types import Config


def plan_hostname(plan: Plan, config: Config) -> None:
    """Both names, where configured: sethostname(2), setdomainname(2)."""
    if config.get("hostname"):
        plan.add(lib.OP_HOSTNAME, "/hostname", (config["hostname"],))
    if config.get("domainname"):
        plan.add(lib.OP_DOMAINNAME, "/domainname", (config["domainname"],))
