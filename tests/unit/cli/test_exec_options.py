"""What exec makes of its options before it looks for the container."""

from __future__ import annotations

import pytest

from oci_runtime.cli.exec import cgroups
from oci_runtime.errors import UsageError


@pytest.mark.parametrize(
    ("values", "paths"),
    [
        ([], {}),
        (["a/b"], {"": "a/b"}),
        (["cpu,memory:a", "pids:b"], {"cpu": "a", "memory": "a", "pids": "b"}),
        (["cpu:a:b"], {"cpu": "a:b"}),
    ],
)
def test_cgroups(values: list[str], paths: dict[str, str]) -> None:
    assert cgroups(values) == paths


@pytest.mark.parametrize("values", [["a", "b"], [":a"], ["cpu,:a"], ["cpu:a", "cpu:b"], ["cpu:a", "b"]])
def test_cgroups_that_are_wrong(values: list[str]) -> None:
    with pytest.raises(UsageError, match="--cgroup"):
        cgroups(values)
