"""--console-socket: who gets the terminal's master."""

from __future__ import annotations

from oci_runtime.errors import PyociError
from oci_runtime.plan.operations import Socket


def connect_console(path: str) -> Socket:
    """The socket that gets the terminal's master, --console-socket."""
    from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_STREAM
    from _socket import socket as new_socket

    console = new_socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC)
    try:
        console.connect(path)
    except OSError as error:
        raise PyociError(f"cannot connect to the console socket {path}: {error.strerror or error}") from error
    socket = Socket("console")
    socket.fd = console.detach()
    return socket
