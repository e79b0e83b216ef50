"""Bind mounts, and destinations: where they are made and where symbolic links in the image lead."""

from __future__ import annotations

from pathlib import Path

import pytest
from containers import Bundle, Pyoci
from host_mounts import HostMounts
from mountinfo import parse


@pytest.fixture
def source(directory: Path) -> Path:
    """A directory of the host with a file."""
    path = directory / "source"
    path.mkdir()
    (path / "file").write_text("content")
    return path


def test_directory(bundle: Bundle, pyoci: Pyoci, source: Path) -> None:
    bundle.mount("/mnt", "bind", str(source), ["bind"])
    assert pyoci.run(bundle.shell("cat /mnt/file; echo new > /mnt/new")).out == "content"
    assert (source / "new").read_text() == "new\n"


def test_file(bundle: Bundle, pyoci: Pyoci, source: Path) -> None:
    bundle.mount("/etc/new", "bind", str(source / "file"), ["bind", "ro"])
    assert pyoci.run(bundle.shell("cat /etc/new; echo x > /etc/new || true")).out == "content"
    assert (source / "file").read_text() == "content"


def test_file_over_a_file(bundle: Bundle, pyoci: Pyoci, source: Path) -> None:
    bundle.mount("/etc/passwd", "bind", str(source / "file"), ["bind"])
    assert pyoci.run(bundle.args("cat", "/etc/passwd")).out == "content"
    assert "root" in (bundle.rootfs / "etc/passwd").read_text()


@pytest.mark.parametrize(("kind", "options"), [("bind", []), ("none", ["bind"]), ("", ["rbind"]), ("ext4", ["bind"])])
def test_type_or_option_makes_it_a_bind_mount(
    bundle: Bundle, pyoci: Pyoci, source: Path, kind: str, options: list[str]
) -> None:
    bundle.mount("/mnt", kind, str(source), options)
    assert pyoci.run(bundle.args("cat", "/mnt/file")).out == "content"


def test_source_is_relative_to_the_bundle(bundle: Bundle, pyoci: Pyoci) -> None:
    (bundle.path / "data").mkdir()
    (bundle.path / "data/file").write_text("from the bundle")
    bundle.mount("/mnt", "bind", "data", ["bind"])
    assert pyoci.run(bundle.args("cat", "/mnt/file"), cwd=Path("/")).out == "from the bundle"


def test_source_may_be_a_symbolic_link(bundle: Bundle, pyoci: Pyoci, source: Path, directory: Path) -> None:
    (directory / "link").symlink_to("source")
    bundle.mount("/mnt", "bind", str(directory / "link"), ["bind"])
    assert pyoci.run(bundle.args("cat", "/mnt/file")).out == "content"


def test_missing_source_is_named(bundle: Bundle, pyoci: Pyoci, directory: Path) -> None:
    bundle.mount("/mnt", "bind", str(directory / "missing"), ["bind"])
    done = pyoci.run(bundle, check=False)
    assert done.code != 0
    assert str(directory / "missing") in done.err
    assert "/mounts/6/source" in done.err
    assert "No such file or directory" in done.err


def test_bind_leaves_mounts_below_out_and_rbind_takes_them(bundle: Bundle, pyoci: Pyoci, host: HostMounts) -> None:
    top = host.tmpfs("top")
    (top / "below").mkdir()
    (host.tmpfs("top/below") / "file").write_text("below")
    bundle.mount("/mnt/one", "bind", str(top), ["bind"])
    bundle.mount("/mnt/all", "bind", str(top), ["rbind"])
    assert pyoci.run(bundle.shell("ls -A /mnt/one/below; cat /mnt/all/below/file")).out == "below"


def test_special_files(bundle: Bundle, pyoci: Pyoci, directory: Path) -> None:
    """A FIFO, and a socket: what engines hand in."""
    import os
    import socket

    os.mkfifo(directory / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(directory / "socket"))
        bundle.mount("/run/fifo", "bind", str(directory / "fifo"), ["bind"])
        bundle.mount("/run/socket", "bind", str(directory / "socket"), ["bind"])
        assert pyoci.run(bundle.args("stat", "-c", "%F", "/run/fifo", "/run/socket")).out == "fifo\nsocket\n"


def test_rootfs_itself_can_be_a_source(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.mount("/mnt", "bind", "rootfs", ["rbind"])
    assert pyoci.run(bundle.args("cat", "/mnt/etc/passwd")).out.startswith("root")


# --- destinations


@pytest.mark.parametrize("destination", ["/new/deep/er", "new/deep/er", "/new//deep/./er/", "/new/x/../deep/er"])
def test_missing_directories_are_made(bundle: Bundle, pyoci: Pyoci, source: Path, destination: str) -> None:
    bundle.mount(destination, "bind", str(source), ["bind"])
    out = pyoci.run(bundle.shell("cat /new/deep/er/file; stat -c ' %a %u %g' /new /new/deep")).out
    assert out == "content 755 0 0\n 755 0 0\n"


def test_missing_files_are_made(bundle: Bundle, pyoci: Pyoci, source: Path) -> None:
    bundle.mount("/new/deep/er", "bind", str(source / "file"), ["bind"])
    assert pyoci.run(bundle.args("cat", "/new/deep/er")).out == "content"
    assert (bundle.rootfs / "new/deep/er").read_text() == ""


@pytest.mark.parametrize(
    ("link", "target", "place"),
    [
        ("etc/resolv.conf", "/run/resolve/stub", "run/resolve/stub"),
        ("etc/resolv.conf", "../run/resolve/stub", "run/resolve/stub"),
        ("etc/resolv.conf", "stub", "etc/stub"),
        ("etc/resolv.conf", "../../../../../etc/stub", "etc/stub"),
    ],
)
def test_dangling_link_for_a_file(
    bundle: Bundle, pyoci: Pyoci, source: Path, link: str, target: str, place: str
) -> None:
    """The place that a link names is made, inside the root."""
    (bundle.rootfs / link).symlink_to(target)
    bundle.mount(f"/{link}", "bind", str(source / "file"), ["bind"])
    assert pyoci.run(bundle.args("cat", f"/{link}", f"/{place}")).out == "contentcontent"
    assert (bundle.rootfs / place).is_file()


def test_dangling_link_for_a_directory(bundle: Bundle, pyoci: Pyoci, source: Path) -> None:
    (bundle.rootfs / "data").symlink_to("/var/lib/data")
    bundle.mount("/data/deep", "bind", str(source), ["bind"])
    assert pyoci.run(bundle.args("cat", "/var/lib/data/deep/file")).out == "content"
    assert (bundle.rootfs / "data").is_symlink()


def test_dangling_links_one_after_the_other(bundle: Bundle, pyoci: Pyoci, source: Path) -> None:
    (bundle.rootfs / "a").symlink_to("/b/x")
    (bundle.rootfs / "b").symlink_to("c")
    bundle.mount("/a", "bind", str(source), ["bind"])
    assert pyoci.run(bundle.args("cat", "/c/x/file")).out == "content"


def test_loop_of_links(bundle: Bundle, pyoci: Pyoci, source: Path) -> None:
    (bundle.rootfs / "a").symlink_to("b")
    (bundle.rootfs / "b").symlink_to("a")
    bundle.mount("/a", "bind", str(source), ["bind"])
    done = pyoci.run(bundle, check=False)
    assert done.code != 0
    assert "/mounts/6" in done.err
    assert "symbolic links" in done.err


@pytest.mark.parametrize("target", ["{host}", "../../../../../../../../..{host}"])
def test_link_out_of_the_root_stays_inside(
    bundle: Bundle, pyoci: Pyoci, source: Path, directory: Path, target: str
) -> None:
    """A link to a directory of the host's leads to the same path below the root."""
    victim = directory / "victim"
    victim.mkdir()
    (bundle.rootfs / "link").symlink_to(target.format(host=victim))
    bundle.mount("/link/new", "bind", str(source), ["bind"])
    assert pyoci.run(bundle.args("cat", f"{victim}/new/file")).out == "content"
    assert list(victim.iterdir()) == []


def test_dotdot_in_the_destination_stays_inside(bundle: Bundle, pyoci: Pyoci, source: Path) -> None:
    bundle.mount("/../../../../new", "bind", str(source), ["bind"])
    assert pyoci.run(bundle.args("cat", "/new/file")).out == "content"


def test_destination_below_a_file(bundle: Bundle, pyoci: Pyoci, source: Path) -> None:
    bundle.mount("/etc/passwd/x", "bind", str(source), ["bind"])
    done = pyoci.run(bundle, check=False)
    assert done.code != 0
    assert "/mounts/6" in done.err
    assert "Not a directory" in done.err


def test_directory_on_a_file(bundle: Bundle, pyoci: Pyoci, source: Path) -> None:
    bundle.mount("/etc/passwd", "bind", str(source), ["bind"])
    done = pyoci.run(bundle, check=False)
    assert done.code != 0
    assert "/mounts/6" in done.err


def test_mount_on_a_mount_made_before(bundle: Bundle, pyoci: Pyoci, source: Path) -> None:
    """The order of the configuration holds: a later mount lies in, or over, an earlier one."""
    bundle.mount("/mnt", "tmpfs", "tmpfs")
    bundle.mount("/mnt/in", "bind", str(source), ["bind"])
    bundle.mount("/tmp", "bind", str(source), ["bind"])
    bundle.mount("/tmp", "tmpfs", "tmpfs")
    assert pyoci.run(bundle.shell("cat /mnt/in/file; ls -A /tmp")).out == "content"


def test_long_names(bundle: Bundle, pyoci: Pyoci, source: Path) -> None:
    destination = "/" + "/".join(f"{'n' * 250}" for _ in range(10))
    bundle.mount(destination, "bind", str(source), ["bind"])
    assert pyoci.run(bundle.args("cat", f"{destination}/file")).out == "content"


def test_names_that_are_not_plain(bundle: Bundle, pyoci: Pyoci, directory: Path) -> None:
    name = "ä b\tc\\d'e\"f,g=h\n"
    (directory / name).mkdir()
    (directory / name / "file").write_text("content")
    bundle.mount(f"/mnt/{name}", "bind", str(directory / name), ["bind"])
    assert pyoci.run(bundle.args("cat", f"/mnt/{name}/file")).out == "content"


def test_two_hundred_mounts(bundle: Bundle, pyoci: Pyoci, source: Path) -> None:
    for i in range(200):
        bundle.mount(f"/mnt/{i}", "bind", str(source), ["bind", "ro"])
    mounts = parse(pyoci.run(bundle.args("cat", "/proc/self/mountinfo")).out)
    assert sum(point.startswith("/mnt/") for point in mounts) == 200


# --- id-mapped


MAPPING = [{"containerID": 0, "hostID": 5000, "size": 10}]


def owners(pyoci: Pyoci, bundle: Bundle, *paths: str) -> list[str]:
    return pyoci.run(bundle.args("stat", "-c", "%u:%g", *paths)).out.split()


def test_idmap_with_mappings_of_its_own(bundle: Bundle, pyoci: Pyoci, source: Path) -> None:
    """In the mount's mappings containerID is the id on the file system, hostID what it becomes (config.md)."""
    bundle.mount("/mnt", "bind", str(source), ["bind"])
    bundle.mounts[-1] |= {"uidMappings": MAPPING, "gidMappings": MAPPING}
    assert owners(pyoci, bundle, "/mnt/file") == ["5000:5000"]


@pytest.mark.parametrize(("option", "below"), [("idmap", "0:0"), ("ridmap", "5000:5000")])
def test_idmap_reaches_below_only_when_recursive(
    bundle: Bundle, pyoci: Pyoci, host: HostMounts, option: str, below: str
) -> None:
    top = host.tmpfs("top")
    (top / "below").mkdir()
    host.tmpfs("top/below")
    bundle.mount("/mnt", "bind", str(top), ["rbind", option])
    bundle.mounts[-1] |= {"uidMappings": MAPPING, "gidMappings": MAPPING}
    assert owners(pyoci, bundle, "/mnt", "/mnt/below") == ["5000:5000", below]


def test_idmap_with_the_mappings_of_the_container(bundle: Bundle, pyoci: Pyoci, source: Path) -> None:
    """Files of the host's root belong to the container's root, and what it makes there to the host's."""
    bundle.user_namespace()
    source.chmod(0o755)
    bundle.mount("/mnt", "bind", str(source), ["bind", "idmap"])
    bundle.capabilities("CAP_CHOWN")
    assert pyoci.run(bundle.shell("touch /mnt/new; stat -c %u:%g /mnt/file /mnt/new")).out.split() == ["0:0", "0:0"]
    assert (source / "new").stat().st_uid == 0


def test_idmap_without_mappings_is_refused(bundle: Bundle, pyoci: Pyoci, source: Path) -> None:
    bundle.mount("/mnt", "bind", str(source), ["bind", "idmap"])
    done = pyoci.run(bundle, check=False)
    assert done.code != 0
    assert "/mounts/6" in done.err


def test_mountinfo_has_the_mounts_in_their_order(bundle: Bundle, pyoci: Pyoci, source: Path) -> None:
    """Bind mounts among others, which Linux lists by when they were made, since 6.8, not by when they were attached."""
    wanted = []
    for i in range(6):
        wanted.append(f"/mnt/{i}")
        if i % 2:
            bundle.mount(wanted[-1], "bind", str(source), ["rbind"])
        else:
            bundle.mount(wanted[-1], "tmpfs", "tmpfs")
    lines = pyoci.run(bundle.args("cat", "/proc/self/mountinfo")).out.splitlines()
    assert [path for path in (line.split()[4] for line in lines) if path.startswith("/mnt/")] == wanted
