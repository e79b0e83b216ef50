"""pyoci as an ordinary user: what `pyoci spec --rootless` describes, in a user namespace with his own id as root."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from containers import Bundle, Pyoci, Result, wait_for

UID = 61234  # nobody's


class User:
    """A user with a bundle of his own, and pyoci as he calls it."""

    def __init__(self, directory: Path, pyoci: Pyoci) -> None:
        self.bundle = Bundle(directory / "rootless")
        self.runtime_dir = directory / "xdg"
        self.runtime_dir.mkdir(mode=0o700)
        self._pyoci = pyoci
        (self.bundle.path / "config.json").unlink(missing_ok=True)
        subprocess.run(["chown", "-R", f"{UID}:{UID}", self.bundle.path, self.runtime_dir], check=True)
        assert self("spec", "--rootless").code == 0
        self.bundle.config = json.loads((self.bundle.path / "config.json").read_text())
        self.bundle.process["terminal"] = False
        self.bundle.config["root"]["readonly"] = False

    def command(self, *argv: str) -> list[str]:
        identity = ["setpriv", "--reuid", str(UID), "--regid", str(UID), "--clear-groups"]
        return [*identity, self._pyoci.executable, *argv]

    def __call__(self, *argv: str, check: bool = True) -> Result:
        environment = {"PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": str(self.runtime_dir)}
        # files, since what stays in the background would keep a pipe open
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            done = subprocess.run(
                self.command(*argv),
                cwd=self.bundle.path,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                timeout=20,
            )
            out.seek(0)
            err.seek(0)
            result = Result(argv, done.returncode, out.read(), err.read())
        assert not check or result.code == 0, result
        return result

    def run(self, script: str, check: bool = True) -> Result:
        self.bundle.shell(script).save()
        return self("run", "c", check=check)

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self("state", "c").out)
        return found


@pytest.fixture
def user(directory: Path, pyoci: Pyoci) -> Iterator[User]:
    """The user; his containers are deleted by force."""
    user = User(directory, pyoci)
    yield user
    user("delete", "--force", "c")
    assert not [path for path in (user.runtime_dir / "pyoci").glob("*") if not path.name.startswith("~")]


def test_the_user_is_root_inside(user: User) -> None:
    done = user.run("id -u; cat /proc/self/uid_map; cat /proc/self/setgroups; touch /made; hostname; ls /dev /sys")
    lines = done.out.splitlines()
    assert lines[0] == "0"
    assert lines[1].split() == ["0", str(UID), "1"]
    assert lines[2] == "deny"
    assert os.stat(user.bundle.rootfs / "made").st_uid == UID
    assert {"null", "zero", "random", "pts", "kernel"} <= set(lines)


def test_it_is_enclosed(user: User) -> None:
    done = user.run("ls / | tr '\\n' ' '; readlink /proc/self/ns/pid; echo $$; cat /proc/1/comm; :")
    assert "boot" not in done.out.split()
    assert os.readlink("/proc/self/ns/pid") not in done.out
    assert "1\nsh\n" in done.out


def test_its_life(user: User) -> None:
    user.bundle.args("/bin/sleep", "60").save()
    user("create", "c")
    assert user.state()["status"] == "created"
    user("start", "c")
    assert user.state()["status"] == "running"
    done = user("exec", "c", "/bin/sh", "-c", "id -u; cat /proc/self/uid_map; pwd")
    assert done.out.split() == ["0", "0", str(UID), "1", "/"]
    assert "c" in user("list").out
    user("kill", "c", "KILL")
    wait_for(lambda: user.state()["status"] == "stopped")
    user("delete", "c")


def test_the_exit_code(user: User) -> None:
    assert user.run("exit 7", check=False).code == 7


def test_a_bind_mount_of_the_users_own(user: User) -> None:
    shared = user.bundle.path / "shared"
    shared.mkdir()
    (shared / "file").write_text("here\n")
    os.chown(shared, UID, UID)
    user.bundle.mount("/mnt", "bind", str(shared), ["rbind", "rw"])
    user.run("cat /mnt/file; touch /mnt/new")
    assert os.stat(shared / "new").st_uid == UID


def test_the_score_for_the_oom_killer(user: User) -> None:
    user.bundle.process["oomScoreAdj"] = 300
    user.bundle.args("/bin/sleep", "60").save()
    user("run", "--detach", "c")
    assert Path(f"/proc/{user.state()['pid']}/oom_score_adj").read_text() == "300\n"
    assert user("exec", "c", "cat", "/proc/self/oom_score_adj").out == "300\n"


def test_a_network_of_its_own(user: User) -> None:
    user.bundle.namespace("network")
    assert "LOOPBACK,UP" in user.run("ip link").out


def test_seccomp(user: User) -> None:
    user.bundle.linux["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}],
    }
    done = user.run("mkdir /tmp/d || true; grep Seccomp: /proc/self/status")
    assert "Operation not permitted" in done.err
    assert done.out.split() == ["Seccomp:", "2"]


def test_a_source_that_is_not_his(user: User) -> None:
    secret = user.bundle.path / "secret"
    secret.mkdir(mode=0o700)
    os.chown(secret, 0, 0)
    user.bundle.mount("/mnt", "bind", f"{secret}/inside", ["rbind"])
    done = user.run("true", check=False)
    assert done.code != 0
    assert f"/mounts/{len(user.bundle.mounts) - 1}/source" in done.err
    assert "permission denied" in done.err.lower()


def test_ids_that_are_not_his_take_a_helper(user: User) -> None:
    """newuidmap(1), which is asked, refuses or is not there; nobody gets ids that are not his."""
    user.bundle.linux["uidMappings"] = [{"containerID": 0, "hostID": 0, "size": 1}]
    done = user.run("id -u", check=False)
    assert done.code != 0
    assert "newuidmap" in done.err
    assert "/linux/uidMappings" in done.err


def test_without_a_user_namespace_it_is_refused(user: User) -> None:
    user.bundle.without_namespace("user")
    del user.bundle.linux["uidMappings"], user.bundle.linux["gidMappings"]
    done = user.run("true", check=False)
    assert done.code != 0
    assert "not permitted" in done.err.lower() or "user namespace" in done.err


def test_another_users_containers_are_not_his(user: User, pyoci: Pyoci, new_bundle: Callable[[str], Bundle]) -> None:
    container = pyoci.run_detached(new_bundle("other").args("/bin/sleep", "60"))
    done = user("--root", str(pyoci.root), "kill", container.id, "KILL", check=False)
    assert done.code != 0
    assert container.status == "running"


def test_root_of_a_user_namespace_that_has_no_setgroups(bundle: Bundle, pyoci: Pyoci) -> None:
    """As `unshare -Urm` makes one: setgroups(2) is denied there, and cgroups and devices are not ours."""
    bundle.unmount("/dev/pts").args("id", "-u").save()  # for its gid 5
    run = pyoci.command("run", "--bundle", str(bundle.path), "box")
    done = subprocess.run(
        ["unshare", "-Urm", *run], capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL
    )
    assert (done.returncode, done.stdout) == (0, "0\n"), done.stderr
