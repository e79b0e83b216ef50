"""Who is who in a user's container: his own id alone, or ranges of subuid(5) by newuidmap(1)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from containers import CHECKOUT, Bundle, wait_for
from ordinary_user import User
from race import rounds
from rootless_support import RootlessPyoci, give, map_ranges
from spy import mate_of, spying


def rows(text: str) -> list[list[int]]:
    return [[int(word) for word in line.split()] for line in text.splitlines()]


def wanted(mappings: list[dict[str, int]]) -> list[list[int]]:
    return [[mapping["containerID"], mapping["hostID"], mapping["size"]] for mapping in mappings]


def fields(pid: int) -> dict[str, list[str]]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.split() for name, _, value in (line.partition(":") for line in lines)}


def test_his_own_id_alone(rootless: RootlessPyoci, box: Bundle) -> None:
    """Nobody in there may leave a group that the user is kept out of something by (CVE-2014-8989)."""
    done = rootless.run(box.shell("cat /proc/self/uid_map /proc/self/gid_map; id -u; cat /proc/self/setgroups"))
    *maps, own, groups = done.out.splitlines()
    assert rows("\n".join(maps)) == [[0, rootless.user.uid, 1], [0, rootless.user.gid, 1]]
    assert (own, groups) == ("0", "deny")


def test_what_he_makes_is_his(rootless: RootlessPyoci, box: Bundle) -> None:
    rootless.run(box.shell("touch /made"))
    assert os.stat(box.rootfs / "made").st_uid == rootless.user.uid


def test_several_ranges(rootless: RootlessPyoci, box: Bundle) -> None:
    map_ranges(box, rootless.user)
    done = rootless.run(
        box.shell("cat /proc/self/uid_map; echo; cat /proc/self/gid_map; echo; cat /proc/self/setgroups")
    )
    uids, gids, groups = done.out.split("\n\n")
    assert rows(uids) == wanted(rootless.user.uid_mappings())
    assert rows(gids) == wanted(rootless.user.gid_mappings())
    assert groups == "allow\n"


def test_as_many_ranges_as_one_likes(rootless: RootlessPyoci, box: Bundle) -> None:
    """More than runc's helper call has room for, which is six."""
    first, _ = rootless.user.subuids[1]
    box.linux["uidMappings"] = [{"containerID": 0, "hostID": rootless.user.uid, "size": 1}]
    box.linux["uidMappings"] += [{"containerID": 1 + i, "hostID": first + 2 * i, "size": 1} for i in range(100)]
    assert len(rootless.run(box.args("cat", "/proc/self/uid_map")).out.splitlines()) == 101


def test_root_need_not_be_the_user(rootless: RootlessPyoci, box: Bundle) -> None:
    """Only subordinate ids: then the container is kept out of what is the user's."""
    (first_uid, _), (first_gid, _) = rootless.user.subuids[1], rootless.user.subgids[1]
    box.linux["uidMappings"] = [{"containerID": 0, "hostID": first_uid, "size": 65536}]
    box.linux["gidMappings"] = [{"containerID": 0, "hostID": first_gid, "size": 65536}]
    private = box.path / "private"
    private.write_text("secret")
    private.chmod(0o600)
    os.chown(private, rootless.user.uid, rootless.user.gid)
    (box.rootfs / "file").touch()
    box.mount("/file", "bind", str(private), ["bind"])
    done = rootless.run(box.shell("stat -c %u /file; cat /file || true"))
    assert done.out == "65534\n"
    assert "Permission denied" in done.err


def test_a_user_and_groups_of_the_ranges(rootless: RootlessPyoci, box: Bundle) -> None:
    """runc refuses supplementary groups here."""
    map_ranges(box, rootless.user).args("/bin/sleep", "60")
    box.process["user"] = {"uid": 1000, "gid": 50, "additionalGids": [5, 4000]}
    container = rootless.run_detached(box)
    seen = fields(container.pid)
    (uids, _), (small, _), (large, _) = rootless.user.subuids[0], rootless.user.subgids[0], rootless.user.subgids[1]
    assert seen["Uid"] == [str(uids + 999)] * 4
    assert seen["Gid"] == [str(small + 49)] * 4
    assert seen["Groups"] == [str(small + 4), str(large + 4000 - 3001)]
    done = container.exec("/bin/sh", "-c", "id; touch /tmp/made", options=["--user", "7:8", "-g", "9"])
    assert done.out == "uid=7 gid=8 groups=5(tty),9,4000\n"
    assert os.stat(box.rootfs / "tmp/made").st_uid == uids + 6


def test_his_own_groups_do_not_come_along(rootless: RootlessPyoci, box: Bundle) -> None:
    """Where setgroups(2) is to be had."""
    rootless.groups = "12345"
    assert "65534" in rootless.run(box.args("id", "-G")).out
    map_ranges(box, rootless.user)
    assert rootless.run(box.args("id", "-G")).out == "0\n"


@pytest.mark.parametrize("kind", ["uid", "gid"])
def test_ids_that_are_not_his(rootless: RootlessPyoci, box: Bundle, kind: str) -> None:
    """The helper's own words say which."""
    box.linux[f"{kind}Mappings"] = [{"containerID": 0, "hostID": 4242, "size": 5}]
    done = rootless.run(box, check=False)
    assert done.code == 1
    assert f"new{kind}map: {kind} range [0-5) -> [4242-4247) not allowed (/linux/{kind}Mappings)" in done.err
    assert len(done.err.splitlines()) == 1


def test_a_supplementary_group_where_there_are_none(rootless: RootlessPyoci, box: Bundle) -> None:
    box.process["user"] = {"uid": 0, "gid": 0, "additionalGids": [27]}
    done = rootless.run(box, check=False)
    assert done.code == 1
    assert "/process/user/additionalGids/0 is 27: must be an id that /linux/gidMappings maps" in done.err


def test_the_helper_is_not_taken_from_the_current_directory(rootless: RootlessPyoci, box: Bundle) -> None:
    for name in ("newuidmap", "newgidmap"):
        trap = box.path / name
        trap.write_text(f"#!/bin/sh\ntouch {box.path}/trapped\n")
        trap.chmod(0o755)
    map_ranges(box, rootless.user)
    for path in ("", ".", f":{os.environ['PATH']}", "../box:bin"):
        rootless.environment["PATH"] = path
        rootless.run(box, cwd=box.path)
    assert not (box.path / "trapped").exists()


def test_without_a_path(rootless: RootlessPyoci, box: Bundle) -> None:
    """As an engine may call."""
    del rootless.environment["PATH"]
    assert rootless.run(map_ranges(box, rootless.user).args("id", "-u")).out == "0\n"


def test_mount_options_with_ids_that_are_not_mapped(rootless: RootlessPyoci, box: Bundle) -> None:
    box.mount("/mnt", "tmpfs", "tmpfs", ["uid=0", "gid=5"])
    done = rootless.run(box, check=False)
    assert done.code == 1
    at = f"/mounts/{len(box.mounts) - 1}/options/1"
    assert f'{at} is \\"gid=5\\": must be an id that /linux/gidMappings maps' in done.err
    done = rootless.run(map_ranges(box, rootless.user).args("stat", "-c", "%u:%g", "/mnt"))
    assert done.out == "0:5\n"


def test_the_user_namespace_of_another_container(rootless: RootlessPyoci, box: Bundle) -> None:
    """A pod: its mappings are there already."""
    first = rootless.run_detached(map_ranges(box, rootless.user).args("/bin/sleep", "60"))
    box.namespace("user", f"/proc/{first.pid}/ns/user").namespace("ipc", f"/proc/{first.pid}/ns/ipc")
    del box.linux["uidMappings"], box.linux["gidMappings"]
    box.process["user"] = {"uid": 1000, "gid": 50, "additionalGids": [5]}
    second = rootless.run_detached(box)
    done = second.exec("id")
    assert done.out == "uid=1000(alice) gid=50(staff) groups=5(tty)\n"
    for kind in ("user", "ipc"):
        assert os.readlink(f"/proc/{first.pid}/ns/{kind}") == os.readlink(f"/proc/{second.pid}/ns/{kind}")


@pytest.mark.parametrize("mapping", ["one-id", "ranges"])
def test_no_pod_mate_looks_into_a_new_init(rootless: RootlessPyoci, box: Bundle, directory: Path, mapping: str) -> None:
    """CVE-2016-9962: all that the user has is to be seen by way of it. Its program belongs to the user, so in the user
    namespace it can be read, and for that traced.

    Fails with an init that is executed in there (execute_again, spawn.py).
    """
    secret = directory / "secret"
    secret.write_text("of the user")
    give(rootless.user, secret)
    if mapping == "ranges":
        map_ranges(box, rootless.user)
    spy = rootless.run_detached(spying(box, secret)).expect("ready")
    mate_of(box.args("true"), spy)
    for _ in range(rounds(20)):
        done = rootless.run(box, check=False)
        assert spy.output == "ready\n"
        assert done.code == 0, done
    assert spy.status == "running"


LOOK = """
import os, subprocess, sys
sys.path.insert(0, sys.argv[1])
from oci_runtime.linux import rootless
from oci_runtime.plan.operations import Plan
namespace = f"/proc/{sys.argv[2]}/ns/user"

def look(child):
    command = ["nsenter", f"--user={namespace}", "--preserve-credentials", "readlink", f"/proc/{child}/root"]
    print(subprocess.run(command, stdout=subprocess.PIPE, text=True).stdout, end="", flush=True)

rootless._open(Plan(), 0, os.open(namespace, os.O_RDONLY), look)
print("done")
"""


def test_nobody_looks_through_who_opens_the_mounts(rootless: RootlessPyoci, box: Bundle) -> None:
    """It is in the namespace of another container, whose root, if he sees the host's processes, must not see the host's
    files by it (CVE-2016-9962)."""
    first = rootless.run_detached(box.args("/bin/sleep", "60"))
    command = rootless.as_user(sys.executable, "-c", LOOK, str(CHECKOUT), str(first.pid))
    done = subprocess.run(command, capture_output=True, text=True, cwd="/")
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr


def test_a_joined_namespace_without_setgroups(rootless: RootlessPyoci, box: Bundle) -> None:
    first = rootless.run_detached(box.args("/bin/sleep", "60"))
    box.namespace("user", f"/proc/{first.pid}/ns/user").args("cat", "/proc/self/setgroups")
    del box.linux["uidMappings"], box.linux["gidMappings"]
    assert rootless.run(box).out == "deny\n"
    box.process["user"]["additionalGids"] = [0]
    done = rootless.run(box, check=False)
    assert done.code == 1
    assert "setgroups" in done.err
    assert "/process/user" in done.err


def test_another_user_has_other_ranges(rootless: RootlessPyoci, box: Bundle) -> None:
    """The mappings of somebody else's config.json are no way to his files."""
    stranger = User.__new__(User)
    stranger.uid, stranger.gid = rootless.user.uid + 1, rootless.user.gid + 1
    stranger.subuids, stranger.subgids = [(stranger.uid, 1)], [(stranger.gid, 1)]
    box.linux["uidMappings"] = stranger.uid_mappings()[:1]
    done = rootless.run(box, check=False)
    assert done.code == 1
    assert "not allowed" in done.err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_ended_while_the_helper_works(rootless: RootlessPyoci, box: Bundle, number: signal.Signals) -> None:
    """Nothing goes on after that, but the helper of a runtime that could not end it."""
    (box.path / "bin").mkdir()
    slow = box.path / "bin/newuidmap"
    slow.write_text(f"#!/bin/sh\necho $$ > {box.path}/helper\nexec /bin/sleep 30\n")
    slow.chmod(0o755)
    give(rootless.user, box.path / "bin")
    rootless.environment["PATH"] = f"{box.path}/bin:{os.environ['PATH']}"
    map_ranges(box, rootless.user).save()
    id = rootless.new_id()
    child = rootless.spawn("run", "--bundle", str(box.path), id, stdin=subprocess.DEVNULL)
    wait_for(lambda: (box.path / "helper").exists() and (box.path / "helper").read_text().endswith("\n"))
    child.send_signal(number)
    assert child.wait(60) == (-number if number == signal.SIGKILL else 128 + number)
    helper = int((box.path / "helper").read_text())
    if number == signal.SIGKILL:
        os.kill(helper, signal.SIGKILL)
        assert id in rootless("list").out
        rootless("delete", "--force", id)
    wait_for(lambda: not Path(f"/proc/{helper}/cmdline").exists())
    wait_for(lambda: not rootless.processes(), what="no process is left")


def test_a_user_with_the_capabilities_needs_no_helper(rootless: RootlessPyoci, box: Bundle) -> None:
    """Nor subordinate ids."""
    for kind in ("uid", "gid"):
        box.linux[f"{kind}Mappings"] = [{"containerID": 0, "hostID": 4242, "size": 5}]
    give_to = [str(path) for path in (box.rootfs, *box.rootfs.rglob("*"))]
    subprocess.run(["chown", "-h", "4242:4242", *give_to], check=True)
    rootless.capabilities = "+setuid,+setgid"
    done = rootless.run(box.args("cat", "/proc/self/uid_map"))
    assert rows(done.out) == [[0, 4242, 5]]


@pytest.mark.parametrize("verb", ["run", "exec"])
@pytest.mark.parametrize("ranges", [True, False])
def test_the_users_groups_are_kept(rootless: RootlessPyoci, box: Bundle, verb: str, ranges: bool) -> None:
    """crun's annotation, for podman's --group-add keep-groups: what a group lets the user open his containers may."""
    if ranges:
        map_ranges(box, rootless.user)
    rootless.groups = "4711"
    secret = box.path / "secret"
    secret.write_text("open\n")
    os.chown(secret, 0, 4711)
    secret.chmod(0o040)
    box.mount("/secret", "bind", str(secret), ["bind"])
    (box.rootfs / "secret").touch()
    box.config["annotations"] = {"run.oci.keep_original_groups": "1"}
    if verb == "run":
        assert rootless.run(box.args("cat", "/secret")).out == "open\n"
    else:
        container = rootless.run_detached(box.args("sleep", "60"))
        assert container.exec("cat", "/secret").out == "open\n"
