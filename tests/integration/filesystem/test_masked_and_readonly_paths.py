"""linux.maskedPaths, linux.readonlyPaths (config-linux.md)."""

from __future__ import annotations

from pathlib import Path

import pytest
from containers import Bundle, Pyoci
from host_mounts import HostMounts
from mountinfo import parse


@pytest.fixture
def secret(bundle: Bundle) -> Path:
    """/secret/file in the image."""
    path = bundle.rootfs / "secret"
    path.mkdir()
    (path / "file").write_text("secret")
    bundle.linux["maskedPaths"] = []
    bundle.linux["readonlyPaths"] = []
    return path


@pytest.mark.usefixtures("secret")
def test_masked_file(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.linux["maskedPaths"] = ["/secret/file"]
    assert (
        pyoci.run(bundle.shell("cat /secret/file; stat -c '%F %t:%T' /secret/file")).out
        == "character special file 1:3\n"
    )


def test_masked_directory(bundle: Bundle, pyoci: Pyoci, secret: Path) -> None:
    bundle.linux["maskedPaths"] = ["/secret"]
    done = pyoci.run(bundle.shell("ls -A /secret; touch /secret/new || true"))
    assert done.out == ""
    assert "Read-only file system" in done.err
    assert (secret / "file").read_text() == "secret"


def test_masked_path_is_not_written_through(bundle: Bundle, pyoci: Pyoci, secret: Path) -> None:
    bundle.linux["maskedPaths"] = ["/secret/file"]
    pyoci.run(bundle.shell("echo x > /secret/file"))
    assert (secret / "file").read_text() == "secret"


@pytest.mark.parametrize("paths", ["maskedPaths", "readonlyPaths"])
@pytest.mark.usefixtures("secret")
def test_missing_paths_are_ignored(bundle: Bundle, pyoci: Pyoci, paths: str) -> None:
    bundle.linux[paths] = ["/missing", "/missing/below", "/secret/file/below", "/proc/no-such-file"]
    assert pyoci.run(bundle.args("ls", "-d", "/missing"), check=False).code != 0
    assert not (bundle.rootfs / "missing").exists()


@pytest.mark.usefixtures("secret")
def test_masked_through_a_link(bundle: Bundle, pyoci: Pyoci) -> None:
    (bundle.rootfs / "link").symlink_to("/secret")
    bundle.linux["maskedPaths"] = ["/link/file"]
    assert pyoci.run(bundle.args("cat", "/secret/file")).out == ""


@pytest.mark.usefixtures("secret")
def test_a_path_that_is_listed_twice_is_masked_once(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.linux["maskedPaths"] = ["/secret/file", "/secret//file", "/etc", "/etc/", "/secret/./file"]
    out = pyoci.run(bundle.shell("cat /secret/file; ls -A /etc; exec cat /proc/self/mountinfo")).out
    points = [line.split()[4] for line in out.splitlines()]
    assert [points.count(path) for path in ("/secret/file", "/etc")] == [1, 1]


def test_masked_path_in_a_mount(bundle: Bundle, pyoci: Pyoci, secret: Path) -> None:
    """Of what is mounted there, not of what the image has there."""
    bundle.mount("/mnt", "bind", str(secret), ["bind"])
    bundle.linux["maskedPaths"] = ["/mnt/file"]
    assert pyoci.run(bundle.shell("cat /mnt/file /secret/file")).out == "secret"


def test_masked_under_a_read_only_root(bundle: Bundle, pyoci: Pyoci, secret: Path) -> None:
    assert secret
    bundle.config["root"]["readonly"] = True
    bundle.linux["maskedPaths"] = ["/secret"]
    bundle.linux["readonlyPaths"] = ["/etc"]
    assert pyoci.run(bundle.args("ls", "-A", "/secret")).out == ""


@pytest.mark.usefixtures("secret")
def test_read_only_directory_and_file(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.linux["readonlyPaths"] = ["/secret", "/etc/passwd"]
    bundle.shell("for f in /secret/file /secret/new /etc/passwd /etc/group; do echo x >> $f || true; done")
    done = pyoci.run(bundle)
    assert done.err.count("Read-only file system") == 3
    assert (bundle.rootfs / "etc/group").read_text().endswith("x\n")


@pytest.mark.usefixtures("secret")
def test_read_only_path_keeps_its_other_options(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.mount("/mnt", "tmpfs", "tmpfs", ["nosuid", "nodev", "noexec"])
    bundle.linux["readonlyPaths"] = ["/mnt"]
    mounts = parse(pyoci.run(bundle.args("cat", "/proc/self/mountinfo")).out)
    assert mounts["/mnt"].options == {"ro", "nosuid", "nodev", "noexec", "relatime"}


@pytest.mark.usefixtures("secret")
def test_mounts_below_a_read_only_path_stay_as_they_are(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.mount("/secret/tmp", "tmpfs", "tmpfs")
    bundle.linux["readonlyPaths"] = ["/secret"]
    done = pyoci.run(bundle.shell("touch /secret/tmp/x; touch /secret/x || true"))
    assert "Read-only file system" in done.err


def test_masked_wins_over_read_only(bundle: Bundle, pyoci: Pyoci, secret: Path) -> None:
    assert secret
    bundle.linux["readonlyPaths"] = ["/secret"]
    bundle.linux["maskedPaths"] = ["/secret/file"]
    assert pyoci.run(bundle.args("cat", "/secret/file")).out == ""


def test_proc(bundle: Bundle, pyoci: Pyoci) -> None:
    """The lists that engines use."""
    bundle.capabilities("CAP_SYS_ADMIN")
    done = pyoci.run(bundle.shell("ls -A /sys/firmware; cat /proc/keys; echo x > /proc/sys/kernel/domainname || true"))
    assert done.out == ""
    assert "Read-only file system" in done.err


def test_root_itself_is_read_only(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.linux["readonlyPaths"] = ["/"]
    done = pyoci.run(bundle.args("touch", "/x"), check=False)
    assert done.code != 0


def test_masked_paths_do_not_reach_the_host(bundle: Bundle, pyoci: Pyoci, host: HostMounts) -> None:
    source = host.tmpfs("source", propagation="shared")
    (source / "file").write_text("content")
    bundle.mount("/mnt", "bind", str(source), ["rbind", "rshared"])
    bundle.linux["rootfsPropagation"] = "shared"
    bundle.linux["maskedPaths"] = ["/proc/acpi"]
    pyoci.run(bundle)
    assert (source / "file").read_text() == "content"


def test_in_a_user_namespace(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.user_namespace()
    done = pyoci.run(bundle.shell("ls -A /sys/firmware; cat /proc/keys; echo x > /proc/sys/kernel/domainname || true"))
    assert done.out == ""
    assert "Read-only file system" in done.err


@pytest.mark.parametrize("path", ["/mnt", "/mnt/sub", "/mnt/sub/deep", "/mnt/below/inner"])
@pytest.mark.parametrize("propagation", ["unbindable", "runbindable"])
def test_read_only_on_an_unbindable_mount(
    bundle: Bundle, pyoci: Pyoci, host: HostMounts, propagation: str, path: str
) -> None:
    """As which it stays: the mount is bindable only as long as it takes."""
    source = host.tmpfs("source")
    (source / "sub/deep").mkdir(parents=True)
    (source / "below").mkdir()
    (host.tmpfs(source / "below") / "inner").mkdir()
    bundle.mount("/mnt", "bind", str(source), ["rbind", propagation])
    bundle.linux["readonlyPaths"] = [path]
    script = f"cat /proc/self/mountinfo; touch {path}/file 2>&1 || true; touch /mnt/sub/../file 2>&1 || true"
    lines = pyoci.run(bundle.shell(script)).out.splitlines()
    assert f"touch: {path}/file: Read-only file system" in lines
    assert len([line for line in lines if line.startswith("touch: ")]) == (2 if path == "/mnt" else 1)
    (line,) = [line for line in lines if line.split()[4:5] == ["/mnt"]][:1]
    assert "unbindable" in line.split()


def test_read_only_file_on_an_unbindable_mount_is_refused(bundle: Bundle, pyoci: Pyoci, host: HostMounts) -> None:
    """As by runc."""
    (host.tmpfs("source") / "file").touch()
    bundle.mount("/mnt", "bind", str(host.directory / "source"), ["rbind", "unbindable"])
    bundle.linux["readonlyPaths"] = ["/mnt/file"]
    done = pyoci.run(bundle, check=False)
    assert done.code == 1
    assert "/linux/readonlyPaths/0" in done.err
