"""The listed order is that of the mounts (config.md: MUST), also where a source is what an earlier mount shows."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from containers import Bundle, Pyoci
from host_mounts import HostMounts, mount
from mountinfo import parse

MAPPING = [{"containerID": 0, "hostID": 100000, "size": 65536}]


@pytest.fixture
def sources(directory: Path) -> Path:
    """Directories a/x, b/y and c/z with a file that names them, and links to a, b and c, for root alone."""
    path = directory / "sources"
    for name in ("a/x", "b/y", "c/z"):
        (path / name).mkdir(parents=True)
        (path / name / "file").write_text(name)
        (path / f"link-{name[0]}").symlink_to(name[0])
    path.chmod(0o700)
    return path


def tree(bundle: Bundle, sources: Path) -> None:
    """Mounts in mounts."""
    for name, destination in (("a", "/mnt"), ("link-b", "/mnt/x"), ("c", "/mnt/x/y"), ("link-a", "/mnt/x/y/z")):
        bundle.mount(destination, "bind", str(sources / name), ["bind", "rprivate"])


@pytest.mark.parametrize("id_mapped", [False, True])
@pytest.mark.parametrize("user_namespace", [False, True])
def test_sources_that_earlier_mounts_show(
    bundle: Bundle, pyoci: Pyoci, sources: Path, user_namespace: bool, id_mapped: bool
) -> None:
    """runc: mounts.bats, mount order. The sources are where the container's root is mounted on the host."""
    if user_namespace:
        bundle.user_namespace()
    tree(bundle, sources)
    for source, destination in (("x", "/mnt/x/y/z/x"), ("x/y", "/mnt/x/y/z"), ("", "/final")):
        bundle.mount(destination, "bind", f"{bundle.rootfs}/mnt/{source}", ["rbind", "rprivate"])
        if id_mapped and source != "x/y":
            bundle.mounts[-1] |= {"uidMappings": MAPPING, "gidMappings": MAPPING}
    assert pyoci.run(bundle.args("cat", "/final/x/y/z/z/x/y/z/x/file")).out == "a/x"


@pytest.mark.parametrize("user_namespace", [False, True])
@pytest.mark.parametrize("options", [["bind"], ["rbind", "ro"], ["rbind", "idmap"]])
def test_a_filesystem_of_the_containers_own(
    bundle: Bundle, pyoci: Pyoci, options: list[str], user_namespace: bool
) -> None:
    """A tmpfs that the container alone has, shown twice."""
    if user_namespace:
        bundle.user_namespace()
    bundle.mount("/one", "tmpfs", "tmpfs", ["mode=777"])
    bundle.mount("/two", "bind", "rootfs/one", options)
    if "idmap" in options:
        bundle.mounts[-1] |= {"uidMappings": MAPPING, "gidMappings": MAPPING}
    assert pyoci.run(bundle.shell("touch /one/file; ls /two")).out == "file\n"


def test_a_rootfs_that_the_user_namespace_cannot_reach(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.user_namespace()
    bundle.path.chmod(0o700)
    bundle.mount("/one", "tmpfs", "tmpfs", ["mode=777"])
    bundle.mount("/two", "bind", f"{bundle.rootfs}/one", ["bind"])
    bundle.mount("/three", "bind", str(bundle.path / "config.json"), ["bind"])
    assert pyoci.run(bundle.shell("touch /one/file; ls /two; head -n 1 /three")).out == "file\n{\n"


@pytest.mark.parametrize("user_namespace", [False, True])
def test_a_link_of_the_image_leads_nowhere_else(
    bundle: Bundle, pyoci: Pyoci, directory: Path, user_namespace: bool
) -> None:
    """A source inside the root is resolved in it: the image cannot have a directory of the host bound."""
    (directory / "secret").mkdir()
    (directory / "secret/file").write_text("the host's")
    (bundle.rootfs / "data").symlink_to(directory / "secret")
    if user_namespace:
        bundle.user_namespace()
    bundle.mount("/mnt", "bind", "rootfs/data", ["bind"])
    done = pyoci.run(bundle.args("cat", "/mnt/file"), check=False)
    assert done.code == 1
    assert "the host's" not in done.out
    assert "/mounts/6/source" in done.err


def test_a_link_of_the_image_that_the_user_namespace_may_not_follow(
    bundle: Bundle, pyoci: Pyoci, directory: Path
) -> None:
    """What the runtime then opens with its privileges is in the root, too."""
    path = str(directory / "secret")
    for top, text in ((directory, "the host's"), (Path(f"{bundle.rootfs}{directory}"), "the image's")):
        (top / "secret/data").mkdir(parents=True)
        (top / "secret/data/file").write_text(text)
    (bundle.rootfs / "data").symlink_to(f"{path}/data")
    bundle.user_namespace()
    os.chown(f"{bundle.rootfs}{path}", 0, 0)
    os.chmod(f"{bundle.rootfs}{path}", 0o700)
    bundle.mount("/mnt", "bind", "rootfs/data", ["bind"])
    assert pyoci.run(bundle.args("cat", "/mnt/file")).out == "the image's"


def test_mounts_below_a_source_are_left_out(bundle: Bundle, pyoci: Pyoci, host: HostMounts) -> None:
    """Without rbind, in a user namespace too: root of the host may leave them out."""
    top = host.tmpfs("top", "mode=755")
    (top / "below").mkdir()
    host.tmpfs("top/below", "mode=755")
    (top / "below/file").write_text("")
    bundle.user_namespace()
    bundle.mount("/one", "bind", str(top), ["bind"])
    bundle.mount("/two", "bind", str(top), ["rbind"])
    assert pyoci.run(bundle.shell("ls /one/below; echo; ls /two/below")).out == "\nfile\n"


@pytest.mark.parametrize("flag", ["ro", "nodev"])
def test_mounts_below_a_source_with_flags(bundle: Bundle, pyoci: Pyoci, host: HostMounts, flag: str) -> None:
    """Nobody could lock its flags then, and root of the container would change them."""
    top = host.tmpfs("top", "mode=777")
    (top / "below").mkdir()
    host.tmpfs("top/below", "mode=755")
    mount("-o", f"remount,bind,{flag}", top)
    bundle.user_namespace()
    bundle.mount("/mnt", "bind", str(top), ["bind"])
    done = pyoci.run(bundle, check=False)
    assert done.code == 1
    assert "use rbind" in done.err
    bundle.mounts[-1]["options"] = ["rbind"]
    assert flag in parse(pyoci.run(bundle.args("cat", "/proc/self/mountinfo")).out)["/mnt"].options


def test_a_source_of_nobody(bundle: Bundle, pyoci: Pyoci, sources: Path) -> None:
    """Where neither init nor the runtime finds it, the message is the same as ever."""
    bundle.user_namespace()
    bundle.mount("/mnt", "bind", str(sources / "missing"), ["bind"])
    done = pyoci.run(bundle, check=False)
    assert done.code == 1
    assert f"{sources}/missing" in done.err
    assert "No such file or directory" in done.err
    assert "/mounts/6/source" in done.err


def test_the_order_of_mountinfo_in_a_user_namespace(bundle: Bundle, pyoci: Pyoci, directory: Path) -> None:
    bundle.user_namespace()
    (directory / "source").mkdir()
    wanted = []
    for i in range(6):
        wanted.append(f"/mnt/{i}")
        bundle.mount(wanted[-1], *(("bind", str(directory / "source"), ["rbind"]) if i % 2 else ("tmpfs", "tmpfs")))
    lines = pyoci.run(bundle.args("cat", "/proc/self/mountinfo")).out.splitlines()
    assert [path for path in (line.split()[4] for line in lines) if path.startswith("/mnt/")] == wanted


def test_many_sources_that_the_runtime_opens(bundle: Bundle, pyoci: Pyoci, sources: Path) -> None:
    bundle.user_namespace()
    for i in range(100):
        bundle.mount(f"/mnt/{i}", "bind", str(sources / "a"), ["rbind", "ro"])
    mounts = parse(pyoci.run(bundle.args("cat", "/proc/self/mountinfo")).out)
    assert sum(point.startswith("/mnt/") for point in mounts) == 100
