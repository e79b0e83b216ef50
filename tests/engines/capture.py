"""A recording stand-in for an OCI runtime.

An engine is pointed at the small script that :func:`make_recorder` writes. For every call the script appends the
argument vector to ``calls.jsonl`` and copies the files the call names: the bundle's config.json for ``create``, ``run``
and ``restore``, the process file for ``exec``, the resources file for ``update``. Then it becomes the real runtime with
the arguments unchanged, so the engine sees no difference. What the script needs to know is written into it, because
engines do not hand their environment down.

With ``by_hand`` another runtime first runs each bundle that is to be created, as it is: with the rootfs, the files and
the cgroup path the engine has prepared for it, under a state root of its own, to its end. Output and code are kept.
"""

from __future__ import annotations

import fcntl
import json
import os
import pty
import shutil
import subprocess
import sys
import time
from pathlib import Path

# Options that take a value, of the root command and of create, run, restore, exec and update, as runc has them.
_ROOT_OPTIONS = {"--log", "--log-format", "--root", "--criu", "--rootless"}
_FILE_OPTIONS = {"--bundle", "-b", "--console-socket", "--pid-file", "--preserve-fds", "--process", "-p"}
_EXEC_OPTIONS = {"--cwd", "--env", "-e", "--user", "-u", "--additional-gids", "-g", "--process-label", "--apparmor"}
_OTHER_OPTIONS = {"--cap", "-c", "--cgroup", "--image-path", "--work-path", "--parent-path", "--manage-cgroups-mode"}
_SHOW_OPTIONS = {"--resources", "-r", "--format", "-f"}
_VALUED = frozenset(_ROOT_OPTIONS | _FILE_OPTIONS | _EXEC_OPTIONS | _OTHER_OPTIONS | _SHOW_OPTIONS)


class Call:
    """One call of the runtime: the time in seconds since the epoch, the arguments, the directory, the files kept."""

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


class ByHand:
    """How the run of a bundle by hand ended."""

    __slots__ = ("code", "output")

    def __init__(self, code: int, output: str) -> None:
        self.code = code
        self.output = output


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
            elif name in _VALUED and rest and not (verb == "delete" and name == "-f"):
                options[name] = rest.pop(0)
        elif not verb:
            verb = word
        else:
            positional.append(word)
            if verb == "exec":  # what follows the container's name is the command
                positional += rest
                break
    return verb, options, positional


def make_recorder(directory: Path, runtime: str, name: str = "runc", by_hand: str = "") -> Path:
    """Write the recording script and return its path; it records to `directory` / "records" and executes `runtime`.

    The script is called `name`, since podman decides by a runtime's file name whether it can log in JSON. `by_hand` is
    the runtime that runs each bundle beforehand.
    """
    records = directory / "records"
    records.mkdir(parents=True, exist_ok=True)
    script = directory / name
    here = Path(__file__).resolve()
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "{here}" "{records}" "{runtime}" "{by_hand}" "$@"\n')
    script.chmod(0o755)
    return script


def calls(directory: Path) -> list[Call]:
    """The calls recorded under `directory` so far, oldest first."""
    log = directory / "records" / "calls.jsonl"
    if not log.exists():
        return []
    return [Call(**json.loads(line)) for line in log.read_text().splitlines()]


def saved(directory: Path, kind: str = "config") -> list[Path]:
    """The files of a kind (config, process, resources) recorded under `directory` so far, oldest first."""
    return sorted((directory / "records").glob(f"*.{kind}.json"))


def runs_by_hand(directory: Path) -> list[ByHand]:
    """How the runs by hand recorded under `directory` ended, oldest first."""
    return [ByHand(**json.loads(path.read_text())) for path in sorted((directory / "records").glob("*.by-hand"))]


def _run_by_hand(runtime: str, bundle: str, records: Path, stem: str) -> None:
    root = records / f"{stem}.state"
    argv = [runtime, "--root", str(root), "run", "--bundle", bundle, f"by-hand-{stem[:4]}"]
    with open(os.path.join(bundle, "config.json")) as file:
        terminal = json.load(file)["process"].get("terminal", False)
    if terminal:
        code, output = _on_a_terminal(argv)
    else:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        code, output = done.returncode, done.stdout
    target = records / f"{stem}.by-hand"
    target.write_text(json.dumps({"code": code, "output": output.decode(errors="replace")}))


def _on_a_terminal(argv: list[str]) -> tuple[int, bytes]:
    pid, master = pty.fork()
    if pid == 0:
        os.execv(argv[0], argv)
    output = b""
    try:
        while data := os.read(master, 4096):
            output += data
    except OSError:  # EIO: the last one has closed the terminal
        pass
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.close(master)
    return code, output.replace(b"\r", b"")


def _named_files(verb: str, options: dict[str, str]) -> dict[str, str]:
    """The files a call names, by kind."""
    if verb in ("create", "run", "restore"):
        bundle = options.get("--bundle") or options.get("-b") or "."
        return {"config": os.path.join(bundle, "config.json")}
    if verb == "exec":
        process = options.get("--process") or options.get("-p")
        return {"process": process} if process else {}
    if verb == "update":
        resources = options.get("--resources") or options.get("-r")
        return {"resources": resources} if resources and resources != "-" else {}
    return {}


def _record(records: Path, argv: list[str], by_hand: str) -> None:
    verb, options, positional = split(argv)
    with open(records / "calls.jsonl", "a+") as log:
        fcntl.flock(log, fcntl.LOCK_EX)
        log.seek(0)
        stem = f"{len(log.readlines()):04d}-{positional[0] if positional else verb}"
        kept = []
        for kind, source in _named_files(verb, options).items():
            target = records / f"{stem}.{kind}.json"
            shutil.copyfile(source, target)
            kept.append(str(target))
        json.dump({"when": time.time(), "argv": argv, "cwd": os.getcwd(), "saved": kept}, log)
        log.write("\n")
    if by_hand and verb == "create":
        _run_by_hand(by_hand, options.get("--bundle") or options.get("-b") or ".", records, stem)


def main() -> None:
    """``capture.py RECORDS RUNTIME BY_HAND ARGUMENT...``: record, then execute RUNTIME with the arguments."""
    records, runtime, by_hand, argv = Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:]
    _record(records, argv, by_hand)
    os.execv(runtime, [runtime, *argv])


if __name__ == "__main__":
    main()
