"""The talk with init over its socket (native/plan.h, report_kind), for `start` without the shim."""

from __future__ import annotations

import posix
from select import POLLIN, poll

from oci_runtime.errors import PyociError

# of struct report, before its text: kind, value, op, length
_HEAD = "=IiII"
_HEAD_SIZE = 16
_REPORT_AT_MOST = 4096


class Report:
    """One message of init: `kind` and `value` as in plan.h; `descriptor` is -1 when none came."""

    __slots__ = ("descriptor", "kind", "op", "text", "value")

    def __init__(self, data: bytes, descriptor: int) -> None:
        from _struct import unpack_from

        self.kind, self.value, self.op, length = unpack_from(_HEAD, data)
        self.text = data[_HEAD_SIZE : _HEAD_SIZE + length].decode("utf-8", "replace")
        self.descriptor = descriptor


def send_state(socket: int, state: bytes) -> None:
    """The answer to REPORT_SYNC, and the word that starts: a length, then the state in chunks."""
    try:
        posix.write(socket, _native(len(state)))
        if state:
            from oci_runtime._shim import lib

            for at in range(0, len(state), lib.REPORT_STATE_CHUNK):
                posix.write(socket, state[at : at + lib.REPORT_STATE_CHUNK])
    except BrokenPipeError:
        pass  # it has ended, and the next message will say why


def _native(number: int) -> bytes:
    data = bytearray(4)
    memoryview(data).cast("I")[0] = number
    return bytes(data)


def wait_until_readable(socket: int, timeout: float | None = None) -> bool:
    """Returns when a message or the end is there, or after `timeout` seconds; whether something is. Handlers of signals
    run meanwhile."""
    poller = poll()
    poller.register(socket, POLLIN)
    try:
        return bool(poller.poll(None if timeout is None else timeout * 1000))
    except OSError:  # out of memory, say
        if timeout is not None:
            raise
        return True  # who reads waits, too


def next_report(socket: int, timeout: float | None = None) -> Report | None:
    """The next message, one that carries no descriptor; None when init has become the process, has ended, or says
    nothing for `timeout` seconds."""
    if not wait_until_readable(socket, timeout):
        return None
    while True:
        try:
            data = posix.read(socket, _REPORT_AT_MOST)
        except ConnectionResetError:  # it has not read all that it was told, but may have said something
            continue
        except OSError as error:
            raise PyociError(f"cannot hear of init whether the process runs: {error.strerror}") from error
        return Report(data, -1) if data else None
