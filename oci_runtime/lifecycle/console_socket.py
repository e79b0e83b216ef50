"""--console-socket: who gets the terminal's master."""

from __future__ import annotations

from oci_runtime.errors import PyociError
from oci_runtime.linux.unix_sockets import connect
from oci_runtime.plan.operations import Socket


def connect_console(path: str) -> Socket:
    """The socket that gets the terminal's master, --console-socket."""
    try:
        console = connect(path)
    except OSError as error:
        raise PyociError(f"cannot connect to the console socket {path}: {error.strerror or error}") from error
    socket = Socket("console")
    socket.fd = console.detach()
    return socket
