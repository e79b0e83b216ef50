"""Where the interpreter cannot be linked statically that is said, so that a script is made instead."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

import pytest

from native import build_interpreter


def test_archives_of_the_interpreters_own_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Debian 13 names Modules/_hacl/libHacl_Hash_SHA2.a and does not ship it; elsewhere it lies beside the library."""
    variables = {"LIBPL": str(tmp_path), "MODLIBS": "-lm Modules/_hacl/libHacl_Hash_SHA2.a"}
    monkeypatch.setattr(sysconfig, "get_config_var", variables.get)
    assert build_interpreter.libraries() == (["-lm"], {"_sha2"})
    (tmp_path / "libHacl_Hash_SHA2.a").touch()
    assert build_interpreter.libraries() == (["-lm", str(tmp_path / "libHacl_Hash_SHA2.a")], set())
    variables["MODLIBS"] = "Modules/unknown.a"
    with pytest.raises(build_interpreter.Unavailable, match=r"unknown\.a"):
        build_interpreter.libraries()


def test_the_table_of_built_in_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "builtin_module_names", ("_sha2", "marshal", "posix", "sys"))
    table = build_interpreter.built_in_modules({"_sha2"})
    rows = [line.strip() for line in table.splitlines() if line.startswith("    {")]
    assert rows == ['{"marshal", PyMarshal_Init},', '{"posix", PyInit_posix},', '{"sys", NULL},', "{NULL, NULL},"]
    assert "extern PyObject *PyInit_posix(void);" in table
