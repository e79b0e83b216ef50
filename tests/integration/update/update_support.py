"""What both versions of cgroups have in common in the tests of `update`: who is updated, and how."""

from __future__ import annotations

import json
from typing import Any

from containers import Container

MIB = 1 << 20
LIMIT, SWAP, SHARES = 32 * MIB, 48 * MIB, 512
#: Of the container `limited`, as recorded.
LIMITS = {
    "cpu": {"shares": SHARES, "quota": 50000, "period": 100000},
    "memory": {"limit": LIMIT, "swap": SWAP, "reservation": 24 * MIB},
    "pids": {"limit": 20},
}


def update(container: Container, *options: str, resources: object = None, check: bool = True) -> str:
    """What it wrote to standard error; without `check` it has to fail, on one line."""
    text = None
    if resources is not None:
        text = resources if isinstance(resources, str) else json.dumps(resources)
        options = ("--resources", "-", *options)
    done = container.pyoci("update", *options, container.id, input=text, check=check)
    assert done.out == ""
    if not check:
        assert done.code == 1
        assert done.err.count("\n") == 1
        assert "internal error" not in done.err
    return done.err


def recorded_config(container: Container) -> str:
    """The config.json that is on record."""
    return (container.pyoci.root / container.id / "config.json").read_text()


def recorded_limits(container: Container) -> dict[str, Any]:
    """linux.resources of it, but for devices."""
    resources: dict[str, Any] = json.loads(recorded_config(container))["linux"]["resources"]
    resources.pop("devices", None)
    return resources
