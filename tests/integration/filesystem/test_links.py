"""copy-symlink, src-nofollow and dest-nofollow: symbolic links at both ends of a bind mount (crun(1))."""

from __future__ import annotations

from pathlib import Path

import pytest
from containers import Bundle, Pyoci
from mountinfo import parse

both = pytest.mark.parametrize("user_namespace", [False, True])


@pytest.fixture
def source(directory: Path) -> Path:
    """A symbolic link of the host to a file beside it."""
    (directory / "private").mkdir()
    (directory / "private/file").write_text("content")
    link = directory / "private/link"
    link.symlink_to("file")
    return link


def prepare(bundle: Bundle, source: Path, user_namespace: bool) -> None:
    """In a user namespace nobody but the runtime may go there."""
    if user_namespace:
        bundle.user_namespace()
        source.parent.chmod(0o700)


@both
def test_copied(bundle: Bundle, pyoci: Pyoci, source: Path, user_namespace: bool) -> None:
    prepare(bundle, source, user_namespace)
    bundle.mount("/a/sym/link", "bind", str(source), ["rbind", "copy-symlink"])
    assert pyoci.run(bundle.args("readlink", "/a/sym/link")).out == "file\n"
    assert (bundle.rootfs / "a/sym/link").readlink() == Path("file")
    assert pyoci.run(bundle.args("readlink", "/a/sym/link")).out == "file\n", "it is there already"


@both
def test_copied_what_is_no_link(bundle: Bundle, pyoci: Pyoci, source: Path, user_namespace: bool) -> None:
    prepare(bundle, source, user_namespace)
    bundle.mount("/mnt", "bind", str(source.parent), ["bind", "copy-symlink", "ro"])
    assert pyoci.run(bundle.shell("cat /mnt/file; touch /mnt/x || true" if not user_namespace else "ls /")).code == 0
    if not user_namespace:
        assert pyoci.run(bundle.shell("cat /mnt/file")).out == "content"


def test_copied_over_something_else(bundle: Bundle, pyoci: Pyoci, source: Path) -> None:
    (bundle.rootfs / "link").symlink_to("elsewhere")
    bundle.mount("/link", "bind", str(source), ["bind", "copy-symlink"])
    done = pyoci.run(bundle, check=False)
    assert done.code == 1
    assert "/mounts/6" in done.err
    assert "another file" in done.err


@both
@pytest.mark.parametrize(
    ("options", "command", "expected"),
    [
        (["dest-nofollow", "src-nofollow"], "readlink", "file"),
        (["dest-nofollow"], "cat", "content"),
    ],
)
def test_over_a_link(
    bundle: Bundle, pyoci: Pyoci, source: Path, user_namespace: bool, options: list[str], command: str, expected: str
) -> None:
    """The link in the image is covered, and stays as it is."""
    (bundle.rootfs / "target").symlink_to("point-to-nowhere")
    prepare(bundle, source, user_namespace)
    bundle.mount("/target", "bind", str(source), ["bind", *options])
    done = pyoci.run(bundle.shell(f"{command} /target; grep -c ' /target ' /proc/mounts"))
    assert done.out.replace("\n", "") == f"{expected}1"
    assert (bundle.rootfs / "target").readlink() == Path("point-to-nowhere")
    assert not (bundle.rootfs / "point-to-nowhere").exists()


@both
def test_a_file_over_a_link(bundle: Bundle, pyoci: Pyoci, source: Path, user_namespace: bool) -> None:
    (bundle.rootfs / "target").symlink_to("/etc/passwd")
    prepare(bundle, source, user_namespace)
    bundle.mount("/target", "bind", str(source.parent / "file"), ["bind", "dest-nofollow", "ro"])
    assert pyoci.run(bundle.shell("cat /target; wc -l < /etc/passwd")).out == "content2\n"


@both
def test_a_link_itself(bundle: Bundle, pyoci: Pyoci, source: Path, user_namespace: bool) -> None:
    prepare(bundle, source, user_namespace)
    bundle.mount("/link", "bind", str(source), ["bind", "src-nofollow"])
    assert pyoci.run(bundle.args("readlink", "/link")).out == "file\n"


def test_over_a_link_that_is_missing(bundle: Bundle, pyoci: Pyoci, source: Path) -> None:
    """Then there is nothing to follow: the destination is made."""
    bundle.mount("/new/target", "bind", str(source), ["bind", "dest-nofollow"])
    assert pyoci.run(bundle.args("cat", "/new/target")).out == "content"


@pytest.mark.parametrize("destination", ["/proc/self", "/p/self"])
def test_not_over_a_link_of_procfs(bundle: Bundle, pyoci: Pyoci, source: Path, destination: str) -> None:
    (bundle.rootfs / "p").symlink_to("proc")
    bundle.mount(destination, "bind", str(source), ["bind", "dest-nofollow", "src-nofollow"])
    done = pyoci.run(bundle.args("readlink", "/proc/self"), check=False)
    assert done.code == 1
    assert "/mounts/6" in done.err


@pytest.mark.parametrize("option", ["src-nofollow", "dest-nofollow"])
def test_copied_excludes_the_others(bundle: Bundle, pyoci: Pyoci, source: Path, option: str) -> None:
    bundle.mount("/link", "bind", str(source), ["bind", "copy-symlink", option])
    done = pyoci.run(bundle, check=False)
    assert done.code == 1
    assert "/mounts/6/options/1" in done.err


@pytest.mark.parametrize("option", ["copy-symlink", "src-nofollow", "dest-nofollow"])
def test_of_a_mount_that_is_none(bundle: Bundle, pyoci: Pyoci, option: str) -> None:
    bundle.mount("/mnt", "tmpfs", "tmpfs", [option])
    done = pyoci.run(bundle, check=False)
    assert done.code == 1
    assert "/mounts/6/options/0" in done.err
    assert "bind" in done.err


def test_a_link_is_listed(bundle: Bundle, pyoci: Pyoci, source: Path) -> None:
    bundle.mount("/link", "bind", str(source), ["bind", "src-nofollow", "ro", "nosuid"])
    mounts = parse(pyoci.run(bundle.args("cat", "/proc/self/mountinfo")).out)
    assert {"ro", "nosuid"} <= mounts["/link"].options
