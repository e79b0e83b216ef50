"""process.args, env, cwd: what is executed, with what, where."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest
from containers import Bundle, Pyoci, compile_static

EVERY_BYTE = "".join(map(chr, range(1, 256)))


def test_every_character_in_an_argument(bundle: Bundle, pyoci: Pyoci) -> None:
    wanted = EVERY_BYTE + "€𝄞"
    done = pyoci.run(bundle.args("/bin/printf", "%s", wanted))
    assert done.out == wanted


def test_empty_arguments(bundle: Bundle, pyoci: Pyoci) -> None:
    assert pyoci.run(bundle.args("/bin/printf", "<%s>", "", "a", "")).out == "<><a><>"


def test_an_argument_as_long_as_the_kernel_takes(bundle: Bundle, pyoci: Pyoci) -> None:
    """MAX_ARG_STRLEN, 128 KiB with its NUL: execve(2)."""
    done = pyoci.run(bundle.args("/bin/sh", "-c", "echo ${#1}", "sh", "x" * (128 * 1024 - 1)))
    assert done.out == f"{128 * 1024 - 1}\n"


def test_an_argument_that_is_too_long(bundle: Bundle, pyoci: Pyoci) -> None:
    done = pyoci.run(bundle.args("/bin/true", "x" * (128 * 1024)), check=False)
    assert done.code != 0
    assert "argument list too long" in done.err.lower()


def test_thousands_of_arguments_and_variables(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.process["env"] += [f"V{i}={i}" for i in range(5000)]
    done = pyoci.run(bundle.args("/bin/sh", "-c", "echo $# ${10000} $V4999", "sh", *(f"a{i}" for i in range(1, 20001))))
    assert done.out == "20000 a10000 4999\n"


# --- finding the program


def test_the_path_of_env_is_searched(bundle: Bundle, pyoci: Pyoci) -> None:
    for name in ("one", "two"):
        (bundle.rootfs / name).mkdir()
    (bundle.rootfs / "one/tool").write_text("not executable")
    program = bundle.rootfs / "two/tool"
    program.write_text("#!/bin/sh\necho $0\n")
    program.chmod(0o755)
    bundle.process["env"] = ["PATH=/none:/one:/two:/bin"]
    assert pyoci.run(bundle.args("tool")).out == "/two/tool\n"


def test_the_last_path_counts(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.process["env"] = ["PATH=/none", "PATH=/bin"]
    assert pyoci.run(bundle.args("echo", "found")).out == "found\n"


@pytest.mark.parametrize("env", [[], ["PATH="], ["PATH=/nowhere"]])
def test_no_path_finds_nothing(bundle: Bundle, pyoci: Pyoci, env: list[str]) -> None:
    bundle.process["env"] = env
    done = pyoci.run(bundle.args("true"), check=False)
    assert done.code != 0
    assert "executable file not found in $PATH" in done.err
    assert "/process/args/0" in done.err


@pytest.mark.parametrize("argument", ["./bin/echo", "bin/echo", "../bin/echo"])
def test_a_relative_path_is_relative_to_cwd(bundle: Bundle, pyoci: Pyoci, argument: str) -> None:
    bundle.process["cwd"] = "/root" if argument.startswith("..") else "/"
    assert pyoci.run(bundle.args(argument, "found")).out == "found\n"


@pytest.mark.parametrize(("path", "cwd"), [("/none:", "/bin"), ("::/none", "/bin"), ("/none:bin", "/"), ("in", "/b")])
def test_relative_elements_of_path_are_relative_to_cwd(bundle: Bundle, pyoci: Pyoci, path: str, cwd: str) -> None:
    """An empty one is the working directory itself: execvp(3)."""
    (bundle.rootfs / "b").mkdir()
    (bundle.rootfs / "b/in").symlink_to("/bin")
    bundle.process["env"] = [f"PATH={path}"]
    bundle.process["cwd"] = cwd
    assert pyoci.run(bundle.args("echo", "found")).out == "found\n"


def test_a_script_without_interpreter(bundle: Bundle, pyoci: Pyoci) -> None:
    script = bundle.rootfs / "script"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    done = pyoci.run(bundle.args("/script"), check=False)
    assert done.code != 0
    assert "/script" in done.err
    assert "no such file or directory" in done.err.lower()


def test_what_is_no_program(bundle: Bundle, pyoci: Pyoci) -> None:
    program = bundle.rootfs / "text"
    program.write_text("this is no program")
    program.chmod(0o755)
    done = pyoci.run(bundle.args("/text"), check=False)
    assert done.code != 0
    assert "exec format error" in done.err.lower()


@pytest.mark.parametrize(("path", "reason"), [("/etc", "is a directory"), ("/etc/passwd", "permission denied")])
def test_what_cannot_be_executed(bundle: Bundle, pyoci: Pyoci, path: str, reason: str) -> None:
    (bundle.rootfs / "etc/passwd").chmod(0o644)
    done = pyoci.run(bundle.args(path), check=False)
    assert done.code != 0
    assert reason in done.err.lower()


def test_a_program_that_the_user_may_not_execute(bundle: Bundle, pyoci: Pyoci) -> None:
    program = bundle.rootfs / "program"
    program.write_bytes((bundle.rootfs / "bin/busybox").read_bytes())
    program.chmod(0o700)
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    bundle.process["capabilities"] = {}
    done = pyoci.run(bundle.args("/program"), check=False)
    assert done.code != 0
    assert "permission denied" in done.err.lower()


def test_create_says_what_is_missing(bundle: Bundle, pyoci: Pyoci) -> None:
    """Not only start."""
    bundle.args("/no/such/program").save()
    done = pyoci("create", "--bundle", str(bundle.path), pyoci.new_id(), check=False)
    assert done.code != 0
    assert "/no/such/program" in done.err


# --- env


def test_the_environment_is_exactly_what_is_configured(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.process["env"] = ["PATH=/bin", "HOME=/x", "EMPTY=", f"BYTES={EVERY_BYTE}", "A=b=c"]
    done = pyoci.run(bundle.args("env", "-0"), env={"LEAKED": "1", "PYTHONPATH": "/none"})
    assert sorted(done.out.split("\0")[:-1]) == sorted(bundle.process["env"])


def test_of_a_variable_that_is_there_twice_the_last_counts(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.process["env"] = ["A=1", "PATH=/bin", "B=2", "A=3", "HOME=/"]
    assert pyoci.run(bundle.args("env")).out.splitlines().count("A=3") == 1
    assert "A=1" not in pyoci.run(bundle.args("env")).out


@pytest.mark.parametrize(
    ("uid", "home"), [(0, "/root"), (1000, "/home/alice"), (1234, "/"), (1001, "/"), (1002, "/long/" + "x" * 400)]
)
def test_home_comes_from_the_containers_passwd(bundle: Bundle, pyoci: Pyoci, uid: int, home: str) -> None:
    with (bundle.rootfs / "etc/passwd").open("a") as passwd:
        passwd.write("nohome:x:1001:1001:::/bin/sh\n#comment\n\nbroken:x\n")
        passwd.write("long:x:1002:1002:" + "gecos" * 300 + ":/long/" + "x" * 400 + ":/bin/sh")
    bundle.process["user"] = {"uid": uid, "gid": 0}
    bundle.process["env"] = ["PATH=/bin"]
    assert pyoci.run(bundle.shell("echo $HOME")).out == f"{home}\n"


def test_a_home_that_is_configured_stays(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.process["env"] = ["PATH=/bin", "HOME=/elsewhere"]
    assert pyoci.run(bundle.shell("echo $HOME")).out == "/elsewhere\n"


@pytest.mark.parametrize(
    ("env", "home"), [(["HOME="], "/root"), (["HOME=/x", "HOME="], "/root"), (["HOME=", "HOME=/x"], "/x")]
)
@pytest.mark.parametrize("verb", ["run", "exec"])
def test_an_empty_home_is_filled(bundle: Bundle, pyoci: Pyoci, env: list[str], home: str, verb: str) -> None:
    """As by runc; and it is there once."""
    bundle.process["env"] = ["PATH=/bin", *env]
    if verb == "run":
        seen = pyoci.run(bundle.args("env")).out
    else:
        seen = pyoci.run_detached(bundle.args("sleep", "60")).exec("env").out
    assert sorted(seen.split()) == [f"HOME={home}", "PATH=/bin"]


@pytest.mark.parametrize("verb", ["run", "exec"])
def test_a_passwd_of_a_terabyte(bundle: Bundle, pyoci: Pyoci, verb: str) -> None:
    """Of what the image brings, init reads no more than so much. Fails without PASSWD_AT_MOST (passwd.c)."""
    bundle.process["env"] = ["PATH=/bin"]
    passwd = bundle.rootfs / "etc/passwd"
    if verb == "run":
        os.truncate(passwd, 0)
        os.truncate(passwd, 1 << 40)
        assert pyoci.run(bundle.shell("echo $HOME")).out == "/\n"
        return
    container = pyoci.run_detached(bundle.args("sleep", "60"))
    os.truncate(passwd, 0)
    os.truncate(passwd, 1 << 40)
    assert container.exec("sh", "-c", "echo $HOME").out == "/\n"


def test_a_passwd_of_many(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.process["env"] = ["PATH=/bin"]
    bundle.process["user"] = {"uid": 4999999, "gid": 0}
    lines = "".join(f"user{uid}:x:{uid}:0::/home/user{uid}:/bin/sh\n" for uid in range(4800000, 5000000))
    (bundle.rootfs / "etc/passwd").write_text(lines)
    assert pyoci.run(bundle.shell("echo $HOME")).out == "/home/user4999999\n"


def test_a_passwd_that_is_a_link_or_no_file(bundle: Bundle, pyoci: Pyoci) -> None:
    """A link stays in the root; a FIFO holds nothing up."""
    passwd = bundle.rootfs / "etc/passwd"
    passwd.rename(bundle.rootfs / "etc/real")
    bundle.process["env"] = ["PATH=/bin"]
    passwd.symlink_to("/etc/real")
    assert pyoci.run(bundle.shell("echo $HOME")).out == "/root\n"
    passwd.unlink()
    passwd.symlink_to("../../../../../../../../../etc/real")
    assert pyoci.run(bundle.shell("echo $HOME")).out == "/root\n"
    passwd.unlink()
    os.mkfifo(passwd)
    assert pyoci.run(bundle.shell("echo $HOME")).out == "/\n"


# --- cwd


def test_a_working_directory_is_made(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.process["cwd"] = "/not/there/yet"
    assert pyoci.run(bundle.args("pwd")).out == "/not/there/yet\n"
    assert (bundle.rootfs / "not/there/yet").is_dir()


def test_a_working_directory_through_a_link_of_the_image(bundle: Bundle, pyoci: Pyoci) -> None:
    (bundle.rootfs / "link").symlink_to("/tmp/../../../../../../tmp")
    bundle.process["cwd"] = "/link"
    assert pyoci.run(bundle.args("/bin/pwd", "-P")).out == "/tmp\n"


def test_a_working_directory_that_is_a_file(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.process["cwd"] = "/etc/passwd"
    done = pyoci.run(bundle, check=False)
    assert done.code != 0
    assert "/process/cwd" in done.err


def test_a_working_directory_that_only_root_may_enter(bundle: Bundle, pyoci: Pyoci) -> None:
    """It is entered before the process becomes its user, as with runc."""
    (bundle.rootfs / "secret").mkdir(mode=0o700)
    bundle.process["cwd"] = "/secret"
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    bundle.process["capabilities"] = {}
    assert pyoci.run(bundle.shell("/bin/ls / >/dev/null && echo ran")).out == "ran\n"


def test_a_working_directory_that_only_the_user_may_enter(bundle: Bundle, pyoci: Pyoci) -> None:
    """Root without CAP_DAC_OVERRIDE, as on NFS with root_squash: tried again as the user."""
    own = bundle.rootfs / "own"
    own.mkdir()
    os.chown(own, 1000, 1000)
    own.chmod(0o700)
    bundle.process["cwd"] = "/own"
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    assert pyoci.run(bundle.args("pwd")).out == "/own\n"


def test_exec_in_another_directory(bundle: Bundle, pyoci: Pyoci) -> None:
    container = pyoci.run_detached(bundle.args("/bin/sleep", "60"))
    assert container.exec("pwd", options=["--cwd", "/tmp"]).out == "/tmp\n"
    refused = container.exec("pwd", options=["--cwd", "/none"], check=False)
    assert refused.code != 0
    assert "/none" in refused.err


def test_exec_adds_to_the_environment(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.process["env"] = ["PATH=/bin", "A=1"]
    container = pyoci.run_detached(bundle.args("/bin/sleep", "60"))
    done = container.exec("env", options=["--env", "A=2", "--env", "B=3", "--user", "1000"])
    assert sorted(done.out.splitlines()) == ["A=2", "B=3", "HOME=/home/alice", "PATH=/bin"]


# --- what the process must not find


def test_signals_are_at_their_default(bundle: Bundle, pyoci: Pyoci) -> None:
    """Python ignores SIGPIPE and SIGXFSZ, and the caller may ignore and block what it likes."""
    bundle.args("cat", "/proc/self/status")
    old = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGTERM})
    try:
        status = dict(line.split(":\t", 1) for line in pyoci.run(bundle).out.splitlines())
        container = pyoci.run_detached(bundle.args("/bin/sleep", "60"))
        execed = dict(line.split(":\t", 1) for line in container.exec("cat", "/proc/self/status").out.splitlines())
    finally:
        signal.signal(signal.SIGHUP, old)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    for found in (status, execed):
        assert {int(found[name], 16) for name in ("SigBlk", "SigIgn", "SigCgt", "SigPnd", "ShdPnd")} == {0}


def test_nothing_is_open_but_the_standard_streams(bundle: Bundle, pyoci: Pyoci) -> None:
    read, write = os.pipe()
    os.set_inheritable(read, True)
    try:
        done = pyoci.run(bundle.shell("ls /proc/$$/fd; :"), pass_fds=[read])
        container = pyoci.run_detached(bundle.args("/bin/sleep", "60"), pass_fds=[read])
        execed = container.exec("/bin/sh", "-c", "ls /proc/$$/fd; :")
    finally:
        os.close(read)
        os.close(write)
    # the shell itself keeps no file open with -c
    assert done.out.split() == ["0", "1", "2"]
    assert execed.out.split() == ["0", "1", "2"]
    assert sorted(os.listdir(f"/proc/{container.pid}/fd")) == ["0", "1", "2"]


def test_the_process_leads_a_session(bundle: Bundle, pyoci: Pyoci) -> None:
    container = pyoci.run_detached(bundle.args("/bin/sleep", "60"))
    assert os.getsid(container.pid) == container.pid
    assert os.getpgid(container.pid) == container.pid
    done = container.exec("/bin/sh", "-c", "cut -d' ' -f1,5,6,7 /proc/$$/stat; :")
    pid, group, session, terminal = done.out.split()
    assert pid == group == session
    assert terminal == "0"


def test_the_program_is_not_a_file_of_the_host(bundle: Bundle, pyoci: Pyoci) -> None:
    """CVE-2019-5736: while init waits, /proc/PID/exe is a sealed file in memory."""
    container = pyoci.create(bundle.args("/bin/sleep", "60"))
    assert "memfd:" in os.readlink(f"/proc/{container.pid}/exe")
    container.start()
    assert os.readlink(f"/proc/{container.pid}/exe").endswith("/bin/busybox")


def test_the_parent_death_signal_is_cleared(bundle: Bundle, pyoci: Pyoci) -> None:
    source = """
    #include <stdio.h>
    #include <sys/prctl.h>
    int main(void) { int signal = 99; prctl(PR_GET_PDEATHSIG, &signal); printf("%d\\n", signal); return 0; }
    """
    compile_static(source, bundle.rootfs / "probe")
    assert pyoci.run(bundle.args("/probe")).out == "0\n"
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    assert pyoci.run(bundle.args("/probe")).out == "0\n"


@pytest.mark.parametrize("kind", ["regular", "null", "pipe"])
def test_standard_streams_can_be_opened_again(bundle: Bundle, pyoci: Pyoci, kind: str, directory: Path) -> None:
    """By a user who did not open them, as with runc: they are made his; the host's null device is not."""
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    bundle.process["capabilities"] = {}
    before = os.stat("/dev/null")
    bundle.shell("echo written > /dev/stdout").save()
    command = pyoci.command("run", "--bundle", str(bundle.path), pyoci.new_id())
    if kind == "regular":
        assert pyoci.run(bundle).out == "written\n"
    elif kind == "null":
        assert subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=120).returncode == 0
    else:
        assert (
            subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=120).stdout
            == b"written\n"
        )
    after = os.stat("/dev/null")
    assert (after.st_uid, after.st_gid, after.st_mode) == (before.st_uid, before.st_gid, before.st_mode)


def test_the_null_device_on_a_stream_becomes_the_containers(bundle: Bundle, pyoci: Pyoci) -> None:
    result = pyoci.run(bundle.shell("stat -c %d /dev/null; stat -L -c %d /proc/self/fd/0"))
    ours, stream = result.out.split()
    assert ours == stream


def test_exec_has_the_personality_of_the_container(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.args("sleep", "1000").linux["personality"] = {"domain": "LINUX32"}
    container = pyoci.run_detached(bundle)
    assert container.exec("cat", "/proc/self/personality").out.strip() == "00000008"
