"""dockerd drives the runtime, through containerd's shim and with its own defaults and hooks: what only it has."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from .docker import Docker
from .engine import EAT_MEMORY, Bind, Options


def test_the_runtime_is_known(docker: Docker) -> None:
    info = docker("info", "--format", "{{.DefaultRuntime}} {{json .Runtimes}}").stdout
    assert info.startswith("tested ")
    assert '"tested"' in info


def test_exec_user_by_name_and_environment(docker: Docker) -> None:
    docker.detached("e1")
    script = ("sh", "-c", "id -u; pwd; echo $B")
    assert docker.exec("e1", script, Options(env=("B=b",), user="alice", workdir="/tmp")).stdout == "1000\n/tmp\nb\n"
    assert docker.exec("e1", ("no-such-command",), check=False).returncode in (126, 127)


def test_a_directory_over_a_file(docker: Docker, workdir: Path) -> None:
    done = docker.run(("true",), Options(binds=(Bind(workdir, "/etc/no-x-bit"),)), check=False)
    assert done.returncode in (125, 127)
    assert "Are you trying to mount a directory onto a file" in done.stderr


@pytest.mark.usefixtures("memory_limits")
def test_death_for_want_of_memory_is_told(docker: Docker) -> None:
    docker.start(
        "--name", "o1", "--memory", "20m", "--memory-swap", "20m", command=("sh", "-c", EAT_MEMORY + "; sleep 3")
    )
    docker("exec", "o1", "touch", "/go")
    docker("wait", "o1")
    assert docker.logs("o1") == "137\n"
    assert docker.inspect("o1")["State"]["OOMKilled"] is True


def test_privileges(docker: Docker) -> None:
    assert docker.proc_status()["Seccomp"] == "2"
    status = docker.proc_status("--security-opt", "no-new-privileges", "--security-opt", "seccomp=unconfined")
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "0")


def test_shm_size(docker: Docker) -> None:
    assert docker.sh("df -k /dev/shm | tail -1", "--shm-size", "3m").split()[1] == "3072"


def test_namespaces_hostname_and_sysctl(docker: Docker) -> None:
    named = docker.sh("hostname; cat /proc/sys/kernel/msgmax", "-h", "name", "--sysctl", "kernel.msgmax=4444")
    assert named == "name\n4444"
    assert docker.sh("readlink /proc/self/ns/net", "--network=host") == os.readlink(docker.network_namespace)
    docker.start("--name", "n1", "--ipc", "shareable")
    pid = docker.pid("n1")
    words = ("--network=container:n1", "--pid=container:n1", "--ipc=container:n1")
    found = docker.sh("for kind in net pid ipc; do readlink /proc/self/ns/$kind; done", *words).split()
    assert found == [os.readlink(f"/proc/{pid}/ns/{kind}") for kind in ("net", "pid", "ipc")]


def test_init(docker: Docker) -> None:
    assert "docker-init" in docker.sh("cat /proc/1/cmdline", "--init")
