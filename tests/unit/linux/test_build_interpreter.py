"""Where the interpreter cannot be linked statically that is said, so that a script is made instead."""

from __future__ import annotations

import sysconfig
from pathlib import Path

import pytest

from native import build_interpreter


def test_archive_of_the_interpreters_own_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Debian 13 names Modules/_hacl/libHacl_Hash_SHA2.a and does not ship it; elsewhere it lies beside the library."""
    variables = {"LIBPL": str(tmp_path), "MODLIBS": "-lm Modules/_hacl/libHacl_Hash_SHA2.a"}
    monkeypatch.setattr(sysconfig, "get_config_var", variables.get)
    with pytest.raises(build_interpreter.Unavailable, match=r"libHacl_Hash_SHA2\.a"):
        build_interpreter.libraries()
    (tmp_path / "libHacl_Hash_SHA2.a").touch()
    assert build_interpreter.libraries() == ["-lm", str(tmp_path / "libHacl_Hash_SHA2.a")]
