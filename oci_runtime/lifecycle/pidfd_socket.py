"""--pidfd-socket: who gets a pidfd of the process."""

from __future__ import annotations

from oci_runtime.errors import PyociError
from oci_runtime.linux.unix_sockets import send_descriptor


def send_pidfd(path: str, pidfd: int) -> None:
    """Hands a pidfd of the process to whoever listens at --pidfd-socket."""
    try:
        send_descriptor(path, b"pidfd", pidfd)
    except OSError as error:
        raise PyociError(f"cannot send a pidfd to {path}: {error.strerror or error}") from error
