"""The disk of the virtual machine: the Debian tree with what vm/guest adds, as an ext4 image in the cache."""

from __future__ import annotations

from pathlib import Path

from vm import chroot, environment
from vm.host import cache_directory, digest, files_below, forget_old, locked, require, require_root, run, say, scratch

GUEST = Path(__file__).resolve().parent / "guest"
SIZE = "12G"  # sparse: what it takes on the host is what is in it
EDITION = "1"


def login_key() -> Path:
    """The private key that may log in to the machine; made once."""
    path = cache_directory() / "id_ed25519"
    if not path.exists():
        with scratch("making-key") as folder:
            run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "pyoci-vm", "-f", folder / "id"])
            (folder / "id.pub").rename(path.with_suffix(".pub"))
            (folder / "id").rename(path)
    return path


def key() -> str:
    """The name of the image: it changes when what goes into it does."""
    parts: list[str | bytes] = [EDITION, SIZE, environment.key(), login_key().with_suffix(".pub").read_bytes()]
    for name, path in files_below(GUEST):
        parts += [name, path.read_bytes()]
    return digest(parts)


def image() -> Path:
    """A directory with disk.ext4, vmlinuz and host_key.pub, made if the cache has none. Nobody writes to it."""
    require_root("making the image")
    require("mke2fs", "unshare", "ssh-keygen")
    with locked("image", "another session makes the image; waiting for it"):
        path = cache_directory() / f"image-{key()}"
        if not path.exists():
            source = environment.layers()
            say("making the disk image")
            with scratch("making-image") as folder:
                make(source, folder)
                (folder / "image").rename(path)
        forget_old("image", path)
    return path


def make(source: list[Path], folder: Path) -> None:
    """Make the directory `folder`/image of the layers `source`. Takes about half a minute."""
    target, layer = folder / "image", folder / "layer"
    target.mkdir()
    layer.mkdir()
    before = 'cp -r "$1/etc" "$root/"'
    prepare = f"set -- '{login_key().with_suffix('.pub').read_text().strip()}'\n{(GUEST / 'prepare.sh').read_text()}"
    after = """
        cp "$root"/boot/vmlinuz-* "$2/vmlinuz"
        cp "$root/etc/ssh/ssh_host_ed25519_key.pub" "$2/host_key.pub"
        mke2fs -q -t ext4 -L pyoci-vm -m 0 -E lazy_itable_init=1,nodiscard -d "$root" "$2/disk.ext4" "$3"
    """
    chroot.over(source, layer, (before, prepare, after), [GUEST, target, SIZE], folder / "log")
