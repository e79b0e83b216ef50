"""A recording stand-in for an OCI runtime.

An engine is pointed at the small script that :func:`make_recorder` writes. For every call the script appends the argument
vector to ``calls.jsonl`` and, for ``create``, ``run`` and ``restore``, copies the bundle's config.json (for ``exec``, the
process file) into the record directory; then it becomes the real runtime with the arguments unchanged, so the engine sees
no difference. The record directory and the runtime are written into the script, because engines do not hand their
environment down.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sys
from pathlib import Path

# Options that take a value, of the root command and of create, run, restore and exec, as runc has them.
_VALUED = frozenset(
    "--log --log-format --root --criu --rootless --bundle -b --console-socket --pid-file --preserve-fds --process -p "
    "--cwd --env -e --user -u --additional-gids -g --process-label --apparmor --cap -c --cgroup --image-path --work-path "
    "--parent-path --manage-cgroups-mode".split()
)
_FLAG_P_MEANS_PROCESS = frozenset({"exec"})


class Call:
    """One call of the runtime: when (seconds since the epoch), the arguments, the working directory, the copied files."""

    __slots__ = ("argv", "cwd", "saved", "when")

    def __init__(self, when: float, argv: list[str], cwd: str, saved: list[str]) -> None:
        self.when = when
        self.argv = argv
        self.cwd = cwd
        self.saved = saved

    @property
    def verb(self) -> str:
        """The subcommand, or "" if there is none (``--version``)."""
        return split(self.argv)[0]


def split(argv: list[str]) -> tuple[str, dict[str, str], list[str]]:
    """Split a runtime's arguments into the verb, the options that have a value, and the positional arguments."""
    verb, options, positional = "", {}, []
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        if word.startswith("-") and word != "-":
            name, equals, value = word.partition("=")
            if equals:
                options[name] = value
            elif name in _VALUED and rest:
                options[name] = rest.pop(0)
        elif not verb:
            verb = word
        else:
            positional.append(word)
            if verb == "exec":  # what follows the container's name is the command
                positional += rest
                break
    return verb, options, positional


def make_recorder(directory: Path, runtime: str, name: str = "runc") -> Path:
    """Write the recording script for `runtime` and return its path; the records go to `directory` / "records".

    The script is called `name`, since podman decides by a runtime's file name whether it can log in JSON.
    """
    records = directory / "records"
    records.mkdir(parents=True, exist_ok=True)
    script = directory / name
    script.write_text(
        f'#!/bin/sh\nexec {sys.executable} -I -S {Path(__file__).resolve()} "{records}" "{runtime}" "$@"\n'
    )
    script.chmod(0o755)
    return script


def calls(directory: Path) -> list[Call]:
    """The calls recorded under `directory` so far, oldest first."""
    log = directory / "records" / "calls.jsonl"
    if not log.exists():
        return []
    return [Call(**json.loads(line)) for line in log.read_text().splitlines()]


def configs(directory: Path) -> list[Path]:
    """The config.json files recorded under `directory` so far, oldest first."""
    return sorted((directory / "records").glob("*.config.json"))


def _record(records: Path, argv: list[str]) -> None:
    import time

    verb, options, positional = split(argv)
    with open(records / "calls.jsonl", "a") as log:
        fcntl.flock(log, fcntl.LOCK_EX)
        number = len(list(records.iterdir()))
        saved: list[str] = []
        if verb in ("create", "run", "restore"):
            bundle = options.get("--bundle") or options.get("-b") or "."
            target = records / f"{number:04d}-{positional[0]}.config.json"
            shutil.copyfile(os.path.join(bundle, "config.json"), target)
            saved.append(str(target))
        process = options.get("--process") or (options.get("-p") if verb in _FLAG_P_MEANS_PROCESS else None)
        if process and verb == "exec":
            target = records / f"{number:04d}-{positional[0]}.process.json"
            shutil.copyfile(process, target)
            saved.append(str(target))
        json.dump({"when": time.time(), "argv": argv, "cwd": os.getcwd(), "saved": saved}, log)
        log.write("\n")


def main() -> None:
    """``capture.py RECORDS RUNTIME ARGUMENT...``: record, then execute RUNTIME with the arguments."""
    records, runtime, argv = Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
    _record(records, argv)
    os.execv(runtime, [runtime, *argv])


if __name__ == "__main__":
    main()
