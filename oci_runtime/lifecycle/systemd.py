"""What systemd gave to the runtime, for the container's process: its sockets and its wish to be told when it is ready.

The process finds LISTEN_FDS and LISTEN_PID (sd_listen_fds(3)) and NOTIFY_SOCKET (sd_notify(3)) in its environment. The
latter is a socket of ours, ROOT/ID/notify/notify.sock, mounted into the container; that it is ready is passed on.
"""

from __future__ import annotations

import posix

from oci_runtime._shim import lib
from oci_runtime.errors import PyociError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket as Socket

    from oci_runtime.lifecycle.requests import CreateRequest
    from oci_runtime.spec.types import Config
    from oci_runtime.state.store import Container

_DIRECTORY = "notify"
_IN_CONTAINER = "/run/notify"
_NAME = "notify.sock"
# seconds that systemd has to acknowledge
_BARRIER_TIMEOUT = 30


def pass_on(config: Config, request: CreateRequest) -> None:
    """Puts the variables, and the mount of the socket, into the configuration."""
    process = config["process"]
    variables = [*process.get("env", ())]
    if request.listen_fds:
        variables += [f"LISTEN_FDS={request.listen_fds}", "LISTEN_PID=1"]
    if request.notify_socket:
        variables.append(f"NOTIFY_SOCKET={_IN_CONTAINER}/{_NAME}")
        config["mounts"] = [
            *config.get("mounts", ()),
            {
                "destination": _IN_CONTAINER,
                "source": f"{request.root}/{request.id}/{_DIRECTORY}",
                "options": ["bind", "nosuid", "noexec", "nodev", "ro", "slave"],
            },
        ]
    process["env"] = variables


def make_notify_directory(container: Container) -> None:
    """What is mounted into the container."""
    try:
        posix.mkdir(_DIRECTORY, 0o755, dir_fd=container.directory)
        posix.chmod(_DIRECTORY, 0o755, dir_fd=container.directory)
    except OSError as error:
        raise PyociError(f"cannot make {container.path}/{_DIRECTORY}: {error.strerror}") from error


def notify_socket(container: Container, host: str) -> NotifySocket | None:
    """The socket of a container that was created with one; `host` is $NOTIFY_SOCKET, '' for none."""
    return NotifySocket(container, host) if host and container.has(_DIRECTORY) else None


class NotifySocket:
    """The socket that the container's process writes to. `fd` is readable when it has."""

    __slots__ = ("_host", "_socket", "fd")

    def __init__(self, container: Container, host: str) -> None:
        path = f"/proc/self/fd/{container.directory}/{_DIRECTORY}/{_NAME}"
        self._host = host
        self._socket = _datagram_socket()
        try:
            self._socket.bind(path)
            posix.chmod(path, 0o777)
        except OSError as error:
            raise PyociError(f"cannot make the notification socket: {error.strerror}") from error
        self.fd = self._socket.fileno()

    def forward(self, pid: int) -> bool:
        """Reads one message; whether it said READY, which the host's systemd then knows, with `pid` as MAINPID."""
        for line in self._socket.recv(4096).split(b"\n"):
            if line.startswith(b"READY="):
                _tell(self._host, line, pid)
                return True
        return False

    def forward_until_ready(self, pid: int, pidfd: int) -> None:
        """Waits until the process says that it is ready, or ends. A signal ends the waiting, not the container."""
        from select import POLLIN, poll

        from oci_runtime.lifecycle.interruption import release

        release()
        poller = poll()
        poller.register(pidfd, POLLIN)
        poller.register(self.fd, POLLIN)
        while True:
            ready = [fd for fd, _ in poller.poll()]
            if self.fd in ready and self.forward(pid):
                return
            if pidfd in ready:
                return


def _datagram_socket() -> Socket:
    from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_DGRAM
    from _socket import socket as new_socket

    return new_socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC)


def _tell(host: str, ready: bytes, pid: int) -> None:
    from select import POLLIN, poll

    client = _datagram_socket()
    try:
        client.connect("\0" + host[1:] if host.startswith("@") else host)
        client.send(ready + b"\n")
        client.send(b"MAINPID=%d\n" % pid)
    except OSError as error:
        raise PyociError(f"cannot notify {host}: {error.strerror or error}") from error
    # sd_notify_barrier(3): systemd closes what we send when it has read everything before it.
    ours, theirs = posix.pipe2(posix.O_CLOEXEC)
    lib.sys_send_descriptor(client.fileno(), b"BARRIER=1", 9, theirs)
    posix.close(theirs)
    poller = poll()
    poller.register(ours, POLLIN)
    poller.poll(_BARRIER_TIMEOUT * 1000)
    posix.close(ours)
    client.close()
