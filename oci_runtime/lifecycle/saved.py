"""What `create` left for later commands besides the record: the configuration, and the end of init's plan.

Both were right when they were written, and are not checked all over again at each use; what has come to be damaged
since is told as that, whatever it makes go wrong.
"""

from __future__ import annotations

from oci_runtime.errors import PyociError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from oci_runtime.linux.conversation import Report
    from oci_runtime.plan.operations import Plan
    from oci_runtime.spec.types import Config, Hook
    from oci_runtime.state.store import Container


def saved_config(container: Container) -> Config:
    """The configuration that the container was created with. PyociError when it cannot be read."""
    from oci_runtime.spec.document import parse_object

    text = container.read("config.json")
    config = parse_object(text, f"{container.path}/config.json")
    if b"null" in text or b'""' in text:  # it is kept as it was written
        from oci_runtime.spec.absence import remove_absent

        remove_absent("config", config)
    return config  # type: ignore[return-value]


def config_damage(container: Container) -> PyociError | None:
    """What is wrong with the configuration, for a command that failed with it in an unexpected way; None if nothing."""
    from oci_runtime.spec.document import load_config

    try:
        load_config(container.read("config.json"), name=f"{container.path}/config.json")
    except PyociError as error:
        return error
    return None


def saved_hooks(container: Container, kind: str) -> list[Hook]:
    """The hooks of one kind, which the record says there are. PyociError when they are not what hooks are."""
    hooks: Any = _part(container, "hooks", kind)
    if type(hooks) is not list or not all(map(_is_hook, hooks)):
        raise _damaged(container, f"/hooks/{kind}")
    return hooks


def _is_hook(hook: Any) -> bool:
    if type(hook) is not dict or type(hook.get("path")) is not str or type(hook.get("timeout", 0)) is not int:
        return False
    lists = (hook.get("args", []), hook.get("env", []))
    return all(type(texts) is list and all(type(text) is str for text in texts) for texts in lists)


def saved_seccomp(container: Container) -> Any:
    """linux.seccomp, which has a listener."""
    seccomp: Any = _part(container, "linux", "seccomp")
    if type(seccomp) is not dict or type(seccomp.get("listenerPath")) is not str:
        raise _damaged(container, "/linux/seccomp")
    return seccomp


def _part(container: Container, section: str, name: str) -> object:
    found: Any = saved_config(container).get(section)
    return found.get(name) if type(found) is dict else None


def _damaged(container: Container, pointer: str) -> PyociError:
    return PyociError(f"{container.path}/config.json is damaged: {pointer} is not what the container was created with")


def recorded_plan(report: Report, recorded: str) -> Plan | None:
    """The part of init's plan that is on record, with the report about it; None when that is about another part."""
    from oci_runtime.plan.operations import Plan
    from oci_runtime.state.codec import loads

    plan = Plan()
    try:
        before, *operations = loads(recorded)  # '' by an older pyoci
        if report.op < before:
            return None
        for code, pointer, strings, numbers in operations:
            texts = [tuple(map(str, text)) if type(text) is list else _text(text) for text in strings]
            plan.add(int(code), str(pointer), texts, list(map(int, numbers)))
    except (ValueError, StopIteration, TypeError, RecursionError, OverflowError):
        return None  # then the failure is told without its place
    report.op -= before
    return plan


def _text(text: object) -> str | None:
    return text if type(text) is str else None
