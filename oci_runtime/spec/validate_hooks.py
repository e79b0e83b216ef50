"""The rules for `hooks` (config.md, POSIX-platform Hooks)."""

from __future__ import annotations

from oci_runtime.errors import Problem
from oci_runtime.spec.validate_process import validate_env

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.spec.types import HookName, Hooks

HOOKS: tuple[HookName, ...] = (
    "prestart",
    "createRuntime",
    "createContainer",
    "startContainer",
    "poststart",
    "poststop",
)


def validate_hooks(hooks: Hooks, problems: list[Problem]) -> None:
    """Append the problems of the hooks."""
    for kind in HOOKS:
        for i, hook in enumerate(hooks.get(kind, [])):
            if hook["path"][:1] != "/":
                problems.append(Problem(f"/hooks/{kind}/{i}/path", "must be an absolute path"))
            validate_env(hook.get("env", []), f"/hooks/{kind}/{i}/env", problems)
