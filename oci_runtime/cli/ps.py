"""`ps`: the processes of a container, as ps(1) shows them or as JSON."""

from __future__ import annotations

from oci_runtime.cli.options import container_id
from oci_runtime.errors import PyociError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from oci_runtime.cli.main import GlobalOptions
    from oci_runtime.cli.options import Arguments

SUMMARY = "show the processes of a container"
ARGUMENTS = ("<container-id> [ps option]...", 1, None)
DESCRIPTION = """The table is that of ps(1) on the host, called with the options given (default
-ef); of it are shown the lines whose PID is a process of the container."""
OPTIONS = (("format", "f", "text", "table", "table or json"),)
INTERLEAVED = False


def main(global_options: GlobalOptions, arguments: Arguments) -> int:
    identifier = container_id(arguments.positional[0])
    output_format = arguments.text("format")
    if output_format not in ("table", "json"):
        raise UsageError(f"invalid format option {output_format!r}; must be table or json")
    from oci_runtime.cli.main import write_bytes, write_output
    from oci_runtime.lifecycle.ps import pids

    processes = pids(global_options.root, identifier)
    if output_format == "json":
        from oci_runtime.cli.json_text import compact

        write_output(compact(processes) + "\n")
    else:
        write_bytes(select(run_ps(arguments.positional[1:] or ["-ef"]), processes))
    return 0


def run_ps(options: Sequence[str]) -> bytes:
    """What ps(1) prints. PyociError if it cannot be run or fails."""
    from subprocess import PIPE, STDOUT, run

    try:
        done = run(["ps", *options], stdout=PIPE, stderr=STDOUT, check=False)
    except OSError as error:
        raise PyociError(f"cannot run ps: {error.strerror}") from None
    if done.returncode:
        said = " ".join(done.stdout.decode("utf-8", "replace").split())
        raise PyociError(f"ps {' '.join(options)} ended with status {done.returncode}: {said}")
    return done.stdout


def select(output: bytes, processes: Collection[int]) -> bytes:
    """The title of a table of ps(1) and the lines of `processes`, whose names and arguments are the container's to
    choose, and not to command a terminal with. PyociError if it has no column PID."""
    from oci_runtime.cli.log import visible

    title, *lines = output.split(b"\n")
    try:
        column = title.split().index(b"PID")
    except ValueError:
        raise PyociError("cannot find the column PID in the output of ps; choose ps options that print it") from None
    wanted = [[b"%d" % process] for process in processes]
    shown = [title, *(line for line in lines if line.split()[column : column + 1] in wanted)]
    return "".join(f"{visible(line.decode('utf-8', 'replace'))}\n" for line in shown).encode()
