"""Entry of the program: global options, dispatch to the one module of the command, errors, exit status.

Each command is a module of this package with

    SUMMARY    one line for the list of commands
    ARGUMENTS  (usage of its positional arguments, their least number, their greatest or None)
    OPTIONS    its table for options.parse
    main       function of GlobalOptions and Arguments that does it and returns the exit status

and, where they differ from what _OPTIONAL says, DESCRIPTION, INTERLEAVED (may options follow positional arguments?) and
FAILURE (prefix of error messages, exit status).
"""

from __future__ import annotations

import posix
import sys
from _signal import SIG_DFL, signal
from errno import EBADF

from oci_runtime.cli.options import boolean, check_count, parse
from oci_runtime.errors import PyociError, SpecError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, NoReturn

    from oci_runtime.cli.options import Arguments

COMMANDS = (
    "create",
    "delete",
    "events",
    "exec",
    "features",
    "kill",
    "list",
    "pause",
    "plan",
    "ps",
    "resume",
    "run",
    "spec",
    "start",
    "state",
    "update",
)

OPTIONS = (
    ("debug", "", "bool", False, "log more, and how an internal error came about"),
    ("log", "", "text", "", "file that errors are logged to (default: standard error only)"),
    ("log-format", "", "text", "text", "format of log records: text or json"),
    ("root", "", "text", "/run/pyoci", "directory of the state of containers (should be on a tmpfs)"),
    ("criu", "", "text", "", ""),
    ("systemd-cgroup", "", "bool", False, "let systemd make cgroups; cgroupsPath is then slice:prefix:name"),
    ("rootless", "", "text", "auto", "ignore what only root may do to cgroups: true, false or auto"),
    ("version", "v", "bool", False, "print the version"),
)

SIGINT, SIGCHLD = 2, 17
_SIGNALS = {1: "SIGHUP", SIGINT: "SIGINT", 15: "SIGTERM"}
#: The status a shell reports for a process that SIGPIPE ended.
CLOSED_OUTPUT = 141
UNKNOWN_COMMAND = 3

_OPTIONAL = {"DESCRIPTION": "", "INTERLEAVED": True, "FAILURE": ("", 0)}


class GlobalOptions:
    """The options before the command.

    root            absolute path
    root_is_set     --root was given
    rootless        True, False, or None for auto
    failure         FAILURE of the command, once its command line is known to be right
    log_descriptor  where log records go: the file of --log, else 2
    json_log        --log-format json
    """

    __slots__ = ("debug", "failure", "json_log", "log_descriptor", "root", "root_is_set", "rootless", "systemd_cgroup")

    def __init__(self) -> None:
        self.debug = False
        self.failure = ("", 0)
        self.json_log = False
        self.log_descriptor = 2
        self.root = ""
        self.root_is_set = False
        self.rootless: bool | None = None
        self.systemd_cgroup = False

    def warn(self, message: str) -> None:
        """Logs what the user should know although the command goes on."""
        from oci_runtime.cli.log import record

        record(self, "warning", message)


class ClosedOutput(Exception):
    """Who read our standard output has gone."""


def run_and_exit() -> NoReturn:
    """The whole process: does what sys.argv says and ends without the interpreter's clean-up, which takes 1 ms."""
    status = main(sys.argv[1:])
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # our own output is not buffered, that of a library that prints is
            try:
                stream.flush()
            except (OSError, ValueError):
                status = status or CLOSED_OUTPUT
    posix._exit(status)


def main(arguments: Sequence[str]) -> int:
    """Does what the command line `arguments` (without the program's name) says and returns the exit status.

    Whatever goes wrong is reported, not raised.
    """
    options = GlobalOptions()
    try:
        open_missing_descriptors()
        signal(SIGCHLD, SIG_DFL)  # a caller that ignores it would have our children vanish before we waited for them
        return _dispatch(options, arguments)
    except KeyboardInterrupt as interrupt:
        number = getattr(interrupt, "number", SIGINT)
        _report(options, f"{options.failure[0]}interrupted by {_SIGNALS.get(number, f'signal {number}')}")
        return 128 + number
    except ClosedOutput:
        return CLOSED_OUTPUT
    except PyociError as error:
        prefix, status = options.failure
        _report(options, f"{prefix}{error}", several=isinstance(error, SpecError))
        return status or error.exit_code
    except Exception as error:
        return _unexpected(options, error)


def _dispatch(options: GlobalOptions, arguments: Sequence[str]) -> int:
    """Parses, fills `options`, and runs the command."""
    parsed = parse("", OPTIONS, arguments, interleaved=False)
    if parsed.flag("version"):
        return _version()
    if parsed.help or not parsed.positional:
        return _help([])
    _configure(options, parsed)
    name, *rest = parsed.positional
    if name not in COMMANDS:
        return _other(options, name, rest)
    module = load(name)
    command = parse(name, module.OPTIONS, rest, attribute(module, "INTERLEAVED"))
    if command.help:
        return _help([name])
    check_count(name, len(command.positional), *module.ARGUMENTS)
    options.failure = attribute(module, "FAILURE")
    if options.debug:
        return _logged(options, name, module, command)
    status: int = module.main(options, command)
    return status


def load(name: str) -> Any:
    """The module of a command; importlib would cost more than the module."""
    module = f"oci_runtime.cli.{name}"
    __import__(module)
    return sys.modules[module]


def attribute(module: Any, name: str) -> Any:
    """An attribute that a command's module may leave out."""
    return getattr(module, name, _OPTIONAL[name])


def write_output(text: str) -> None:
    """Writes to standard output. ClosedOutput if nobody reads it, PyociError for other failures (full disk)."""
    try:
        data = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a surrogate that does not stand for a byte of a file name
        data = text.encode("utf-8", "replace")
    write_bytes(data)


def write_bytes(data: bytes) -> None:
    """write_output of what is encoded already."""
    try:
        while data:
            data = data[posix.write(1, data) :]
    except BrokenPipeError:
        raise ClosedOutput from None
    except OSError as error:
        raise PyociError(f"cannot write to standard output: {error.strerror}") from None


def open_missing_descriptors() -> None:
    """Opens /dev/null for descriptors 0 to 2 that are closed, so that no file of ours is mistaken for one of them."""
    for descriptor in (0, 1, 2):
        try:
            posix.get_inheritable(descriptor)
        except OSError as error:
            if error.errno != EBADF:
                continue  # it is open, whatever else may be wrong
            opened = posix.open("/dev/null", posix.O_RDWR)
            if opened == descriptor:
                posix.set_inheritable(opened, True)
            else:
                posix.dup2(opened, descriptor)
                posix.close(opened)


def _configure(options: GlobalOptions, parsed: Arguments) -> None:
    """Fills `options`; the log comes before what may fail, so that a failure is logged."""
    log_format = parsed.text("log-format")
    if log_format not in ("", "text", "json"):
        raise UsageError(f'invalid log-format: "{log_format}"; must be text or json')
    path = parsed.text("log")
    if path:
        flags = posix.O_WRONLY | posix.O_APPEND | posix.O_CREAT | posix.O_NONBLOCK | posix.O_CLOEXEC
        try:
            options.log_descriptor = posix.open(path, flags, 0o644)
            posix.set_blocking(options.log_descriptor, True)  # only the reader of a FIFO was not to be waited for
        except OSError as error:
            from oci_runtime.cli.log import open_unusual

            options.log_descriptor = open_unusual(path, error)
    options.json_log = log_format == "json"
    options.debug = parsed.flag("debug")
    options.systemd_cgroup = parsed.flag("systemd-cgroup")
    rootless = parsed.text("rootless")
    if rootless and rootless.lower() != "auto":
        options.rootless = boolean(rootless, "rootless")
    options.root_is_set = parsed.is_set("root")
    root = parsed.text("root")
    if options.root_is_set:
        if root[:1] != "/" or "/." in root or "//" in root or root[-1] == "/":
            from oci_runtime.cli.paths import clean_root

            root = clean_root(root)
    elif b"XDG_RUNTIME_DIR" in posix.environ:
        from oci_runtime.cli.paths import default_root

        root = default_root(root)
    options.root = root


def _help(topic: list[str]) -> int:
    from oci_runtime.cli.help import show_help

    return show_help(topic)


def _version() -> int:
    from oci_runtime.cli.version import version_text

    write_output(version_text())
    return 0


def _other(options: GlobalOptions, name: str, arguments: list[str]) -> int:
    """A word in the command's place that is no command."""
    if name in ("help", "h"):
        if not arguments or arguments[0] in COMMANDS:
            return _help(arguments)
        name = arguments[0]
    _report(options, f'"{name}" is not a command of pyoci; commands are {", ".join(COMMANDS)} and help')
    return UNKNOWN_COMMAND


def _logged(options: GlobalOptions, name: str, module: Any, command: Arguments) -> int:
    """Runs the command between two debug records."""
    from time import monotonic

    from oci_runtime.cli.log import record
    from oci_runtime.cli.version import VERSION

    started = monotonic()
    record(options, "debug", f"pyoci {VERSION}: {name} {command.positional} with root {options.root}")
    status: int = module.main(options, command)
    record(options, "debug", f"{name} ends with status {status} after {(monotonic() - started) * 1000:.1f} ms")
    return status


def _report(options: GlobalOptions, message: str, *, several: bool = False) -> None:
    from oci_runtime.cli.log import report_error

    report_error(options, message, several=several)


def _unexpected(options: GlobalOptions, error: Exception) -> int:
    """A failure of the machine, but for its telling so little, or one of ours. Returns the exit status."""
    from oci_runtime.cli.refusal import refusal

    prefix, status = options.failure
    refused = refusal(error)
    if refused:
        _report(options, f"{prefix}{refused}")
    else:
        _report(options, f"pyoci: internal error: {type(error).__name__}: {' '.join(str(error).split())}")
    _trace(options, error)
    return status or 1


def _trace(options: GlobalOptions, error: BaseException) -> None:
    if options.debug:
        from traceback import format_exception

        from oci_runtime.cli.log import record

        record(options, "debug", "".join(format_exception(type(error), error, error.__traceback__)))
