"""Builds the validation programs, and the program that they run inside containers, with the Go tools."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

from conformance.errors import CannotJudge
from conformance.supervise import HELPER, ROOTFS

MODULE = "github.com/opencontainers/runtime-tools"
HERE = Path(__file__).resolve().parent
OLDEST_GO = (1, 24)
ABOUT = "suite.json"


def build(output: Path) -> int:
    """Builds all into `output`, unless they are there; how many programs there are. CannotJudge when Go or a module is
    missing."""
    go, version = _go()
    made_of = f"{version}, {_digest()}"
    if _about(output).get("made of") == made_of:
        return len(programs(output))
    output.mkdir(parents=True, exist_ok=True)
    for old in output.iterdir():
        old.unlink()
    module = json.loads(_run([go, "list", "-m", "-json", MODULE]))
    if "Dir" not in module:
        module = json.loads(_run([go, "mod", "download", "-json", MODULE]))
    into = f"{output.resolve()}/"
    small = ["-trimpath", "-ldflags=-s -w"]
    _run([go, "build", *small, "-o", into, f"{MODULE}/validation/..."])
    _run([go, "build", *small, "-o", into, f"{MODULE}/cmd/{HELPER}"], {"CGO_ENABLED": "0"})
    shutil.copy(Path(module["Dir"]) / ROOTFS, output / ROOTFS)
    (output / ROOTFS).chmod(0o644)
    about = {"suite": f"{MODULE} {module['Version']}", "made of": made_of}
    (output / ABOUT).write_text(json.dumps(about) + "\n", "utf-8")
    return len(programs(output))


def programs(directory: Path) -> list[str]:
    """The names of the programs in a directory that build() filled. CannotJudge when there are none."""
    missing = [name for name in (HELPER, ROOTFS, ABOUT) if not (directory / name).exists()]
    if missing:
        raise CannotJudge(f"{directory} has no {', '.join(missing)}: `python3 -m conformance build` makes them")
    return sorted(
        path.name
        for path in directory.iterdir()
        if path.name not in (HELPER, ROOTFS, ABOUT) and os.access(path, os.X_OK)
    )


def suite(directory: Path) -> str:
    """Name and version of what was built into a directory."""
    return _about(directory)["suite"]


def _about(directory: Path) -> dict[str, str]:
    """What build() noted last of all; nothing where it has not been."""
    try:
        about: dict[str, str] = json.loads((directory / ABOUT).read_text("utf-8"))
    except FileNotFoundError:
        return {}
    return about


def _digest() -> str:
    """Of the modules that go.sum names."""
    return hashlib.sha256((HERE / "go.sum").read_bytes() + (HERE / "go.mod").read_bytes()).hexdigest()


def _go() -> tuple[str, str]:
    """The command, and its version."""
    wanted = ".".join(map(str, OLDEST_GO))
    go = shutil.which("go")
    if not go:
        raise CannotJudge(f"go is not installed: the validation programs are built with Go {wanted} or newer")
    version = _run([go, "env", "GOVERSION"]).strip()
    match = re.match(r"go(\d+)\.(\d+)", version)
    if match and tuple(map(int, match.groups())) < OLDEST_GO:
        raise CannotJudge(f"{go} is {version}: the validation programs are built with Go {wanted} or newer")
    return go, version


def _run(argv: list[str], environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        argv, cwd=HERE, env={**os.environ, **(environment or {})}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        words = " | ".join(done.stderr.split("\n")[-4:]).strip(" |")
        raise CannotJudge(f"`{' '.join(argv[:3])}` failed: {words}")
    return done.stdout
