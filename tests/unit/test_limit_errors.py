"""Which limit an error of the kernel is laid to; that the kernel gives them is tested with containers."""

from __future__ import annotations

from errno import EAGAIN, EINVAL, ENOMEM, ESRCH

import pytest

from oci_runtime.errors import SystemCallError
from oci_runtime.lifecycle.limit_errors import with_limit


@pytest.mark.parametrize(
    ("errno", "resources", "reason"),
    [
        (EAGAIN, {"pids": {"limit": 1}}, "; /linux/resources/pids/limit, 1, is used up"),
        (EAGAIN, {"pids": {"limit": -1}}, ""),
        (EAGAIN, None, ""),
        (ENOMEM, {"memory": {"limit": 4096}}, "; it was out of memory: /linux/resources/memory/limit, 4096 bytes, "),
        (ENOMEM, {"memory": {"limit": 1 << 30}}, ""),
        (ENOMEM, {"memory": {"limit": -1}}, ""),
        (ESRCH, {"memory": {"limit": 4096}}, ""),  # nothing has been killed
        (EINVAL, {"memory": {"limit": 4096}, "pids": {"limit": 1}}, ""),
    ],
)
def test_with_limit(errno: int, resources: dict[str, dict[str, int]] | None, reason: str) -> None:
    error = SystemCallError("cannot clone", errno, "/linux/namespaces")
    text = str(with_limit(error, None, resources))
    assert text.startswith(f"{error}{reason}")
    assert (text == str(error)) == (not reason)
