"""The checkout, built and installed inside the Debian tree, on the host where that is fast, and packed."""

from __future__ import annotations

import subprocess
from pathlib import Path

from vm import chroot, environment
from vm.host import ROOT, VmError, cache_directory, digest, forget_old, locked, run, say, scratch

LIST = "/opt/pyoci.files"  # what the tar has, so that the next one's install removes what that has no more


def files() -> list[str]:
    """What git has or would take, in the working tree."""
    listed = run(["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]).split("\0")
    return sorted({name for name in listed if name and (ROOT / name).is_file()})


def key(names: list[str]) -> str:
    """The name of a build: it changes with any file of the checkout."""
    parts: list[str | bytes] = [environment.key()]
    for name in names:
        path = ROOT / name
        parts += [name, oct(path.stat().st_mode), path.read_bytes()]
    return digest(parts)


def payload() -> Path:
    """A tar of the checkout as `make build` leaves it and of what `make install` installs, relative to /."""
    below = environment.layers()
    with locked("checkout", "another session builds the checkout; waiting for it"):
        names = files()
        path = cache_directory() / f"checkout-{key(names)}.tar"
        if not path.exists():
            say("building the checkout in the Debian tree")
            with scratch("making-checkout") as folder:
                make(below, names, folder)
                (folder / "checkout.tar").rename(path)
        forget_old("checkout", path, kept=4)
        return path


def make(below: list[Path], names: list[str], folder: Path) -> None:
    """Build and write `folder`/checkout.tar. Takes about 20 s."""
    source, layer, target = folder / "source.tar", folder / "layer", folder / "checkout.tar"
    layer.mkdir()
    with source.open("wb") as file:
        listed = "\0".join(names).encode()
        subprocess.run(["tar", "-C", ROOT, "--null", "-T", "-", "-c"], input=listed, stdout=file, check=True)
    checkout = environment.CHECKOUT
    before = f'tar -C "$root{checkout}" -x --no-same-owner -f "$1"'
    # The environment has what this pyproject.toml asks for, whatever its time says.
    script = f"cd {checkout} && touch .venv/.stamp && make -s build install"
    after = f"""
        cd "$root"
        tar -c --exclude=.{checkout}/.venv/?* .{checkout} ./usr/local/bin/pyoci ./usr/local/lib/pyoci >"$2"
        tar -t -f "$2" | grep -v /$ | LC_ALL=C sort >.{LIST}
        tar -r -f "$2" .{checkout}/.venv/.stamp .{LIST}
    """
    chroot.over(below, layer, (before, script, after), [source, target], folder / "log")


def copy_tree(target: Path, *, install: bool) -> None:
    """A Debian tree of one's own at `target`, with pyoci in it if it is to be installed.

    Raises VmError if `target` is there and no empty directory.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise VmError(f"{target} exists and is no empty directory")
    layers = environment.layers()
    target.mkdir(parents=True, exist_ok=True)
    for layer in reversed(layers):
        run(["cp", "-a", "--reflink=auto", f"{layer}/.", target])
    if install:
        run(["tar", "-C", target, "-x", "--no-same-owner", "-f", payload()])
