"""podman drives the runtime: the options that end up in config.json, seen from inside or from the host."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from . import limits, processes
from .podman import Podman

CAP_NET_ADMIN, CAP_SYS_ADMIN = 1 << 12, 1 << 21


# --- process ---------------------------------------------------------------------------------------------------------


def test_environment_user_groups_workdir_umask(podman: Podman) -> None:
    script = "id -u; id -g; id -G; pwd; umask; echo $A; echo $HOME; echo $PATH"
    options = ("-e", "A=b c", "-u", "alice", "-w", "/tmp", "--umask", "0077", "--group-add", "77")
    found = podman.sh(script, *options).split("\n")
    assert found[:2] == ["1000", "1000"]
    assert set(found[2].split()) == {"1000", "50", "77"}
    assert found[3:] == ["/tmp", "0077", "b c", "/home/alice", processes.PATH]


def test_the_callers_groups(podman: Podman) -> None:
    """keep-groups is an annotation to the runtime, which crun alone obeyed."""
    before = os.getgroups()
    os.setgroups([4711, 4712])
    try:
        assert podman.sh("id -G", "--group-add", "keep-groups").split() == ["0", "4711", "4712"]
    finally:
        os.setgroups(before)


def test_a_created_container_is_stopped(podman: Podman) -> None:
    """By its signal, and not by the SIGKILL after ten seconds: the status is that of runc's init."""
    podman("create", "--name", "c", podman.image, "sleep", "1000")
    podman("init", "c")
    podman("stop", "-t", "1000", "c")
    assert podman.inspect("c")["State"]["ExitCode"] == 2


def test_numeric_user(podman: Podman) -> None:
    assert podman.sh("id -u; id -g; id -G", "-u", "4242:4343") == "4242\n4343\n4343"


def test_a_working_directory_is_made(podman: Podman) -> None:
    done = podman("run", "--rm", "-v", "/brand/new", "-w", "/brand/new", podman.image, "pwd")
    assert done.stdout == "/brand/new\n"


def test_entrypoint(podman: Podman) -> None:
    assert podman("run", "--rm", "--entrypoint", '["echo", "a"]', podman.image, "b").stdout == "a b\n"


def test_init_reaps_and_forwards(podman: Podman) -> None:
    if shutil.which("catatonit", path=processes.PATH) is None:
        pytest.skip("catatonit is not installed")
    podman.start(
        "--init", "--name", "i", command=("sh", "-c", "trap 'exit 6' TERM; echo r; while :; do sleep 0.05; done")
    )
    processes.wait_for(lambda: podman("logs", "i").stdout == "r\n")
    assert podman("exec", "i", "cat", "/proc/1/comm").stdout == "podman-init\n"
    podman("stop", "-t", "10", "i")
    assert podman.inspect("i")["State"]["ExitCode"] == 6


def test_rlimits(podman: Podman) -> None:
    options = ("--ulimit", "nofile=100:200", "--ulimit", "core=0:0", "--ulimit", "nproc=300:301")
    assert podman.sh("ulimit -Sn; ulimit -Hn; ulimit -Sc", *options) == "100\n200\n0"
    assert podman.sh("grep 'Max processes' /proc/self/limits", *options).split()[2:4] == ["300", "301"]


def test_oom_score_adj(podman: Podman) -> None:
    assert podman.sh("cat /proc/self/oom_score_adj", "--oom-score-adj", "321") == "321"


def test_extra_descriptors(podman: Podman, workdir: Path) -> None:
    argv = podman.argv("run", "--rm", "--preserve-fds", "1", podman.image, "sh", "-c", "echo through >&3")
    processes.run(["sh", "-c", f'exec "$@" 3>{workdir}/out', "sh", *argv], podman.env, podman.cwd)
    assert (workdir / "out").read_text() == "through\n"


def test_no_descriptor_leaks_in(podman: Podman) -> None:
    assert podman.sh("ls /proc/$$/fd; true").split() == ["0", "1", "2"]


# --- capabilities and other privileges -------------------------------------------------------------------------------


def test_capabilities_of_another_user(podman: Podman) -> None:
    assert int(podman.proc_status("-u", "alice")["CapEff"], 16) == 0
    status = podman.proc_status("-u", "alice", "--cap-add", "NET_ADMIN")
    for key in ("CapEff", "CapAmb", "CapInh", "CapPrm"):
        assert int(status[key], 16) == CAP_NET_ADMIN, key


def test_all_capabilities_dropped(podman: Podman) -> None:
    status = podman.proc_status("--cap-drop", "all")
    for key in ("CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb"):
        assert int(status[key], 16) == 0, key


def test_no_new_privileges_and_seccomp_unconfined(podman: Podman) -> None:
    assert podman.proc_status()["NoNewPrivs"] == "0"
    status = podman.proc_status("--security-opt", "no-new-privileges", "--security-opt", "seccomp=unconfined")
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "0")


def test_the_default_profile_refuses_what_the_capabilities_allow(podman: Podman) -> None:
    swapon = ("--cap-add", "SYS_ADMIN", podman.image, "swapon", "/etc/passwd")
    done = podman("run", "--rm", *swapon, check=False)
    assert "Operation not permitted" in done.stderr or "Function not implemented" in done.stderr
    done = podman("run", "--rm", "--security-opt", "seccomp=unconfined", *swapon, check=False)
    assert "Invalid argument" in done.stderr


def test_privileged(podman: Podman) -> None:
    status = podman.proc_status("--privileged")
    effective = int(status["CapEff"], 16)
    assert effective & CAP_SYS_ADMIN
    assert effective & CAP_NET_ADMIN
    assert status["Seccomp"] == "0"
    script = "mkdir -p /tmp/m && mount -t tmpfs none /tmp/m && echo mounted; test -c /dev/kmsg && echo kmsg"
    assert podman.sh(script, "--privileged") == "mounted\nkmsg"
    assert podman.sh("grep ' /sys sysfs' /proc/mounts | cut -d' ' -f4 | cut -d, -f1", "--privileged") == "rw"


# --- filesystem ------------------------------------------------------------------------------------------------------


def test_bind_mount_of_a_file_and_with_flags(podman: Podman, workdir: Path) -> None:
    (workdir / "f").write_text("host")
    assert podman.sh("cat /etc/one", "-v", f"{workdir}/f:/etc/one") == "host"
    options = podman.sh("grep ' /m ' /proc/self/mountinfo | cut -d' ' -f6", "-v", f"{workdir}:/m:noexec,nosuid,nodev")
    assert {"noexec", "nosuid", "nodev"} <= set(options.split(","))


@pytest.mark.parametrize("how", ["rprivate", "rslave", "rshared", "private", "slave", "shared"])
@pytest.mark.parametrize("long", [False, True])
def test_propagation(podman: Podman, workdir: Path, how: str, long: bool) -> None:
    def run(*argv: str) -> None:
        subprocess.run(podman.inside(*argv), check=True)

    run("mount", "-t", "tmpfs", "propagation", str(workdir))
    try:
        run("mount", "--make-shared", str(workdir))
        run("mkdir", str(workdir / "sub"))
        mount = f"type=bind,src={workdir},dst=/m,bind-propagation={how}"
        option = ("--mount", mount) if long else ("-v", f"{workdir}:/m:{how}")
        name = podman.start("--name", "p", *option)
        tags = podman("exec", name, "sh", "-c", "grep ' /m ' /proc/self/mountinfo").stdout.split(" - ")[0].split()[6:]
        kinds = {tag.split(":")[0] for tag in tags}
        assert kinds == {"private": set(), "slave": {"master"}, "shared": {"shared"}}[how.removeprefix("r")]
        run("mount", "-t", "tmpfs", "later", str(workdir / "sub"))
        try:
            seen = podman("exec", name, "sh", "-c", "grep -c ' /m/sub ' /proc/self/mountinfo", check=False).stdout
            assert seen == ("0\n" if how.endswith("private") else "1\n")
        finally:
            run("umount", str(workdir / "sub"))
    finally:
        podman.remove_all()
        run("umount", str(workdir))


def test_tmpfs_as_a_mount_and_what_the_image_had_there(podman: Podman) -> None:
    mount = "type=tmpfs,dst=/home,tmpfs-size=1048576,tmpfs-mode=0711"
    assert podman.sh("ls /home; df -k /home | tail -1 | tr -s ' ' | cut -d' ' -f2", "--mount", mount) == "alice\n1024"
    assert podman.sh("ls /home", "--mount", f"{mount},notmpcopyup") == ""
    # runc 1.1 gives a tmpfs the mode of the directory it covers, so this looks where there is none.
    assert podman.sh("stat -c %a /fresh", "--mount", "type=tmpfs,dst=/fresh,tmpfs-mode=0711,notmpcopyup") == "711"


def test_named_volume(podman: Podman) -> None:
    podman.sh("echo kept >/data/f", "-v", "vol:/data")
    assert podman.sh("cat /data/f", "-v", "vol:/data:ro") == "kept"
    podman("volume", "rm", "vol")


def test_read_only_root(podman: Podman) -> None:
    done = podman(
        "run", "--rm", "--read-only", podman.image, "sh", "-c", "touch /tmp/ok /run/ok && touch /x", check=False
    )
    assert done.returncode == 1
    assert "/x: Read-only file system" in done.stderr
    done = podman("run", "--rm", "--read-only", "--read-only-tmpfs=false", podman.image, "touch", "/tmp/x", check=False)
    assert done.returncode == 1
    assert "Read-only file system" in done.stderr


def test_shm_size(podman: Podman) -> None:
    assert podman.sh("df -k /dev/shm | tail -1", "--shm-size", "3m").split()[1] == "3072"


def test_masked_and_read_only_paths(podman: Podman) -> None:
    assert podman.sh("head -c 10 /proc/timer_list | wc -c") == "0"
    assert podman.sh("ls /sys/firmware | wc -l") == "0"
    done = podman("run", "--rm", podman.image, "sh", "-c", "echo 1 >/proc/sys/kernel/printk", check=False)
    assert "Read-only file system" in done.stderr
    assert podman.sh("head -c 10 /proc/version | wc -c", "--security-opt", "mask=/proc/version") == "0"
    assert podman.sh("grep -c ' /proc/sys ' /proc/mounts || true", "--security-opt", "unmask=/proc/sys") == "0"
    assert podman.sh("grep -c ' /proc/' /proc/mounts || true", "--security-opt", "unmask=ALL") == "0"


def test_devices(podman: Podman) -> None:
    default = set(podman.sh("ls /dev").split())
    assert default >= {"fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "tty", "urandom", "zero"}
    assert default >= {"stdin", "stdout", "stderr"}
    assert podman.sh("ls -l /dev/xnull; echo hi >/dev/xnull", "--device", "/dev/null:/dev/xnull:rw").startswith("crw")


def test_device_rules(podman: Podman) -> None:
    def tried(*options: str) -> tuple[str, str]:
        script = "mknod /tmp/fuse c 10 229 && (: </tmp/fuse) && echo read; (: >/tmp/fuse) && echo write"
        done = podman("run", "--rm", "--cap-add", "MKNOD", *options, podman.image, "sh", "-c", script, check=False)
        return done.stdout, done.stderr

    out, error = tried()
    assert out == ""
    assert error.count("Operation not permitted") == 2
    assert tried("--device-cgroup-rule", "c 10:229 rw") == ("read\nwrite\n", "")
    out, error = tried("--device-cgroup-rule", "c 10:229 r")
    assert out == "read\n"
    assert error.count("Operation not permitted") == 1


# --- namespaces, hostname, sysctl ------------------------------------------------------------------------------------


def test_hostname_and_sysctl(podman: Podman) -> None:
    assert podman.sh("hostname; cat /etc/hostname", "--hostname", "a-name") == "a-name\na-name"
    script = "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/msgmax"
    options = ("--sysctl", "net.ipv4.ip_unprivileged_port_start=77", "--sysctl", "kernel.msgmax=4444")
    assert podman.sh(script, *options) == "77\n4444"


def test_user_namespace(podman: Podman, workdir: Path) -> None:
    (workdir / "f").write_text("theirs")
    os.chown(workdir / "f", 100005, 100006)
    mapping = ("--uidmap", "0:100000:5000", "--gidmap", "0:100000:5000")
    script = (
        "cat /proc/self/uid_map; id -u; stat -c '%u %g' /m/f /bin/busybox; touch /m/made /made; hostname x; hostname"
    )
    os.chmod(workdir, 0o777)
    lines = podman.sh(script, *mapping, "-v", f"{workdir}:/m", "--cap-add", "SYS_ADMIN").split("\n")
    assert lines[0].split() == ["0", "100000", "5000"]
    assert lines[1:] == ["0", "5 6", "0 0", "x"]
    assert (workdir / "made").stat().st_uid == 100000


def test_user_namespace_on_a_terminal_and_exec(podman: Podman) -> None:
    mapping = ("--uidmap", "0:100000:5000", "--gidmap", "0:100000:5000")
    terminal = podman.terminal("run", "--rm", "-it", *mapping, podman.image, "sh", "-c", "tty; stat -c %u /dev/pts/0")
    assert terminal.wait() == 0, terminal.output
    assert terminal.output.split() == ["/dev/pts/0", "0"]
    podman.start("--name", "u", *mapping)
    assert podman("exec", "u", "cat", "/proc/self/uid_map").stdout.split() == ["0", "100000", "5000"]
    pid = podman.pid("u")
    assert Path(f"/proc/{pid}").stat().st_uid == 100000


@pytest.mark.parametrize("kind", ["pid", "ipc", "uts", "net"])
def test_the_host_s_namespace(podman: Podman, kind: str) -> None:
    option = "--network" if kind == "net" else f"--{kind}"
    inside = podman.sh(f"readlink /proc/self/ns/{kind}", f"{option}=host")
    assert inside == os.readlink(f"/proc/self/ns/{kind}")
    assert podman.sh(f"readlink /proc/self/ns/{kind}") != inside


@pytest.mark.parametrize("kind", ["pid", "ipc", "net"])
def test_another_container_s_namespace(podman: Podman, kind: str) -> None:
    podman.start("--name", "first", "--ipc", "shareable")
    pid = podman.pid("first")
    option = "--network" if kind == "net" else f"--{kind}"
    inside = podman.sh(f"readlink /proc/self/ns/{kind}", f"{option}=container:first")
    assert inside == os.readlink(f"/proc/{pid}/ns/{kind}")


def test_another_container_s_processes_are_seen(podman: Podman) -> None:
    podman.start("--name", "first", command=("sleep", "1234"))
    assert podman.sh("tr '\\0' ' ' </proc/1/cmdline", "--pid=container:first") == "sleep 1234 "


def test_cgroup_namespace(podman: Podman) -> None:
    host = os.readlink("/proc/self/ns/cgroup")
    private = podman.sh("readlink /proc/self/ns/cgroup; cut -d: -f3 /proc/self/cgroup | sort -u", "--cgroupns=private")
    name, paths = private.split("\n", 1)
    assert name != host
    assert paths == "/"
    shared = podman.sh("readlink /proc/self/ns/cgroup; cat /proc/self/cgroup", "--cgroupns=host")
    assert shared.split("\n")[0] == host
    assert f"/{podman.cgroup}/libpod-" in shared


def test_pod(podman: Podman, pod: str) -> None:
    podman("run", "-d", "--pod", pod, "--name", "one", podman.image, "sh", "-c", "nc -lp 4000 -e echo answer")
    processes.wait_for(lambda: " 0FA0 " in podman("exec", "one", "sh", "-c", "cat /proc/net/tcp* | tr : ' '").stdout)
    script = "nc 127.0.0.1 4000 </dev/null; tr '\\0' ' ' </proc/1/cmdline"
    done = podman("run", "--rm", "--pod", pod, podman.image, "sh", "-c", script)
    assert done.stdout == "answer\nsleep 1000 " or done.stdout == "answer\n/bin/sleep 1000 ", done
    links = ["/proc/{}/ns/" + kind for kind in ("net", "ipc", "uts", "pid")]
    podman.start("--pod", pod, "--name", "two")
    podman.start("--pod", pod, "--name", "three")
    two, three = (podman.pid(name) for name in ("two", "three"))
    assert [os.readlink(link.format(two)) for link in links] == [os.readlink(link.format(three)) for link in links]
    podman("pod", "stop", "-t", "0", pod)
    podman("pod", "rm", "-f", "-t", "0", pod)
    assert podman.states() == []


# --- resources -------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("memory_limits")
def test_limits(podman: Podman) -> None:
    options = "--memory 64m --memory-swap 128m --memory-reservation 32m --cpus 0.5 --cpu-shares 512 --pids-limit 33"
    podman.start("--name", "l", *options.split(), "--cpuset-cpus", "0")
    pid = podman.pid("l")
    assert (limits.memory_limit(pid), limits.cpu_quota(pid), limits.process_limit(pid)) == (64 << 20, 50000, 33)
    assert limits.limit(pid, "memory", "memory.soft_limit_in_bytes", "memory.low") == str(32 << 20)
    assert limits.limit(pid, "cpuset", "cpuset.cpus", "cpuset.cpus") == "0"
    # The bounds of a weight for half the usual shares; there are two formulas.
    shares = int(limits.limit(pid, "cpu", "cpu.shares", "cpu.weight"))
    assert shares == 512 or 20 <= shares < 100


def test_the_cgroup_cannot_be_written(podman: Podman) -> None:
    script = "cd /sys/fs/cgroup; echo $$ >pids/tasks || echo $$ >cgroup.procs"
    done = podman("run", "--rm", podman.image, "sh", "-c", script, check=False)
    assert "Read-only file system" in done.stderr


# --- hooks -----------------------------------------------------------------------------------------------------------

STAGES = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")


def test_hooks(podman: Podman, workdir: Path) -> None:
    log = workdir / "log"
    log.touch()
    script = processes.write_script(workdir / "hook", [f'cat >{workdir}/"$1".json', f'echo "$1" >>{log}'])
    hooks = workdir / "hooks.d"
    hooks.mkdir()
    # startContainer runs inside the container, where the script is to be found under the same name.
    for stage in STAGES:
        hook = {"path": str(script), "args": ["hook", stage]}
        text = {"version": "1.0.0", "hook": hook, "when": {"always": True}, "stages": [stage]}
        (hooks / f"{stage}.json").write_text(json.dumps(text))
    podman.options += ["--hooks-dir", str(hooks)]
    try:
        podman("run", "--name", "h", "-v", f"{workdir}:{workdir}", podman.image, "true")
        container = podman.inspect("h")["Id"]
        podman("rm", "h")
    finally:
        del podman.options[-2:]
    processes.wait_for(lambda: len(log.read_text().split()) == len(STAGES))
    called = log.read_text().split()
    # A hook in the container and one outside of it: runc lets startContainer and poststart run at the same time.
    assert sorted(called) == sorted(STAGES)
    # podman 5 lists a prestart hook among those of createRuntime
    assert sorted(called[:2]) == sorted(STAGES[:2])
    assert called[2] == STAGES[2]
    assert called[-1] == "poststop"
    # At poststart runc 1.1 still says created; the specification wants running.
    status: dict[str, str | tuple[str, ...]] = dict.fromkeys(STAGES[:3], "creat")
    status |= {"startContainer": "created", "poststart": ("running", "created"), "poststop": "stopped"}
    for stage in STAGES:
        state = json.loads((workdir / f"{stage}.json").read_text())
        assert state["id"] == container
        assert state["status"].startswith(status[stage]), stage


def test_a_hook_that_fails(podman: Podman, workdir: Path) -> None:
    hook = {"path": "/bin/sh", "args": ["sh", "-c", "echo the reason >&2; exit 3"]}
    text = {"version": "1.0.0", "hook": hook, "when": {"always": True}, "stages": ["createRuntime"]}
    (workdir / "bad.json").write_text(json.dumps(text))
    podman.options += ["--hooks-dir", str(workdir)]
    try:
        done = podman("run", "--rm", podman.image, "echo", "not reached", check=False)
    finally:
        del podman.options[-2:]
    assert done.returncode == 126
    assert done.stdout == ""
    assert "the reason" in done.stderr
    assert podman.states() == []
