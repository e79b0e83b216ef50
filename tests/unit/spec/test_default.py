"""What `spec` writes is valid and is what runc writes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from oci_runtime.spec.default import default_config
from oci_runtime.spec.document import load_config


@pytest.mark.parametrize("rootless", [False, True])
@pytest.mark.parametrize("cgroup2", [False, True])
def test_is_valid(rootless: bool, cgroup2: bool, tmp_path: Path) -> None:
    config = default_config(rootless, uid=1000, gid=1001, cgroup2=cgroup2)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config), "utf-8")
    assert load_config(str(path)) == config
    types = [namespace["type"] for namespace in config["linux"]["namespaces"]]
    assert ("cgroup" in types) == cgroup2
    assert ("user" in types) == rootless
    assert ("network" in types) != rootless
    if rootless:
        assert config["linux"]["uidMappings"] == [{"containerID": 0, "hostID": 1000, "size": 1}]
        assert config["linux"]["gidMappings"] == [{"containerID": 0, "hostID": 1001, "size": 1}]


def test_each_call_makes_its_own() -> None:
    default_config(False)["linux"]["maskedPaths"].clear()
    assert default_config(False)["linux"]["maskedPaths"]


@pytest.mark.skipif(not shutil.which("runc"), reason="needs runc to compare with")
@pytest.mark.parametrize("rootless", [False, True])
def test_is_what_runc_writes(rootless: bool, tmp_path: Path) -> None:
    subprocess.run(["runc", "spec", *(["--rootless"] if rootless else [])], cwd=tmp_path, check=True)
    theirs = json.loads((tmp_path / "config.json").read_text("utf-8"))
    cgroup2 = {"type": "cgroup"} in theirs["linux"]["namespaces"]
    ours = default_config(rootless, uid=os.geteuid(), gid=os.getegid(), cgroup2=cgroup2)
    theirs["hostname"] = "pyoci"
    theirs["ociVersion"] = ours["ociVersion"]
    theirs["process"]["capabilities"].pop("ambient", None)  # runc before 1.2
    assert ours == theirs
