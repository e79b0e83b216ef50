"""The places that are measured in: this machine as it is, and a Debian tree with cgroup v2 alone."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from bench import bundles
from bench.errors import BenchError

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
NATIVE, TREE = NAMES = ("native", "tree")
PREFIX = "pyoci-bench-"  # of every folder and cgroup that the benchmark makes, followed by its pid
IN_TREE = "/usr/local/bin/pyoci"
# The folder and the sources, where enter.sh shows them.
FOLDER, SOURCES = "/mnt", "/srv"
PR_SET_CHILD_SUBREAPER = 36
# The beginning of a command that runs in a mount and a pid namespace and ends with its caller
NAMESPACES = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child"]


def run_in_namespaces(command: list[str]) -> int:
    """Exit status of a command in a mount and a pid namespace. When this returns or raises every process of them has
    ended: a runtime that was still ending would make cgroups, or remove them, under the hands of who cleans up."""
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1)  # gets the namespace's pid 1 when unshare has been killed
    process = subprocess.Popen([*NAMESPACES, *command], stdin=subprocess.DEVNULL)
    try:
        return process.wait()
    finally:
        process.kill()
        process.wait()
        with suppress(ChildProcessError):
            while True:
                os.wait()  # pid 1 ends after all others of its namespace: pid_namespaces(7)
        libc.prctl(PR_SET_CHILD_SUBREAPER, 0)


def measure(job: dict[str, Any], tree: Path | None, folder: Path, installed: Path) -> dict[str, Any]:
    """Lets bench.worker do the job and returns its result. `folder` is empty, on a disk; `installed` becomes /usr/local
    of the tree. Whatever happens, no process, mount or cgroup of it is left."""
    job["cgroup"] = f"/{PREFIX}{os.getpid()}"
    (folder / "state").mkdir()
    (folder / "job.json").write_text(json.dumps(job))
    build_tool(folder / "measure")
    enter = ["sh", str(HERE / "enter.sh"), str(folder), str(ROOT), str(tree or ""), str(installed), "--"]
    python = ["/usr/bin/python3" if tree else sys.executable, "-B", "-m", "bench.worker", FOLDER]
    try:
        status = run_in_namespaces([*enter, *python])
    finally:
        bundles.remove_cgroups(job["cgroup"], patience=60)
    if status:
        raise BenchError(f"measuring in the {job['place']} place failed")
    result: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return result


def build_tool(tool: Path) -> None:
    """Compiles measure.c, for any Linux; raises BenchError without a compiler."""
    compiler = os.environ.get("CC") or shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise BenchError("no C compiler to build bench/measure.c with")
    flags = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-static"]
    subprocess.run([compiler, *flags, "-o", tool, HERE / "measure.c"], check=True, stdout=sys.stderr)


def make_tree(folder: Path) -> tuple[Path, Path]:
    """A Debian tree, as vm/ makes and keeps it, and what is to be its /usr/local: this checkout, built and installed
    with the tree's own compiler and interpreter, in `folder`."""
    from vm import checkout, tree
    from vm.host import VmError

    try:
        made, archive = tree.tree(), checkout.payload()
    except VmError as error:
        raise BenchError(f"no Debian tree to measure in (--place {NATIVE} does without): {error}") from None
    subprocess.run(["tar", "-C", str(folder), "-xf", str(archive), "./usr/local"], check=True)
    return made, folder / "usr" / "local"


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder on a disk, as engines keep bundles on one; at the end it is removed."""
    with tempfile.TemporaryDirectory(prefix=f"{PREFIX}{os.getpid()}-", dir="/var/tmp") as folder:
        yield Path(folder)


def sweep() -> None:
    """Removes what a benchmark left that was killed and could not; another one may do the same at the same time."""
    left = [*Path("/var/tmp").glob(f"{PREFIX}*"), *(p for m in bundles.cgroup_mounts() for p in m.glob(f"{PREFIX}*"))]
    for path in left:
        pid = path.name.removeprefix(PREFIX).partition("-")[0]
        if not pid.isdigit() or Path(f"/proc/{pid}").exists():
            continue
        if path.is_relative_to("/var/tmp"):
            with suppress(FileNotFoundError):
                shutil.rmtree(path)
        else:
            bundles.remove_cgroups(path.name, patience=10)


def end_by_exception(number: int, frame: object) -> None:
    """A signal handler: so that what was begun is undone."""
    signal.signal(number, signal.SIG_IGN)
    sys.exit(128 + number)
