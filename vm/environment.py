"""What pip brings: wheels and the checkout's virtual environment, a layer over the Debian tree, kept in the cache."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

from vm import chroot
from vm.host import ROOT, cache_directory, digest, forget_old, locked, run, say, scratch
from vm.tree import key as tree_key
from vm.tree import tree

CHECKOUT = "/opt/pyoci"  # where the checkout lies in the tree
WHEELS = "/opt/wheels"
EDITION = "1"


def requirements() -> str:
    """What pip installs into the virtual environment; xdist gives each processor of the machine tests to do."""
    return run([sys.executable, ROOT / "scripts" / "requirements.py", "dev"]) + "pytest-xdist\n"


def key() -> str:
    """The name of the layer: it changes with the tree and with what pyproject.toml asks for."""
    return digest([EDITION, tree_key(), requirements()])


def layers() -> list[Path]:
    """Directories that laid one over the other, the first on top, are a system to build and test pyoci in."""
    below = tree()
    with locked("environment", "another session makes the virtual environment; waiting for it"):
        path = cache_directory() / f"environment-{key()}"
        if not path.exists():
            with scratch("making-environment") as folder:
                make(below, folder)
                (folder / "environment").rename(path)
        forget_old("environment", path)
    return [path, below]


def make(below: Path, folder: Path) -> None:
    """Make the layer as `folder`/environment. Takes about 20 s."""
    say("fetching wheels and making the virtual environment")
    target, wheels, layer = folder / "environment", folder / "wheels", folder / "layer"
    for path in (target, wheels, layer):
        path.mkdir()
    (wheels / "requirements.txt").write_text(requirements())
    download(below, wheels, folder / "log")
    before = f"""
        cp -r "$1/." "$root{WHEELS}"
        printf '[global]\\nno-index = true\\nfind-links = {WHEELS}\\n' >"$root/etc/pip.conf"
    """
    script = f"""
        mkdir -p {CHECKOUT} && cd {CHECKOUT}
        python3 -m venv .venv
        .venv/bin/pip install -q --disable-pip-version-check -r {WHEELS}/requirements.txt
    """
    after = f'tar -C "$root" -c .{CHECKOUT} .{WHEELS} ./etc/pip.conf | tar -C "$2" -x'
    chroot.over([below], layer, (before, script, after), [wheels, target], folder / "log")


def download(below: Path, wheels: Path, log: Path) -> None:
    """Fetch wheels for the tree's Python with the host's pip, whose configuration thus stays on the host."""
    script = "import sys; print('%d%d' % sys.version_info[:2])"
    version = run(["chroot", below, "/usr/bin/python3", "-I", "-c", script]).strip()
    pip: list[str | Path] = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check"]
    pip += ["--only-binary=:all:", "--implementation=cp", f"--python-version={version}"]
    pip += [f"--abi={abi}" for abi in (f"cp{version}", "abi3", "none")]
    pip += [
        f"--platform=manylinux{glibc}_{platform.machine()}" for glibc in ("_2_39", "_2_34", "_2_28", "_2_17", "2014")
    ]
    run([*pip, "-d", wheels, "-r", wheels / "requirements.txt"], log=log)
