"""Sockets of others, unix(7), that we connect to at a path: for the console, a pidfd, a seccomp listener."""

from __future__ import annotations

from posix import strerror

from oci_runtime._shim import lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket as Socket


def connect(path: str) -> Socket:
    """A stream socket that is connected to the one at `path`. Raises OSError."""
    from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_STREAM, socket

    connected = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC)
    connected.connect(path)
    return connected


def send_descriptor(path: str, data: bytes, descriptor: int) -> None:
    """Sends a descriptor, with `data`, to whoever listens at `path`. Raises OSError."""
    connected = connect(path)
    try:
        error = lib.sys_send_descriptor(connected.fileno(), data, len(data), descriptor)
        if error < 0:
            raise OSError(-error, strerror(-error))
    finally:
        connected.close()
