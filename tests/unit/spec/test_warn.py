from __future__ import annotations

from edits import bundle, edited

from oci_runtime.spec.warn import config_warnings


def test_deprecated_things_are_found() -> None:
    edits = {
        "/mounts/1/destination": "dev",
        "/hooks": {"prestart": [{"path": "/x"}], "poststop": []},
        "/linux/resources/memory": {"limit": 1, "kernel": 1, "kernelTCP": -1},
    }
    assert [warning.pointer for warning in config_warnings(edited(bundle("minimal"), edits))] == [
        "/mounts/1/destination",
        "/hooks/prestart",
        "/linux/resources/memory/kernel",
        "/linux/resources/memory/kernelTCP",
    ]


def test_an_engines_config_has_no_warnings() -> None:
    assert config_warnings(bundle("engine")) == []
