"""Mount options (config.md, Linux mount options): each and its inverse, for one mount and for those below it."""

from __future__ import annotations

from pathlib import Path

import pytest
from containers import Bundle, Pyoci
from host_mounts import HostMounts, mount
from mountinfo import Mount, parse

# option: what it puts into the mount's options, of those that are not there by default (rw, relatime)
SETS = {
    "ro": {"ro", "relatime"},
    "nosuid": {"rw", "nosuid", "relatime"},
    "nodev": {"rw", "nodev", "relatime"},
    "noexec": {"rw", "noexec", "relatime"},
    "noatime": {"rw", "noatime"},
    "nodiratime": {"rw", "nodiratime", "relatime"},
    "strictatime": {"rw"},
    "nosymfollow": {"rw", "relatime", "nosymfollow"},
}
CLEARS = {
    "rw": "ro",
    "suid": "nosuid",
    "dev": "nodev",
    "exec": "noexec",
    "atime": "noatime",
    "diratime": "nodiratime",
    "relatime": "noatime",
    "symfollow": "nosymfollow",
    "nostrictatime": "noatime",
}
EVERYTHING = {"ro", "nosuid", "nodev", "noexec", "noatime", "nodiratime", "nosymfollow"}


def mounts_in(pyoci: Pyoci, bundle: Bundle) -> dict[str, Mount]:
    return parse(pyoci.run(bundle.args("cat", "/proc/self/mountinfo")).out)


def restricted_tree(host: HostMounts, options: str) -> str:
    """A mount with a mount below it, both with `options`."""
    top = host.tmpfs("source")
    (top / "below").mkdir()
    host.tmpfs("source/below")
    for point in (top / "below", top):
        mount("-o", f"remount,bind,{options}", point)
    return str(top)


def test_set_on_a_new_filesystem(bundle: Bundle, pyoci: Pyoci) -> None:
    for option in SETS:
        bundle.mount(f"/mnt/{option}", "tmpfs", "tmpfs", [option])
    mounts = mounts_in(pyoci, bundle)
    assert {option: mounts[f"/mnt/{option}"].options for option in SETS} == SETS


def test_set_on_a_bind_mount(bundle: Bundle, pyoci: Pyoci, host: HostMounts) -> None:
    source = str(host.tmpfs("source"))
    for option in SETS:
        bundle.mount(f"/mnt/{option}", "bind", source, ["bind", option])
    mounts = mounts_in(pyoci, bundle)
    assert {option: mounts[f"/mnt/{option}"].options for option in SETS} == SETS


def test_cleared_on_a_bind_mount(bundle: Bundle, pyoci: Pyoci, host: HostMounts) -> None:
    """The inverse takes an option of the source's away, and with it all that are not named, but for the access times:
    those stay as long as none of them is named."""
    source = restricted_tree(host, ",".join(sorted(EVERYTHING)))
    times = {"atime": {"nodiratime"}, "nostrictatime": {"nodiratime"}, "diratime": {"noatime"}, "relatime": set()}
    for option in CLEARS:
        bundle.mount(f"/mnt/{option}", "bind", source, ["bind", option])
    mounts = mounts_in(pyoci, bundle)
    found = {option: EVERYTHING & mounts[f"/mnt/{option}"].options for option in CLEARS}
    assert found == {option: times.get(option, {"noatime", "nodiratime"}) for option in CLEARS}


def test_bind_mount_keeps_the_options_of_its_source(bundle: Bundle, pyoci: Pyoci, host: HostMounts) -> None:
    bundle.mount("/mnt", "bind", restricted_tree(host, "ro,nosuid,noexec"), ["rbind"])
    mounts = mounts_in(pyoci, bundle)
    for point in ("/mnt", "/mnt/below"):
        assert mounts[point].options == {"ro", "nosuid", "noexec", "relatime"}


def test_the_last_of_contradicting_options_counts(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.mount("/mnt/a", "tmpfs", "tmpfs", ["ro", "nosuid", "noexec", "rw", "suid", "exec", "noexec"])
    bundle.mount("/mnt/b", "tmpfs", "tmpfs", ["noatime", "relatime"])
    bundle.mount("/mnt/c", "tmpfs", "tmpfs", ["relatime", "strictatime"])
    mounts = mounts_in(pyoci, bundle)
    assert mounts["/mnt/a"].options == {"rw", "noexec", "relatime"}
    assert mounts["/mnt/b"].options == {"rw", "relatime"}
    assert mounts["/mnt/c"].options == {"rw"}


@pytest.mark.parametrize("option", ["ro", "nosuid", "nodev", "noexec", "noatime", "nodiratime", "nosymfollow"])
def test_recursive_option(bundle: Bundle, pyoci: Pyoci, host: HostMounts, option: str) -> None:
    """rro and its like hold for the mounts below too, ro only for the topmost."""
    source = restricted_tree(host, "rw")
    bundle.mount("/mnt/top", "bind", source, ["rbind", option])
    bundle.mount("/mnt/all", "bind", source, ["rbind", f"r{option}"])
    mounts = mounts_in(pyoci, bundle)
    assert option in mounts["/mnt/top"].options
    assert option not in mounts["/mnt/top/below"].options
    assert option in mounts["/mnt/all"].options
    assert option in mounts["/mnt/all/below"].options


@pytest.mark.parametrize(("option", "cleared"), [(k, v) for k, v in CLEARS.items() if k != "nostrictatime"])
def test_recursive_inverse(bundle: Bundle, pyoci: Pyoci, host: HostMounts, option: str, cleared: str) -> None:
    source = restricted_tree(host, ",".join(sorted(EVERYTHING)))
    bundle.mount("/mnt/top", "bind", source, ["rbind", option])
    bundle.mount("/mnt/all", "bind", source, ["rbind", f"r{option}"])
    mounts = mounts_in(pyoci, bundle)
    assert cleared not in mounts["/mnt/top"].options
    assert cleared in mounts["/mnt/top/below"].options
    assert EVERYTHING - mounts["/mnt/all"].options == {cleared}
    assert EVERYTHING - mounts["/mnt/all/below"].options == {cleared}


def test_recursively_read_only_refuses_writes_below(bundle: Bundle, pyoci: Pyoci, host: HostMounts) -> None:
    bundle.mount("/mnt", "bind", restricted_tree(host, "rw"), ["rbind", "rro"])
    done = pyoci.run(bundle.args("touch", "/mnt/below/file"), check=False)
    assert "Read-only file system" in done.err


@pytest.mark.parametrize("options", [["rro", "rw"], ["rw", "rro"], ["ro", "rro"]])
def test_recursive_option_beside_one_for_the_top(
    bundle: Bundle, pyoci: Pyoci, host: HostMounts, options: list[str]
) -> None:
    """What stands with an r counts for the top too, as with runc and crun."""
    bundle.mount("/mnt", "bind", restricted_tree(host, "rw"), ["rbind", *options])
    mounts = mounts_in(pyoci, bundle)
    assert "ro" in mounts["/mnt"].options
    assert "ro" in mounts["/mnt/below"].options


def test_recursive_strict_access_times(bundle: Bundle, pyoci: Pyoci, host: HostMounts) -> None:
    bundle.mount("/mnt", "bind", restricted_tree(host, "noatime"), ["rbind", "rstrictatime"])
    mounts = mounts_in(pyoci, bundle)
    assert mounts["/mnt"].options == mounts["/mnt/below"].options == {"rw"}


@pytest.mark.parametrize("option", ["sync", "dirsync", "lazytime"])
def test_superblock_flags(bundle: Bundle, pyoci: Pyoci, option: str) -> None:
    bundle.mount("/mnt", "tmpfs", "tmpfs", [option])
    assert option in mounts_in(pyoci, bundle)["/mnt"].superblock


@pytest.mark.parametrize(
    "option", ["async", "nolazytime", "defaults", "loud", "silent", "nomand", "iversion", "noiversion", "mand"]
)
def test_options_that_change_nothing(bundle: Bundle, pyoci: Pyoci, option: str) -> None:
    bundle.mount("/mnt", "tmpfs", "tmpfs", [option])
    assert mounts_in(pyoci, bundle)["/mnt"].options == {"rw", "relatime"}


@pytest.mark.parametrize(
    "option", ["sync", "async", "dirsync", "lazytime", "nolazytime", "mand", "nomand", "defaults", "silent"]
)
def test_superblock_flags_are_ignored_on_a_bind_mount(
    bundle: Bundle, pyoci: Pyoci, host: HostMounts, option: str
) -> None:
    """As with mount(2), which looks at none of them."""
    source = host.tmpfs("source")
    bundle.mount("/mnt", "bind", str(source), ["bind", option])
    assert mounts_in(pyoci, bundle)["/mnt"].superblock.isdisjoint({"sync", "dirsync", "lazytime"})


def test_unknown_option_is_named(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.mount("/mnt", "tmpfs", "tmpfs", ["nosuid", "bogus=1"])
    done = pyoci.run(bundle, check=False)
    assert done.code != 0
    assert "/mounts/6" in done.err
    assert "bogus" in done.err


@pytest.mark.parametrize(
    ("option", "meant"),
    [
        ("readonly", '"ro" meant'),
        ("RO", '"ro" meant'),
        ("Read-Only", '"ro" meant'),
        ("nosui", '"nosuid" meant'),
        ("noexce", '"noexec" meant'),
        ("rprivat", '"rprivate" meant'),
        ("size=1k", "options of filesystems have no effect"),
        ("mode=755", "options of filesystems have no effect"),
        ("consistency=cached", "options of filesystems have no effect"),
        ("ro,nosuid", "each option is a string of its own"),
        ("z", "valid are"),
        ("tmpcopyup", "for mounts of type tmpfs"),
    ],
)
def test_an_option_that_bind_mounts_do_not_have(bundle: Bundle, pyoci: Pyoci, option: str, meant: str) -> None:
    """The kernel would ignore it: the mount would be writable where "readonly" was asked for."""
    bundle.mount("/mnt", "bind", str(bundle.path), ["rbind", option, "nosuid"])
    done = pyoci.run(bundle, check=False)
    assert done.code == 1
    message = done.err.replace("\\", "")
    assert f'/mounts/6/options/1 is "{option}"' in message
    assert meant in message
    assert done.err.count("\n") == 1


@pytest.mark.parametrize("option", ["readonly", "RO", "nosui", "ro,size=1k"])
def test_a_word_that_bind_mounts_do_not_have_without_a_type(bundle: Bundle, pyoci: Pyoci, option: str) -> None:
    bundle.mount("/mnt", "", str(bundle.path), ["rbind", option])
    done = pyoci.run(bundle, check=False)
    assert done.code == 1
    assert "/mounts/6/options/1" in done.err


def test_a_value_that_bind_mounts_do_not_have_without_a_type(bundle: Bundle, pyoci: Pyoci) -> None:
    """config.md: unknown options are the filesystem's, and here is none that could be named."""
    bundle.mount("/mnt", "", str(bundle.path), ["rbind", "size=1k", "ro", "mode=755"])
    done = pyoci.run(bundle.shell("grep ' /mnt ' /proc/self/mountinfo"))
    assert " ro," in done.out
    assert "no options of a filesystem: size=1k, mode=755 left out (/mounts/6/options)" in done.err


@pytest.mark.parametrize("option", ["auto", "noauto", "nofail", "nouser", "_netdev", "x-gvfs-hide", "comment=mine"])
def test_words_of_fstab(bundle: Bundle, pyoci: Pyoci, option: str) -> None:
    """mount(8) does not give them to the kernel; config.md: behave as it does."""
    bundle.mount("/mnt/a", "tmpfs", "tmpfs", [option])
    bundle.mount("/mnt/b", "bind", "/etc", ["bind", option])
    assert {"/mnt/a", "/mnt/b"} <= mounts_in(pyoci, bundle).keys()


def test_tmpcopyup_of_another_filesystem(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.mount("/mnt", "mqueue", "mqueue", ["tmpcopyup"])
    done = pyoci.run(bundle, check=False)
    assert done.code == 1
    assert "/mounts/6/options/0" in done.err


@pytest.mark.parametrize("options", [["bind", "rbind"], ["rbind", "bind"], ["rbind", "rprivate", "rw", "bind"]])
def test_rbind_counts_beside_bind(bundle: Bundle, pyoci: Pyoci, host: HostMounts, options: list[str]) -> None:
    bundle.mount("/mnt", "bind", restricted_tree(host, "rw"), options)
    assert "/mnt/below" in mounts_in(pyoci, bundle)


# options with an r, and what each does to a new filesystem that would have the flag after it
RECURSIVE = {
    "rro": {"ro", "relatime"},
    "rnosuid": {"rw", "nosuid", "relatime"},
    "rnodev": {"rw", "nodev", "relatime"},
    "rnoexec": {"rw", "noexec", "relatime"},
    "rnoatime": {"rw", "noatime"},
    "rnodiratime": {"rw", "nodiratime", "relatime"},
    "rstrictatime": {"rw"},
    "rnosymfollow": {"rw", "relatime", "nosymfollow"},
}
RECURSIVE_INVERSE = {
    "rrw": "ro",
    "rsuid": "nosuid",
    "rdev": "nodev",
    "rexec": "noexec",
    "ratime": "noatime",
    "rdiratime": "nodiratime",
    "rrelatime": "noatime",
    "rsymfollow": "nosymfollow",
    "rnorelatime": "noatime",
    "rnostrictatime": "strictatime",
}


@pytest.mark.parametrize(
    ("kind", "user_namespace"),
    [("tmpfs", False), ("mqueue", False), ("proc", False), ("sysfs", False), ("tmpfs", True), ("mqueue", True)],
)
def test_recursive_option_of_a_new_filesystem(bundle: Bundle, pyoci: Pyoci, kind: str, user_namespace: bool) -> None:
    """It holds for the one mount that there is."""
    if user_namespace:
        bundle.user_namespace()
    for option in RECURSIVE:
        bundle.mount(f"/mnt/{option}", kind, kind, [option])
    for option, other in RECURSIVE_INVERSE.items():
        bundle.mount(f"/mnt/{option}", kind, kind, [other, option])
    mounts = mounts_in(pyoci, bundle)
    assert {option: mounts[f"/mnt/{option}"].options for option in RECURSIVE} == RECURSIVE
    assert {tuple(sorted(mounts[f"/mnt/{option}"].options)) for option in RECURSIVE_INVERSE} == {("relatime", "rw")}


def test_recursively_read_only_filesystems_refuse_writes(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.mount("/mnt/tmp", "tmpfs", "tmpfs", ["rro"]).mount("/mnt/tmp/deep", "tmpfs", "tmpfs")
    done = pyoci.run(bundle.shell("touch /mnt/tmp/deep/x; touch /mnt/tmp/x || echo refused"))
    assert done.out == "refused\n"


def test_read_only_tmpfs_that_a_later_mount_covers(bundle: Bundle, pyoci: Pyoci) -> None:
    """The later one is not made read-only in its stead."""
    bundle.mount("/mnt", "tmpfs", "tmpfs", ["ro"]).mount("/mnt", "tmpfs", "tmpfs")
    bundle.mount("/media/deep", "tmpfs", "tmpfs", ["ro"]).mount("/media", "tmpfs", "tmpfs")
    assert pyoci.run(bundle.shell("touch /mnt/x /media/x; ls /mnt /media")).code == 0


def test_remount(bundle: Bundle, pyoci: Pyoci) -> None:
    """Options of a mount made before; the others stay."""
    bundle.mount("/mnt", "tmpfs", "tmpfs", ["nosuid", "noexec"])
    bundle.mount("/mnt", "tmpfs", "tmpfs", ["remount", "ro", "exec"])
    assert mounts_in(pyoci, bundle)["/mnt"].options == {"ro", "nosuid", "relatime"}


@pytest.mark.parametrize("user_namespace", [False, True])
def test_remount_with_options_of_the_filesystem(bundle: Bundle, pyoci: Pyoci, user_namespace: bool) -> None:
    if user_namespace:
        bundle.user_namespace()
    bundle.mount("/mnt", "tmpfs", "tmpfs", ["size=64k", "nosuid"])
    bundle.mount("/mnt", "tmpfs", "tmpfs", ["remount", "size=128k", "nr_inodes=100", "noexec", "sync"])
    mount = mounts_in(pyoci, bundle)["/mnt"]
    assert mount.options == {"rw", "nosuid", "noexec", "relatime"}
    assert {"size=128k", "nr_inodes=100", "sync"} <= mount.superblock


def test_remount_with_an_option_that_the_filesystem_does_not_have(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.mount("/mnt", "tmpfs", "tmpfs").mount("/mnt", "tmpfs", "tmpfs", ["remount", "readonly"])
    done = pyoci.run(bundle, check=False)
    assert done.code == 1
    assert "readonly" in done.err
    assert "/mounts/7" in done.err


def test_remount_of_a_bind_mount(bundle: Bundle, pyoci: Pyoci, host: HostMounts) -> None:
    source = host.tmpfs("source")
    bundle.mount("/mnt", "bind", str(source), ["bind"])
    bundle.mount("/mnt", "bind", str(source), ["bind", "remount", "ro"])
    assert "ro" in mounts_in(pyoci, bundle)["/mnt"].options
    (source / "file").write_text("the host's mount is still writable")


def test_remount_of_what_is_missing(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.mount("/missing", "tmpfs", "tmpfs", ["remount", "ro"])
    done = pyoci.run(bundle, check=False)
    assert done.code != 0
    assert "/mounts/6" in done.err


def test_nothing_is_executed_under_noexec(bundle: Bundle, pyoci: Pyoci) -> None:
    """An option is not only listed but holds."""
    bundle.mount("/mnt/yes", "tmpfs", "tmpfs", ["exec"])
    bundle.mount("/mnt/no", "tmpfs", "tmpfs", ["noexec"])
    bundle.shell("for d in yes no; do cp /bin/busybox /mnt/$d/echo; /mnt/$d/echo $d || true; done")
    done = pyoci.run(bundle)
    assert done.out == "yes\n"
    assert "Permission denied" in done.err


def test_devices_do_not_work_under_nodev(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.capabilities("CAP_MKNOD")
    bundle.mount("/mnt/yes", "tmpfs", "tmpfs", ["dev"])
    bundle.mount("/mnt/no", "tmpfs", "tmpfs", ["nodev"])
    bundle.shell("for d in yes no; do mknod /mnt/$d/zero c 1 5; head -c 3 /mnt/$d/zero | wc -c; done")
    done = pyoci.run(bundle)
    assert done.out.split() == ["3", "0"]
    assert "Permission denied" in done.err


def test_a_mount_label(bundle: Bundle, pyoci: Pyoci) -> None:
    """A label of the host that the bundle comes from is no obstacle where there is no SELinux, but it is told."""
    bundle.linux["mountLabel"] = "system_u:object_r:svirt_sandbox_file_t:s0:c715,c811"
    bundle.mount("/mnt", "tmpfs", "tmpfs", ["size=1m"])
    done = pyoci.run(bundle.args("grep", " /mnt ", "/proc/self/mountinfo"))
    if "\tselinuxfs\n" in Path("/proc/filesystems").read_text():
        assert "svirt_sandbox_file_t" in done.out
    else:
        assert "tmpfs" in done.out
        assert "SELinux is not enabled on this machine (/linux/mountLabel)" in done.err
