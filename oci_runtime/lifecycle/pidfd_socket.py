"""--pidfd-socket: who gets a pidfd of the process."""

from __future__ import annotations

from posix import strerror

from oci_runtime._shim import lib
from oci_runtime.errors import PyociError


def send_pidfd(path: str, pidfd: int) -> None:
    """Hands a pidfd of the process to whoever listens at --pidfd-socket."""
    from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_STREAM
    from _socket import socket as new_socket

    socket = new_socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC)
    try:
        socket.connect(path)
        error = lib.sys_send_descriptor(socket.fileno(), b"pidfd", 5, pidfd)
        if error < 0:
            raise OSError(-error, strerror(-error))
    except OSError as error:
        raise PyociError(f"cannot send a pidfd to {path}: {error.strerror or error}") from error
    finally:
        socket.close()
