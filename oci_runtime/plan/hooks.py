"""hooks in the container's namespaces: createContainer, startContainer. The others are in linux/hooks.py."""

from __future__ import annotations

from oci_runtime._shim import lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    from oci_runtime.plan.operations import Plan
    from oci_runtime.spec.types import Config

_TIMEOUT_AT_MOST = 1 << 31  # seconds; init counts milliseconds in 64 bits


def plan_hooks(plan: Plan, config: Config, kind: Literal["createContainer", "startContainer"]) -> None:
    """The hooks of one kind, in their order."""
    umask = -1
    if kind == "startContainer":
        umask = config["process"].get("user", {}).get("umask", 0o22)
    for i, hook in enumerate(config.get("hooks", {}).get(kind, ())):
        args = tuple(hook.get("args") or [hook["path"]])
        env = tuple(hook.get("env", ()))
        plan.add(
            lib.OP_HOOK,
            f"/hooks/{kind}/{i}",
            (hook["path"], args, env, kind),
            (len(args), len(env), min(hook.get("timeout", 0), _TIMEOUT_AT_MOST), umask),
        )
