"""The places that are measured in: this machine as it is, and a Debian tree with cgroup v2 alone."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
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
#: What installs pyoci from the checkout into an overlay of the tree: $1 the tree, $2 a folder, which gets usr/local.
INSTALL = """
mkdir "$2/upper" "$2/work" "$2/root" "$2/out"
mount -t overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" overlay "$2/root"
mount -t proc proc "$2/root/proc"
mount --rbind /dev "$2/root/dev"
tar -C "$2/root/opt/pyoci" -xf "$2/sources.tar"
touch "$2/root/opt/pyoci/.venv/.stamp"
mkdir "$2/root/out"
mount --bind "$2/out" "$2/root/out"
exec chroot "$2/root" env -i HOME=/root LANG=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin \
    make -s -C /opt/pyoci install PREFIX=/usr/local DESTDIR=/out
"""


def namespaces() -> list[str]:
    """The beginning of a command that runs in a mount and a pid namespace and ends with its caller."""
    return ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child"]


def measure(job: dict[str, Any], tree: Path | None, folder: Path, installed: Path) -> dict[str, Any]:
    """Lets bench.worker do the job and returns its result. `folder` is empty, on a disk; `installed` becomes /usr/local
    of the tree. Whatever happens, no process, mount or cgroup of it is left."""
    job["cgroup"] = f"/{PREFIX}{os.getpid()}"
    (folder / "state").mkdir()
    (folder / "job.json").write_text(json.dumps(job))
    build_tool(folder / "measure")
    enter = ["sh", str(HERE / "enter.sh"), str(folder), str(ROOT), str(tree or ""), str(installed), "--"]
    python = ["/usr/bin/python3" if tree else sys.executable, "-B", "-m", "bench.worker", FOLDER]
    worker = subprocess.Popen([*namespaces(), *enter, *python], stdin=subprocess.DEVNULL)
    try:
        status = worker.wait()
    finally:
        worker.kill()
        worker.wait()
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


def install_in_tree(tree: Path, folder: Path) -> Path:
    """`make install` of this checkout with the tree's own interpreter and compiler; returns what is its /usr/local.
    `folder` is empty. The tree stays as it is."""
    listed = subprocess.run(["git", "-C", ROOT, "ls-files", "-z", "-co", "--exclude-standard"], capture_output=True)
    if listed.returncode:
        raise BenchError(f"git ls-files: {listed.stderr.decode().strip()}")
    names = [name for name in listed.stdout.split(b"\0") if name and (ROOT / os.fsdecode(name)).exists()]
    pack = ["tar", "-C", str(ROOT), "-cf", str(folder / "sources.tar"), "--null", "--files-from=-"]
    subprocess.run(pack, input=b"\0".join(names), check=True)
    log = folder / "install.log"
    with log.open("wb") as file:
        command = [*namespaces(), "sh", "-euc", INSTALL, "install", str(tree), str(folder)]
        status = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file).returncode
    if status:
        raise BenchError(f"make install in the tree failed: {log.read_text(errors='replace').strip()}")
    return folder / "out" / "usr" / "local"


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder on a disk, as engines keep bundles on one; at the end it is removed."""
    with tempfile.TemporaryDirectory(prefix=f"{PREFIX}{os.getpid()}-", dir="/var/tmp") as folder:
        yield Path(folder)


def sweep() -> None:
    """Removes what a benchmark left that was killed and could not."""
    left = [*Path("/var/tmp").glob(f"{PREFIX}*"), *(p for m in bundles.cgroup_mounts() for p in m.glob(f"{PREFIX}*"))]
    for path in left:
        pid = path.name.removeprefix(PREFIX).partition("-")[0]
        if not pid.isdigit() or Path(f"/proc/{pid}").exists():
            continue
        if path.is_relative_to("/var/tmp"):
            shutil.rmtree(path)
        else:
            bundles.remove_cgroups(path.name, patience=10)


def end_by_exception(number: int, frame: object) -> None:
    """A signal handler: so that what was begun is undone."""
    signal.signal(number, signal.SIG_IGN)
    sys.exit(128 + number)
