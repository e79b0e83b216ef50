"""update: changes the limits of a container that is there: all that is asked for, or nothing."""

from __future__ import annotations

from oci_runtime.errors import PyociError, SpecError, StateError
from oci_runtime.lifecycle.undo import Undo
from oci_runtime.lifecycle.warnings import to_stderr
from oci_runtime.state import store
from oci_runtime.state.status import status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from oci_runtime.errors import Problem
    from oci_runtime.spec.types import Config, IntelRdt, Resources
    from oci_runtime.state.store import Container


def update(
    root: str,
    container_id: str,
    resources: Resources | str | int,
    rdt: IntelRdt,
    warn: Callable[[str], None] = to_stderr,
) -> None:
    """Applies `resources` (or those in the file of that name, or of that descriptor) and the schemata of `rdt`.

    What is in force then is recorded in the container's config.json. Raises SpecError for what is invalid or cannot be
    had with the cgroups of this host, SystemCallError for what the kernel refuses, StateError when the container has
    ended or has no cgroup.
    """
    container = store.load(root, container_id)
    changes = _valid(resources, warn)  # before the lock: it may take as long as who writes it likes
    container.lock(to_stderr)
    found = status(container)
    if found not in ("created", "running", "paused"):
        raise StateError(f"cannot update container {container_id!r}: container not running: {found}")
    from oci_runtime.lifecycle.interruption import hold
    from oci_runtime.lifecycle.saved import config_damage, saved_config

    config = saved_config(container)
    undo = Undo()
    hold()
    try:
        if changes:
            _apply(container, config, changes, undo)
        if rdt:
            _apply_schemata(container, config, rdt, undo)
        if changes or rdt:
            _record(container, config)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        undo.run(warn)
        if (damage := config_damage(container)) is not None:
            raise damage from error
        raise
    except BaseException:
        undo.run(warn)
        raise


def _valid(resources: Resources | str | int, warn: Callable[[str], None]) -> Resources:
    """The resources, without those that no update changes."""
    if isinstance(resources, dict):
        _validate(resources)
    else:
        from oci_runtime.spec.document import load_resources

        resources = load_resources(resources)
    resources.pop("devices", None)
    memory = resources.get("memory", {})
    ignored = [f"/memory/{name}" for name in ("kernel", "kernelTCP") if name in memory]
    if ignored:
        warn(f"kernel memory cannot be limited: {' and '.join(ignored)} ignored")
        memory.pop("kernel", None)
        memory.pop("kernelTCP", None)
    return resources


def _validate(resources: Resources) -> None:
    from oci_runtime.spec.validate_resources import validate_resources

    problems: list[Problem] = []
    validate_resources(resources, "", problems, partial=True)
    if problems:
        raise SpecError("\n".join(_described(resources, problem) for problem in problems), problems)


def _described(resources: Resources, problem: Problem) -> str:
    value: Any = resources
    for step in problem.pointer.split("/")[1:]:
        value = value[step]
    return f"{problem.pointer}: {value!r} {problem.message}"


def _apply(container: Container, config: Config, changes: Resources, undo: Undo) -> None:
    """To the cgroups, and to `config`."""
    from oci_runtime.lifecycle.pause import cgroups_of
    from oci_runtime.spec.document import drop_zero_of_old
    from oci_runtime.spec.merge_resources import completed, merged

    drop_zero_of_old(changes, config["ociVersion"])
    linux = config.setdefault("linux", {})
    present = linux.get("resources", {})
    before = cgroups_of(container).update(completed(changes, present), pointer="")
    undo.add(before.restore)
    linux["resources"] = merged(present, changes)


def _apply_schemata(container: Container, config: Config, rdt: IntelRdt, undo: Undo) -> None:
    """To the container's resctrl group, and to `config`."""
    from oci_runtime.linux.resctrl import update_group

    groups = container.record["resctrl"]
    if not groups:
        raise PyociError(
            f"container {container.id!r} was created without /linux/intelRdt: "
            "updating a non-existent Intel RDT configuration is not supported"
        )
    undo.add(update_group(rdt, groups))
    config["linux"]["intelRdt"] = {**config["linux"]["intelRdt"], **rdt}


def _record(container: Container, config: Config) -> None:
    from oci_runtime.state.codec import dumps

    container.write("config.json", dumps(config).encode())
