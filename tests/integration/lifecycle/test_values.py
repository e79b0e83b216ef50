"""Values that stand for absence, through the life of a container: the record that exec and update read has them too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from containers import CGROUP_ROOT, Bundle, Container, Pyoci, cgroups_of

SLEEP = "echo ready; exec sleep 1000"


def with_nulls(bundle: Bundle) -> Bundle:
    bundle.config.update(
        {"hostname": None, "domainname": None, "hooks": {"poststop": None}, "annotations": {"a.b.c": None}}
    )
    for key in ("terminal", "consoleSize", "capabilities", "rlimits", "oomScoreAdj", "scheduler", "ioPriority"):
        bundle.process[key] = None
    bundle.process.update({"execCPUAffinity": {"initial": None}, "user": {"uid": 0, "gid": 0, "additionalGids": None}})
    for key in ("rootfsPropagation", "seccomp", "sysctl", "timeOffsets", "personality", "memoryPolicy", "uidMappings"):
        bundle.linux[key] = None
    bundle.linux.update({"resources": {"memory": None, "cpu": {"quota": None}, "pids": {"limit": 20}, "devices": None}})
    for mount in bundle.mounts:
        mount |= {"uidMappings": None, "gidMappings": None}
    return bundle


def pids_max(container: Container) -> str:
    """Of its cgroup, in whichever version of the hierarchy it is."""
    groups = cgroups_of(container.pid)
    for path in (CGROUP_ROOT / "pids" / groups.get("pids", "/")[1:], CGROUP_ROOT / groups.get("", "/")[1:]):
        if (path / "pids.max").exists():
            return (path / "pids.max").read_text().strip()
    raise AssertionError(groups)


def test_null_all_through(bundle: Bundle, pyoci: Pyoci, tmp_path: Path) -> None:
    container = pyoci.run_detached(with_nulls(bundle).shell(SLEEP)).expect("ready")
    assert container.state["annotations"] == {"a.b.c": ""}
    assert container.exec("grep", "-E", "^(CapEff|Seccomp):", "/proc/self/status").out.split() == [
        "CapEff:",
        "0000000000000000",
        "Seccomp:",
        "0",
    ]
    process = tmp_path / "process.json"
    process.write_text(json.dumps({**bundle.process, "args": ["/bin/echo", "hello"], "env": None}))
    assert pyoci("exec", "--process", str(process), container.id).out == "hello\n"
    resources = tmp_path / "resources.json"
    resources.write_text(json.dumps({"memory": None, "cpu": None, "pids": {"limit": 30}, "unified": None}))
    pyoci("update", "--resources", str(resources), container.id)
    assert pids_max(container) == "30"
    container.exec("true")
    container.kill()
    container.wait().delete()


def test_empty_strings(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.config.update({"hostname": "", "domainname": ""})
    bundle.process.update({"selinuxLabel": "", "apparmorProfile": "", "execCPUAffinity": {"initial": "", "final": ""}})
    bundle.linux.update(
        {"rootfsPropagation": "", "mountLabel": "", "cgroupsPath": "", "seccomp": {"defaultAction": ""}}
    )
    bundle.linux["resources"] = {"cpu": {"cpus": "", "mems": ""}}
    for namespace in bundle.linux["namespaces"]:
        namespace["path"] = ""
    container = pyoci.run_detached(bundle.shell(SLEEP)).expect("ready")
    assert container.exec("grep", "-c", "Seccomp:.0", "/proc/self/status").out == "1\n"
    pyoci("update", "--cpu-share", "512", container.id)


@pytest.mark.parametrize(("version", "expected"), [("1.0.2", "max"), ("1.3.0", "1")])
def test_a_limit_of_no_processes(bundle: Bundle, pyoci: Pyoci, version: str, expected: str) -> None:
    """podman 4 writes 0 for --pids-limit=-1, with a version of its time."""
    bundle.config["ociVersion"] = version
    bundle.linux["resources"] = {"pids": {"limit": 0}}
    container = pyoci.run_detached(bundle.args("sleep", "1000"))
    assert pids_max(container) == expected
    pyoci("update", "--pids-limit", "7", container.id)
    assert pids_max(container) == "7"
    pyoci("update", "--pids-limit", "0", container.id)
    assert pids_max(container) == ("7" if expected == "max" else "1")


def edited(bundle: Bundle, text: str, replacement: str) -> None:
    """config.json as text, for what no JSON writer writes."""
    bundle.save()
    path = bundle.path / "config.json"
    before = path.read_text()
    assert text in before
    path.write_text(before.replace(text, replacement, 1))


@pytest.mark.parametrize(
    ("text", "replacement", "message"),
    [
        ('"args"', '"args": ["/bin/false"], "args"', ""),  # the last counts, as in Go and yajl
        ('"cwd"', '"Cwd": 5, "x-unknown": [[{}]], "cwd"', ""),
        ('"uid": 0', '"uid": 1e999', "/process/user/uid is a number of more than 308 digits: must be an integer"),
        ('"uid": 0', '"uid": 1e400000', "/process/user/uid is a number of more than 308 digits: must be an integer"),
        ('"uid": 0', '"uid": ' + "9" * 6000, "a number has too many digits"),
        ('"uid": 0', '"uid": 1e18', "must be between 0 and 4294967295"),
        ('"uid": 0', '"uid": 0.5', "must be an integer"),
        ('"uid": 0', '"uid": -0.0', ""),
        ('"uid": 0', '"uid": 0, "x": ' + "[" * 100000 + "]" * 100000, "arrays and objects are nested too deeply"),
        ('"uid": 0', '"uid": 0, "x": ' + '{"x":' * 500 + "1" + "}" * 500, ""),
        ('"ociVersion"', '\ufeff"ociVersion"', "not valid JSON"),
    ],
)
def test_odd_json(bundle: Bundle, pyoci: Pyoci, text: str, replacement: str, message: str) -> None:
    """Either it is taken as the peers take it, or one line says what is wrong."""
    edited(bundle.args("/bin/true"), text, replacement)
    done = pyoci("run", "--bundle", str(bundle.path), pyoci.new_id(), check=False)
    if message:
        assert done.code == 1
        assert message in done.err
        assert len(done.err.splitlines()) == 1
        assert "internal error" not in done.err
    else:
        assert (done.code, done.err) == (0, "")


def test_what_follows_the_document(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.save()
    for ending, code in ((" \n\t\r", 0), ("}", 1), ("\0", 1), ("{}", 1)):
        (bundle.path / "config.json").write_text(json.dumps(bundle.config) + ending)
        done = pyoci("run", "--bundle", str(bundle.path), pyoci.new_id(), check=False)
        assert done.code == code
        assert ("more text after the end of the JSON document" in done.err) == bool(code)


def nulled(value: Any) -> Any:
    """Every list of the process empty but args."""
    return {key: None if isinstance(member, list) and key != "args" else member for key, member in value.items()}


def test_a_process_without_lists(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.config["process"] = nulled(bundle.process)
    assert pyoci.run(bundle.args("/bin/sh", "-c", "echo $HOME")).out == "/root\n"
