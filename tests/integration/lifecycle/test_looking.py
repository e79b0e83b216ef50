"""Commands that only look: `plan` and `features`."""

from __future__ import annotations

import json
import os

from containers import Bundle, Pyoci


def test_plan_does_nothing(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.config["hooks"] = {"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", f"touch {bundle.path}/ran"]}]}
    bundle.save()
    before = sorted(os.listdir(bundle.path))
    done = pyoci("plan", "--bundle", str(bundle.path))
    lines = done.out.splitlines()
    assert [line for line in lines if "'proc'" in line and line.endswith("(/mounts/0)")]
    assert lines[-1].endswith("(/process/args)")
    assert sorted(os.listdir(bundle.path)) == before
    assert not pyoci.root.exists()


def test_plan_of_a_broken_bundle(bundle: Bundle, pyoci: Pyoci) -> None:
    bundle.process["cwd"] = "tmp"
    bundle.save()
    done = pyoci("plan", "--bundle", str(bundle.path), check=False)
    assert done.code == 1
    assert "/process/cwd" in done.err


def test_features(pyoci: Pyoci) -> None:
    features = json.loads(pyoci("features").out)
    assert features["ociVersionMin"]
    assert features["ociVersionMax"] == "1.3.0"
    assert set(features["hooks"]) == {
        "prestart",
        "createRuntime",
        "createContainer",
        "startContainer",
        "poststart",
        "poststop",
    }
    assert {"mount", "pid", "user", "cgroup", "time"} <= set(features["linux"]["namespaces"])
    assert not pyoci.root.exists()
