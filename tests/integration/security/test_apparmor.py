"""process.apparmorProfile, on a machine with AppArmor (`make vm-test` has one): run and exec confine their process.

config.md, "Linux Process"; apparmor(7). The label is what /proc/self/attr/current says inside.
"""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from containers import Bundle, Pyoci

ENABLED = Path("/sys/module/apparmor/parameters/enabled")
ACTIVE = ENABLED.exists() and ENABLED.read_text().strip() == "Y"
needs_apparmor = pytest.mark.skipif(not ACTIVE, reason="needs AppArmor, which this kernel has not enabled")
# Everything but writing below /etc/guarded.
PROFILE = """
profile {name} flags=(attach_disconnected,mediate_deleted) {{
  capability,
  file,
  mount,
  network,
  ptrace,
  signal,
  umount,
  unix,
  deny /etc/guarded/** w,
}}
"""
LABEL = "cat /proc/self/attr/current"


def _parser(option: str, name: str) -> None:
    command = ["apparmor_parser", option, "--skip-cache"]
    subprocess.run(command, input=PROFILE.format(name=name), text=True, check=True, timeout=60)


def _load() -> Iterator[str]:
    name = f"pyoci-test-{uuid.uuid4().hex[:10]}"
    _parser("--add", name)
    yield name
    _parser("--remove", name)


@pytest.fixture(scope="module")
def profile() -> Iterator[str]:
    """The name of a profile that is loaded for the module."""
    yield from _load()


@pytest.fixture(scope="module")
def other_profile() -> Iterator[str]:
    """Another one."""
    yield from _load()


@pytest.fixture
def guarded(bundle: Bundle) -> Bundle:
    """A bundle with the directory that the profile protects."""
    (bundle.rootfs / "etc/guarded").mkdir()
    (bundle.rootfs / "etc/guarded").chmod(0o777)
    return bundle


@needs_apparmor
def test_the_process_is_confined(guarded: Bundle, pyoci: Pyoci, profile: str) -> None:
    """By name, in enforce mode, and what the profile denies is denied to root."""
    guarded.process["apparmorProfile"] = profile
    guarded.shell(f"{LABEL}; touch /etc/allowed; touch /etc/guarded/x 2>&1 || echo denied")
    out = pyoci.run(guarded).out
    assert out.startswith(f"{profile} (enforce)")
    assert "Permission denied" in out
    assert out.endswith("denied\n")


@needs_apparmor
@pytest.mark.parametrize("name", [None, "", "unconfined"])
def test_without_a_profile(bundle: Bundle, pyoci: Pyoci, name: str | None) -> None:
    """The process keeps the label of the runtime."""
    if name is not None:
        bundle.process["apparmorProfile"] = name
    mine = Path("/proc/self/attr/current").read_text().strip("\0\n")
    assert pyoci.run(bundle.shell(LABEL)).out.strip("\0\n") == mine


@needs_apparmor
def test_with_everything_else_that_confines(guarded: Bundle, pyoci: Pyoci, profile: str) -> None:
    """no_new_privs, a seccomp filter, another user and no capability: none comes in the way of the label."""
    guarded.process.update({"apparmorProfile": profile, "noNewPrivileges": True, "user": {"uid": 1000, "gid": 1000}})
    guarded.capabilities()
    guarded.linux["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mknod", "mknodat"], "action": "SCMP_ACT_ERRNO"}],
    }
    guarded.shell(f"{LABEL}; grep -E 'NoNewPrivs|Seccomp:' /proc/self/status; touch /etc/guarded/x || echo denied")
    out = pyoci.run(guarded).out
    assert out.startswith(f"{profile} (enforce)")
    assert "NoNewPrivs:\t1\nSeccomp:\t2\ndenied" in out


@needs_apparmor
def test_in_a_user_namespace(guarded: Bundle, pyoci: Pyoci, profile: str) -> None:
    """The profile is the host's; the namespace has none of its own."""
    guarded.user_namespace()
    guarded.process["apparmorProfile"] = profile
    guarded.shell(f"{LABEL}; touch /etc/guarded/x || echo denied")
    out = pyoci.run(guarded).out
    assert out.startswith(f"{profile} (enforce)")
    assert out.endswith("denied\n")


@needs_apparmor
def test_exec_is_confined_too(guarded: Bundle, pyoci: Pyoci, profile: str, other_profile: str) -> None:
    """By the container's profile, or by the one that --apparmor names."""
    guarded.process["apparmorProfile"] = profile
    container = pyoci.run_detached(guarded.args("/bin/sleep", "1000"))
    assert container.exec("/bin/cat", "/proc/self/attr/current").out.strip("\0\n") == f"{profile} (enforce)"
    done = container.exec("/bin/cat", "/proc/self/attr/current", options=["--apparmor", other_profile])
    assert done.out.strip("\0\n") == f"{other_profile} (enforce)"
    done = container.exec("/bin/cat", "/proc/1/attr/current")
    assert done.out.strip("\0\n") == f"{profile} (enforce)"
    assert container.exec("/bin/touch", "/etc/guarded/x", check=False).code != 0
    container.kill()
    container.wait()


@needs_apparmor
def test_a_profile_that_is_not_loaded(bundle: Bundle, pyoci: Pyoci) -> None:
    """An error that says so, before there is a container."""
    bundle.process["apparmorProfile"] = "pyoci-no-such-profile"
    done = pyoci.run(bundle, check=False)
    assert done.code == 1
    assert "/process/apparmorProfile" in done.err
    assert "no profile of that name is loaded" in done.err
    assert pyoci("list", "--quiet").out == ""


@pytest.mark.skipif(ACTIVE, reason="needs a kernel without AppArmor")
def test_without_apparmor(bundle: Bundle, pyoci: Pyoci) -> None:
    """A container that is to be confined does not run unconfined."""
    bundle.process["apparmorProfile"] = "some-profile"
    done = pyoci.run(bundle, check=False)
    assert done.code == 1
    assert "/process/apparmorProfile" in done.err
    assert "AppArmor is not enabled" in done.err
