"""D-Bus with a systemd manager, through the sd-bus of the host's libsystemd (sd-bus(3)).

It is there wherever systemd is, and knows how to authenticate from within a user namespace. A D-Bus library in Python
would cost every command that needs it more than all the rest of its imports; docs/architecture.md has the figures.

Every wait has an end: CALL_TIMEOUT for a call, JOB_TIMEOUT for a job of systemd.
"""

from __future__ import annotations

import posix
from errno import ECONNRESET, EINTR, ENOTCONN, EPIPE, ETIMEDOUT
from time import monotonic

from oci_runtime._libsystemd import ffi
from oci_runtime.errors import PyociError
from oci_runtime.linux.cgroups.systemd_gvariant import split
from oci_runtime.linux.cgroups.systemd_names import object_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from oci_runtime.linux.cgroups.systemd_properties import Property

# seconds
CALL_TIMEOUT = 25.0
JOB_TIMEOUT = 30.0  # as in runc

BOOTED = "/run/systemd/system"  # sd_booted(3)
PRIVATE = "/systemd/private"  # where a manager listens itself, below /run or $XDG_RUNTIME_DIR
SYSTEM_BUS = "unix:path=/run/dbus/system_bus_socket"
SERVICE = "org.freedesktop.systemd1"
MANAGER_PATH = "/org/freedesktop/systemd1"
MANAGER = SERVICE + ".Manager"
_PROPERTIES = "org.freedesktop.DBus.Properties"

NO_SUCH_UNIT = SERVICE + ".NoSuchUnit"
UNIT_EXISTS = SERVICE + ".UnitExists"

_C_TYPES = {"b": "int", "d": "double", "i": "int32_t", "n": "int16_t", "q": "uint16_t", "t": "uint64_t"}
_C_TYPES |= {"u": "uint32_t", "x": "int64_t", "y": "uint8_t"}
_GONE = (ENOTCONN, ECONNRESET, EPIPE)


class BusError(PyociError):
    """The answer of systemd, or of the bus, was an error. `name` is that of D-Bus, '' when there was no answer."""

    def __init__(self, message: str, name: str = "") -> None:
        super().__init__(message)
        self.name = name


class Disconnected(BusError):
    """The connection ended: systemd or the bus has been restarted."""


class Bus:
    """A connection to a manager. `address` is that of D-Bus; with PRIVATE at its end there is no bus in between."""

    __slots__ = ("_bus", "_lib", "address")

    def __init__(self, address: str) -> None:
        self.address = address
        self._lib = _library()
        self._bus = ffi.NULL
        self._connect()
        if not self._direct:
            self._subscribe()

    @property
    def _direct(self) -> bool:
        return self.address.endswith(PRIVATE)

    def _connect(self) -> None:
        found = ffi.new("sd_bus **")
        self._check(self._lib.sd_bus_new(found))
        self._bus = found[0]
        try:
            self._check(self._lib.sd_bus_set_address(self._bus, self.address.encode()))
            self._check(self._lib.sd_bus_set_bus_client(self._bus, not self._direct))
            self._check(self._lib.sd_bus_start(self._bus))
            self._wait_until_ready()
        except BaseException:
            self.close()
            raise

    def _wait_until_ready(self) -> None:
        end = monotonic() + CALL_TIMEOUT
        while not self._check(self._lib.sd_bus_is_ready(self._bus)):
            if not self._check(self._lib.sd_bus_process(self._bus, ffi.NULL)):
                self._wait(end, f"{self.address} does not answer")

    def _wait(self, end: float, why: str) -> None:
        """Waits for the next message, until `end` of the monotonic clock, at which BusError says `why`."""
        left = end - monotonic()
        if left <= 0:
            raise BusError(why)
        result = self._lib.sd_bus_wait(self._bus, int(left * 1000000) + 1)
        if result != -EINTR:
            self._check(result)

    def close(self) -> None:
        """End the connection. It can still be closed."""
        if self._bus != ffi.NULL:
            self._lib.sd_bus_close_unref(self._bus)
            self._bus = ffi.NULL

    def reconnect(self) -> None:
        """Connect anew; raises BusError."""
        self.close()
        self._connect()
        if not self._direct:
            self._subscribe()

    def _subscribe(self) -> None:
        """A bus delivers signals only to those who asked for them, and systemd sends them only when somebody did."""
        rule = f"type='signal',sender='{SERVICE}',interface='{MANAGER}',member='JobRemoved',path='{MANAGER_PATH}'"
        bus = "org.freedesktop.DBus"
        self.call("AddMatch", "s", [rule], destination=bus, path="/org/freedesktop/DBus", interface=bus)
        self.call("Subscribe")

    def _check(self, result: int) -> int:
        if result < 0:
            kind = Disconnected if -result in _GONE else BusError
            raise kind(f"cannot talk to systemd at {self.address}: {posix.strerror(-result)}")
        return result

    def call(
        self,
        member: str,
        signature: str = "",
        arguments: Sequence[Any] = (),
        *,
        destination: str = SERVICE,
        path: str = MANAGER_PATH,
        interface: str = MANAGER,
    ) -> list[Any]:
        """Call a method and return what it returns. Raises BusError.

        A value of type a is a list (ay may be bytes), of () or {} a tuple, of v a tuple of signature and value.
        """
        message = ffi.new("sd_bus_message **")
        words = (text.encode() for text in (destination, path, interface, member))
        self._check(self._lib.sd_bus_message_new_method_call(self._bus, message, *words))
        try:
            for kind, value in zip(split(signature), arguments, strict=True):
                self._append(message[0], kind, value)
            return self._exchange(message[0], member)
        finally:
            self._lib.sd_bus_message_unref(message[0])

    def _exchange(self, message: Any, member: str) -> list[Any]:
        error, reply = ffi.new("sd_bus_error *"), ffi.new("sd_bus_message **")
        result = self._lib.sd_bus_call(self._bus, message, int(CALL_TIMEOUT * 1000000), error, reply)
        try:
            if result < 0:
                raise self._failure(member, -result, error)
            return self._read_all(reply[0])
        finally:
            self._lib.sd_bus_error_free(error)
            self._lib.sd_bus_message_unref(reply[0])

    def _failure(self, member: str, errno: int, error: Any) -> BusError:
        if errno == ETIMEDOUT:
            return BusError(f"systemd did not answer {member} within {CALL_TIMEOUT:g} s")
        name = "" if error.name == ffi.NULL else ffi.string(error.name).decode()
        text = (
            posix.strerror(errno) if error.message == ffi.NULL else ffi.string(error.message).decode(errors="replace")
        )
        kind = Disconnected if errno in _GONE else BusError
        return kind(f"systemd refused {member}: {text}", name)

    def _append(self, message: Any, kind: str, value: Any) -> None:
        lib, first = self._lib, kind[0]
        if first in _C_TYPES:
            self._check(
                lib.sd_bus_message_append_basic(message, first.encode(), ffi.new(f"{_C_TYPES[first]} *", value))
            )
        elif first in "sog":
            text = ffi.new("char[]", value.encode())
            self._check(lib.sd_bus_message_append_basic(message, first.encode(), text))
        else:
            members: Iterable[tuple[str, Any]]
            if first == "a":
                code, contents, members = "a", kind[1:], ((kind[1:], member) for member in value)
            elif first == "v":
                code, contents, members = "v", value[0], [value]
            else:
                code, contents = {"(": "r", "{": "e"}[first], kind[1:-1]
                members = zip(split(contents), value, strict=True)
            self._check(lib.sd_bus_message_open_container(message, code.encode(), contents.encode()))
            for each, member in members:
                self._append(message, each, member)
            self._check(lib.sd_bus_message_close_container(message))

    def _read_all(self, message: Any) -> list[Any]:
        """The values of a message, or of the container that was entered last."""
        kind, contents, found = ffi.new("char *"), ffi.new("char **"), []
        while self._check(self._lib.sd_bus_message_peek_type(message, kind, contents)):
            found.append(self._read(message, kind[0].decode(), contents[0]))
        return found

    def _read(self, message: Any, kind: str, contents: Any) -> Any:
        lib = self._lib
        if kind in _C_TYPES:
            number = ffi.new(f"{_C_TYPES[kind]} *")
            self._check(lib.sd_bus_message_read_basic(message, kind.encode(), number))
            return bool(number[0]) if kind == "b" else number[0]
        if kind in "sog":
            text = ffi.new("char **")
            self._check(lib.sd_bus_message_read_basic(message, kind.encode(), text))
            return ffi.string(text[0]).decode(errors="replace")
        inside = ffi.string(contents).decode()
        self._check(lib.sd_bus_message_enter_container(message, kind.encode(), contents))
        values = self._read_all(message)
        self._check(lib.sd_bus_message_exit_container(message))
        if kind == "v":
            return inside, values[0]
        return values if kind == "a" else tuple(values)

    def property(self, name: str, *, path: str = MANAGER_PATH, interface: str = MANAGER) -> tuple[str, Any]:
        """The signature and value of a property of an object. Raises BusError."""
        (found,) = self.call("Get", "ss", [interface, name], path=path, interface=_PROPERTIES)
        return found[0], found[1]

    def version(self) -> int:
        """The version of systemd, 257 of "257.9-1" or "v257"; 0 when it cannot be told."""
        text = str(self.property("Version")[1]).lstrip("v")
        digits = text[: next((i for i, character in enumerate(text) if not character.isdigit()), len(text))]
        return int(digits or 0)

    # --- units ---

    def start_transient(self, unit: str, properties: Sequence[Property]) -> None:
        """StartTransientUnit, and wait until it has started. Raises BusError."""
        values = [(each.name, (each.signature, each.value)) for each in properties]
        self._run_job(unit, "StartTransientUnit", "ssa(sv)a(sa(sv))", [unit, "replace", values, []])

    def stop(self, unit: str, mode: str = "replace") -> None:
        """StopUnit, and wait until it has stopped; nothing when there is no such unit. Raises BusError."""
        try:
            self._run_job(unit, "StopUnit", "ss", [unit, mode])
        except BusError as error:
            if error.name != NO_SUCH_UNIT:
                raise

    def reset_failed(self, unit: str) -> None:
        """Let systemd forget a failed unit; nothing when there is no such unit. Raises BusError."""
        try:
            self.call("ResetFailedUnit", "s", [unit])
        except BusError as error:
            if error.name != NO_SUCH_UNIT:
                raise

    def set_properties(self, unit: str, properties: Sequence[Property]) -> None:
        """SetUnitProperties, until the next boot, and wait until the cgroup has them. Raises BusError."""
        values = [(each.name, (each.signature, each.value)) for each in properties]
        self.call("SetUnitProperties", "sba(sv)", [unit, True, values])
        # systemd writes to the cgroup after it has answered, but before it answers anything else
        self.property("Version")

    def unit_property(self, unit: str, name: str, kind: str = "") -> tuple[str, Any]:
        """A property of a unit, or with `kind` of its type (Scope, Slice). Raises BusError."""
        return self.property(name, path=object_path(unit), interface=f"{SERVICE}.{kind or 'Unit'}")

    def attach(self, unit: str, below: str, pid: int) -> None:
        """AttachProcessesToUnit: move a process to a unit, or to the cgroup `below` it. Raises BusError."""
        self.call("AttachProcessesToUnit", "ssau", [unit, "/" + below if below else "", [pid]])

    def _run_job(self, unit: str, member: str, signature: str, arguments: Sequence[Any]) -> None:
        (job,) = self.call(member, signature, arguments)
        try:
            result = self._wait_for_job(job, unit, member)
        except Disconnected:  # systemd executes itself anew, which ends no job
            self.reconnect()
            result = self._wait_without_signal(job, unit, member)
        if result != "done":
            raise BusError(f"systemd could not finish {member} of {unit}: the job's result is {result!r}")

    def _wait_for_job(self, job: str, unit: str, member: str) -> str:
        """The result of a job, from JobRemoved."""
        end = monotonic() + JOB_TIMEOUT
        message = ffi.new("sd_bus_message **")
        while True:
            if not self._check(self._lib.sd_bus_process(self._bus, message)):
                self._wait(end, f"systemd did not finish {member} of {unit} within {JOB_TIMEOUT:g} s")
                continue
            if message[0] == ffi.NULL:
                continue
            try:
                if self._lib.sd_bus_message_is_signal(message[0], MANAGER.encode(), b"JobRemoved") > 0:
                    _, removed, _, result = self._read_all(message[0])
                    if removed == job:
                        return str(result)
            finally:
                self._lib.sd_bus_message_unref(message[0])

    def _wait_without_signal(self, job: str, unit: str, member: str) -> str:
        from oci_runtime.linux.cgroups.tree import Patience

        patience = Patience(JOB_TIMEOUT)
        while True:
            try:
                self.property("State", path=job, interface=SERVICE + ".Job")
            except Disconnected:
                raise
            except BusError:
                break  # there is no such job any more
            if not patience.wait():
                raise BusError(f"systemd did not finish {member} of {unit} within {JOB_TIMEOUT:g} s")
        state = self.unit_property(unit, "ActiveState")[1]
        wanted = ("active",) if member == "StartTransientUnit" else ("inactive", "failed")
        return "done" if state in wanted else str(state)


def _library() -> Any:
    try:
        return ffi.dlopen("libsystemd.so.0")
    except OSError as error:
        raise PyociError(f"--systemd-cgroup needs the library of systemd: {error}") from None


def check_booted() -> None:
    """PyociError when systemd is not what this host was booted with (sd_booted(3))."""
    try:
        if posix.lstat(BOOTED).st_mode & 0o170000 == 0o040000:
            return
    except OSError:
        pass
    raise PyociError(
        f"systemd is not running here: there is no {BOOTED}; leave --systemd-cgroup out, or in an engine choose the"
        " cgroup driver cgroupfs"
    )


def connect(addresses: Sequence[str]) -> Bus:
    """The first of the managers that can be reached. BusError tells why none can."""
    reasons = []
    for address in addresses:
        try:
            return Bus(address)
        except BusError as error:
            reasons.append(str(error))
    raise BusError("; ".join(reasons) or "no address of a systemd manager is known")


def system_addresses() -> list[str]:
    """Where the manager of the system can be reached: by itself, for root, else through the bus."""
    environment = posix.environ.get(b"DBUS_SYSTEM_BUS_ADDRESS", b"").decode(errors="surrogateescape")
    bus = environment or SYSTEM_BUS
    return [f"unix:path=/run{PRIVATE}", bus] if posix.geteuid() == 0 else [bus]


def is_system_ours() -> bool:
    """Whether root of a user namespace, as we are, is the one whose systemd runs this system: such as a container's.

    The socket is his then; else it belongs to somebody who has no id in here (user_namespaces(7)).
    """
    if posix.geteuid() != 0:
        return False
    from oci_runtime.linux.own_ids import in_user_namespace

    try:
        return in_user_namespace() and posix.stat(f"/run{PRIVATE}").st_uid == 0
    except OSError:
        return False


def user_addresses() -> list[str]:
    """Where the manager of the user can be reached. PyociError when the environment does not say."""
    runtime = posix.environ.get(b"XDG_RUNTIME_DIR", b"").decode(errors="surrogateescape").rstrip("/")
    session = posix.environ.get(b"DBUS_SESSION_BUS_ADDRESS", b"").decode(errors="surrogateescape")
    found = [f"unix:path={_escaped(runtime)}{PRIVATE}"] if runtime else []
    if session:
        found.append(session)
    elif runtime:
        found.append(f"unix:path={_escaped(runtime)}/bus")
    if not found:
        raise PyociError(
            "the systemd manager of the user cannot be found: neither XDG_RUNTIME_DIR nor DBUS_SESSION_BUS_ADDRESS is"
            " set; log in anew, or leave --systemd-cgroup out"
        )
    return found


def _escaped(path: str) -> str:
    """As a value in an address (D-Bus Specification, Server Addresses)."""
    plain = "-_/.*\\"
    data = path.encode("utf-8", "surrogateescape")
    return "".join(
        chr(byte) if byte < 128 and (chr(byte).isalnum() or chr(byte) in plain) else f"%{byte:02x}" for byte in data
    )
