"""A root filesystem of Debian, made by mmdebstrap from the mirrors that the host's apt uses, and kept in the cache."""

from __future__ import annotations

import platform
from pathlib import Path

from vm.host import (
    ROOT,
    VmError,
    cache_directory,
    digest,
    discard,
    forget_old,
    locked,
    require,
    require_root,
    run,
    say,
    scratch,
)

SUITE = "trixie"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
SYSTEM = (
    *("systemd", "systemd-sysv", "dbus", "dbus-user-session", "libpam-systemd", "udev", "kmod"),
    *("linux-image-cloud-amd64", "openssh-server", "apparmor", "ca-certificates", "less", "vim-tiny", "gdb-minimal"),
    *("crun", "docker-cli", "netavark", "aardvark-dns", "nftables", "uidmap", "slirp4netns", "passt"),
    *("fuse-overlayfs", "e2fsprogs", "git"),
)
# What nobody reads in there.
EXCLUDED = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/info/*", "/usr/share/locale/*")
EDITION = "1"  # to be raised when make() changes in a way that the other inputs do not show


def packages() -> list[str]:
    """What is installed: the system, and what building and testing pyoci needs."""
    listed = run([ROOT / "scripts" / "install-deps", "--list", "build", "test"]).split()
    return sorted({*SYSTEM, *listed})


def key() -> str:
    """The name of the tree: it changes when what goes into it does, except for new versions of packages."""
    return digest([EDITION, SUITE, *packages(), *EXCLUDED])


def tree() -> Path:
    """The tree, made if the cache has none. It belongs to the cache: change it only through an overlay or a copy."""
    require_root("making a Debian tree")
    path = cache_directory() / f"tree-{key()}"
    with locked("tree", "another session makes the tree; waiting for it"):
        if not path.exists():
            require("mmdebstrap", "apt-get", "unshare")
            with scratch("making-tree") as folder:
                make(folder / "tree", folder / "log")
                (folder / "tree").rename(path)
        forget_old("tree", path)
    return path


def sources() -> str:
    """apt sources of the suite, at the mirrors that the host's apt has for its own. Raises VmError if it has none."""
    host = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    fields = "$(REPO_URI) $(RELEASE) $(COMPONENT)"
    listed = run(["apt-get", "indextargets", "--format", fields, "Identifier: Packages"])
    lines = []
    for uri, release, component in (line.split() for line in listed.splitlines()):
        if host and (release == host or release.startswith(f"{host}-")):
            lines.append(f"deb [signed-by={KEYRING}] {uri} {SUITE}{release[len(host) :]} {component}")
    if not lines:
        raise VmError(
            f"apt of this host knows no mirror of Debian {host}; see /etc/apt/sources.list.d and sources.list(5)"
        )
    return "\n".join(dict.fromkeys(lines)) + "\n"


def apt_options() -> list[str]:
    """How the host's apt fetches: proxies and validity checks; they are not kept in the tree."""
    dump = run(["apt-config", "dump"]).splitlines()
    wanted = ("Acquire::http", "Acquire::https", "Acquire::ftp", "Acquire::Check-", "Acquire::Retries")
    return [line for line in dump if line.startswith(wanted) and not line.endswith('"";')]


def make(target: Path, log: Path) -> None:
    """Make a tree at `target`, which must not exist. Takes a minute or two."""
    say(f"making a Debian {SUITE} tree with mmdebstrap; a minute or two")
    if not KEYRING.exists():
        raise VmError(f"no {KEYRING}: install debian-archive-keyring")
    listed = target.with_name("sources.list")
    listed.write_text(sources())
    command: list[str | Path] = ["mmdebstrap", "--variant=apt", "--format=directory", "--mode=root"]
    command += [f"--include={','.join(packages())}"]
    for option in [*apt_options(), 'APT::Install-Recommends "false";']:
        command.append(f"--aptopt={option}")
    for pattern in EXCLUDED:
        command.append(f"--dpkgopt=path-exclude={pattern}")
    run([*command, SUITE, target, listed], log=log)
    for name in ("etc/apt/sources.list", "etc/apt/apt.conf.d/99mmdebstrap", "etc/resolv.conf", "etc/hostname"):
        (target / name).unlink(missing_ok=True)
    discard(target / "var/lib/apt/lists")
    for initrd in (target / "boot").glob("initrd*"):  # this kernel has NVMe and ext4 built in
        initrd.unlink()
