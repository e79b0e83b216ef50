"""`events`: prints what a container uses and when it runs out of memory, each event a line of JSON."""

from __future__ import annotations

from oci_runtime.cli.options import container_id
from oci_runtime.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.cli.main import GlobalOptions
    from oci_runtime.cli.options import Arguments

SUMMARY = "print what a container uses and when it runs out of memory"
ARGUMENTS = ("<container-id>", 1, 1)
DESCRIPTION = """Each event is a JSON object on a line of its own, as runc prints them: of type
"stats" with CPU time, memory, I/O and more, once in every interval, and of type
"oom" when the kernel has found no memory for the container. It ends with the
container."""
OPTIONS = (
    ("interval", "", "text", "5s", "time between statistics, such as 500ms, 1.5s or 2m30s"),
    ("stats", "", "bool", False, "print the statistics once and end"),
)

# Go's time.ParseDuration
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_LONGEST = float(1 << 63) * 1e-9


def main(global_options: GlobalOptions, arguments: Arguments) -> int:
    identifier = container_id(arguments.positional[0])
    interval = duration(arguments.text("interval"), "interval")
    from oci_runtime.cli.json_text import compact
    from oci_runtime.cli.main import write_output
    from oci_runtime.lifecycle.events import events, stats

    if arguments.flag("stats"):
        write_output(compact(stats(global_options.root, identifier)) + "\n")
        return 0
    for event in events(global_options.root, identifier, interval, global_options.warn):
        write_output(compact(event) + "\n")
    return 0


def duration(text: str, option: str) -> float:
    """Seconds, more than 0, of a duration as Go writes them: numbers with units. Raises UsageError."""
    total, rest = 0.0, text.removeprefix("+")
    while rest:
        unit_and_rest = rest.lstrip("0123456789.")
        number = rest[: len(rest) - len(unit_and_rest)]
        rest = unit_and_rest.lstrip("nuµμmsh")
        unit = unit_and_rest[: len(unit_and_rest) - len(rest)]
        if unit not in _SECONDS or not number.replace(".", "", 1).isdecimal():
            raise _invalid(text, option)
        total += float(number) * _SECONDS[unit]
    if not 0 < total < _LONGEST:
        raise _invalid(text, option)
    return total


def _invalid(text: str, option: str) -> UsageError:
    return UsageError(f"invalid value for {option}: {text!r}; valid are durations of more than 0, such as 5s or 1m30s")
