"""`pyoci features` says what is so: features.md."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from containers import CHECKOUT, Bundle, Pyoci
from jsonschema import Draft7Validator

from oci_runtime.errors import PyociError
from oci_runtime.linux.cgroups import manager
from oci_runtime.plan.mount_options import MountOptions
from oci_runtime.spec.document import load_config


@pytest.fixture
def features(pyoci: Pyoci) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(pyoci("features").out)
    return found


def test_it_is_valid(features: dict[str, Any]) -> None:
    schema = json.loads((CHECKOUT / "schemas/features.schema.json").read_text())
    assert not list(Draft7Validator(schema).iter_errors(features))


def test_it_is_complete(features: dict[str, Any]) -> None:
    schema = json.loads((CHECKOUT / "schemas/features.schema.json").read_text())
    assert features.keys() == schema["properties"].keys()
    assert features["linux"].keys() == schema["definitions"]["linux"]["properties"].keys()
    for name, section in schema["definitions"]["linux"]["properties"].items():
        if "properties" in section:
            assert features["linux"][name].keys() == section["properties"].keys()


@pytest.mark.parametrize("which", ["ociVersionMin", "ociVersionMax"])
def test_the_versions_are_accepted(features: dict[str, Any], bundle: Bundle, pyoci: Pyoci, which: str) -> None:
    bundle.config["ociVersion"] = features[which]
    assert pyoci.run(bundle).code == 0


def test_mount_options_are_recognised(features: dict[str, Any]) -> None:
    for option in features["mountOptions"]:
        assert not MountOptions([option]).data, option
    unknown = [*features["mountOptions"], "mode=755", "size=1m"]
    assert MountOptions(unknown).data == ["mode=755", "size=1m"]


def test_hooks_namespaces_and_capabilities_are_accepted(features: dict[str, Any], bundle: Bundle) -> None:
    bundle.config["hooks"] = {name: [{"path": "/bin/true"}] for name in features["hooks"]}
    bundle.user_namespace()
    bundle.linux["namespaces"] = [{"type": kind} for kind in features["linux"]["namespaces"]]
    bundle.capabilities(*features["linux"]["capabilities"])
    bundle.save()
    load_config(str(bundle.path / "config.json"))
    assert len(features["linux"]["namespaces"]) == 8
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    assert len(features["linux"]["capabilities"]) >= min(last, 40) + 1


def test_memory_policies_are_accepted(features: dict[str, Any], bundle: Bundle) -> None:
    for mode in features["linux"]["memoryPolicy"]["modes"]:
        policy: dict[str, Any] = {"mode": mode}
        if mode not in ("MPOL_DEFAULT", "MPOL_LOCAL"):
            policy["nodes"] = "0"
        bundle.linux["memoryPolicy"] = policy
        bundle.save()
        load_config(str(bundle.path / "config.json"))
    for flag in features["linux"]["memoryPolicy"]["flags"]:
        bundle.linux["memoryPolicy"] = {"mode": "MPOL_BIND", "nodes": "0", "flags": [flag]}
        bundle.save()
        load_config(str(bundle.path / "config.json"))


def test_seccomp_is_what_libseccomp_has(features: dict[str, Any]) -> None:
    seccomp = features["linux"]["seccomp"]
    assert seccomp["enabled"]
    assert {"SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"} <= set(seccomp["archs"])
    assert set(seccomp["supportedFlags"]) <= set(seccomp["knownFlags"])
    assert features["annotations"]["io.github.seccomp.libseccomp.version"].count(".") == 2


def test_the_version_is_that_of_the_command(features: dict[str, Any], pyoci: Pyoci) -> None:
    version = subprocess.run([pyoci.executable, "--version"], capture_output=True, text=True, check=True).stdout
    assert features["annotations"]["io.github.pyoci.version"] in version.splitlines()[0]


def test_what_is_not_there_is_not_claimed(features: dict[str, Any]) -> None:
    """Of cgroup drivers and resctrl: whoever builds one is to say so in features.py."""
    try:
        manager.new("system.slice:pyoci:features-test", "features-test", None, driver="systemd")
        has_systemd = True
    except PyociError as error:
        has_systemd = "unknown cgroup driver" not in str(error)
    assert features["linux"]["cgroup"]["systemd"] == has_systemd
    resctrl = (CHECKOUT / "oci_runtime/linux/resctrl.py").exists()
    assert features["linux"]["intelRdt"]["enabled"] == resctrl
