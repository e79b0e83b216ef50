"""`kill`: sends a signal to a container."""

from __future__ import annotations

from oci_runtime.cli.options import container_id
from oci_runtime.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.cli.main import GlobalOptions
    from oci_runtime.cli.options import Arguments

SUMMARY = "send a signal (default SIGTERM) to a container's init process"
ARGUMENTS = ("<container-id> [signal]", 1, 2)
DESCRIPTION = """The signal is a number, or a name such as KILL, SIGKILL, RTMIN+3 or SIGRTMAX-2,
in upper or lower case."""
OPTIONS = (("all", "a", "bool", False, "send it to all processes of the container"),)

#: The numbers of real-time signals, and names that _signal lacks in some versions of Python (signal(7)).
RTMIN = 34
RTMAX = 64
_MORE_NAMES = {"SIGSTKFLT": 16, "SIGIOT": 6, "SIGPOLL": 29, "SIGCLD": 17}


def main(global_options: GlobalOptions, arguments: Arguments) -> int:
    identifier = container_id(arguments.positional[0])
    number = signal_number(arguments.positional[1]) if len(arguments.positional) > 1 else 15
    from oci_runtime.lifecycle.kill import kill

    kill(global_options.root, identifier, number, arguments.flag("all"))
    return 0


def signal_number(text: str) -> int:
    """The number that `text` names, 0 (only ask whether it exists) to 64; '' is SIGTERM. Raises UsageError."""
    if not text:
        return 15
    digits = text.removeprefix("+")
    if digits.isascii() and digits.isdecimal():
        number = int(digits) if len(digits) < 10 else RTMAX + 1
    else:
        number = _named(text.upper())
    if 0 <= number <= RTMAX:
        return number
    raise UsageError(
        f"unknown signal {text!r}; valid are 0 to {RTMAX}, SIGRTMIN+0 to SIGRTMIN+{RTMAX - RTMIN}, "
        f"SIGRTMAX-0 to SIGRTMAX-{RTMAX - RTMIN}, {', '.join(_names())}"
    )


def _named(text: str) -> int:
    """-1 if there is no such signal."""
    name = text if text.startswith("SIG") else f"SIG{text}"
    for base, first, sign in (("SIGRTMIN", RTMIN, 1), ("SIGRTMAX", RTMAX, -1)):
        if name.startswith(base):
            offset = name[len(base) :]
            if not offset:
                return first
            digits = offset[1:]
            if offset[0] != ("+" if sign > 0 else "-") or not (digits.isascii() and digits.isdecimal()):
                return -1
            number = first + sign * int(digits) if len(digits) < 3 else -1
            return number if RTMIN <= number <= RTMAX else -1
    return _names().get(name, -1)


def _names() -> dict[str, int]:
    names = {
        name: int(number)
        for name, number in vars(__import__("_signal")).items()
        if name.startswith("SIG") and "_" not in name and not name.startswith("SIGRT")
    }
    return {**_MORE_NAMES, **names}
