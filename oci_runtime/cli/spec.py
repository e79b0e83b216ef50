"""`spec`: writes a config.json to start from."""

from __future__ import annotations

import posix

from oci_runtime.cli.paths import absolute
from oci_runtime.errors import PyociError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.cli.main import GlobalOptions
    from oci_runtime.cli.options import Arguments

SUMMARY = "write a config.json to start from"
ARGUMENTS = ("", 0, 0)
DESCRIPTION = """The container it describes runs "sh" in the directory rootfs; edit it to taste,
at least /process/args."""
OPTIONS = (
    ("bundle", "b", "text", "", "directory to write it to (default: the current directory)"),
    ("rootless", "", "bool", False, "describe a container that the calling user can run without being root"),
)


def main(global_options: GlobalOptions, arguments: Arguments) -> int:
    from oci_runtime.cli.json_text import indented
    from oci_runtime.spec.default import default_config

    config = default_config(
        arguments.flag("rootless"),
        uid=posix.geteuid(),
        gid=posix.getegid(),
        cgroup2=posix.access("/sys/fs/cgroup/cgroup.controllers", posix.F_OK),
    )
    bundle = absolute(arguments.text("bundle"), "bundle")
    write_new(f"{bundle}/config.json" if bundle else "config.json", indented(config, "\t") + "\n")
    return 0


def write_new(path: str, text: str) -> None:
    """Writes a file that must not exist; PyociError if it does or if writing fails, which leaves no file."""
    try:
        descriptor = posix.open(path, posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_CLOEXEC, 0o666)
    except FileExistsError:
        raise PyociError(f"File {path} exists. Remove it first") from None
    except OSError as error:
        raise PyociError(f"cannot create {path}: {error.strerror}") from None
    data = text.encode()
    try:
        try:
            while data:
                data = data[posix.write(descriptor, data) :]
        finally:
            posix.close(descriptor)
    except OSError as error:
        posix.unlink(path)
        raise PyociError(f"cannot write {path}: {error.strerror}") from None
