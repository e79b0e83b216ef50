"""create: everything but the start of the process (runtime.md, Create)."""

from __future__ import annotations

from oci_runtime.lifecycle.launch import launch
from oci_runtime.lifecycle.warnings import to_stderr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from oci_runtime.lifecycle.requests import CreateRequest


def create(request: CreateRequest, warn: Callable[[str], None] = to_stderr) -> None:
    """Creates the container. PyociError when it cannot be; then nothing of it is left."""
    launched = launch(request, detached=True, wait_for_start=True, warn=warn)
    launched.undo.forget()
