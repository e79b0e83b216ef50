"""What the machine refuses is told as that; what is an error of ours is not."""

from __future__ import annotations

import errno

import pytest

from oci_runtime.cli.refusal import refusal


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.EIO, "Input/output error"), "a system call failed: Input/output error"),
        (
            OSError(errno.EMFILE, "Too many open files"),
            "too many open files: pyoci needs more than it may have (ulimit -n)",
        ),
        (OSError(errno.ENOSPC, "No space left on device", "/run/x"), "/run/x: No space left on device"),
        (OSError(errno.EIO, "Input/output error", b"/run/\xff"), "/run/\ufffd: Input/output error"),
        (OSError("cannot load library libseccomp.so.2"), "cannot load library libseccomp.so.2"),
        (MemoryError(), "out of memory"),
        (
            ImportError("/x/_json.so: cannot read file data", name="_json", path="/x/_json.so"),
            "cannot load _json: /x/_json.so: cannot read file data",
        ),
        (ImportError("cannot import name 'x'", name="oci_runtime.x"), ""),
        (ModuleNotFoundError("No module named 'oci_runtime.x'", name="oci_runtime.x"), ""),
        (ModuleNotFoundError("No module named 'enum'", name="enum"), "cannot load enum: No module named 'enum'"),
        (ValueError("x"), ""),
    ],
)
def test_refusal(error: Exception, told: str) -> None:
    assert refusal(error) == told
