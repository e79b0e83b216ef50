"""The stubs of the extensions name what the extensions have."""

from __future__ import annotations

import ast
from pathlib import Path
from types import ModuleType

import pytest

from oci_runtime import _libseccomp, _shim

PACKAGE = Path(__file__).parents[3] / "oci_runtime"


@pytest.mark.parametrize("extension", [_shim, _libseccomp], ids=["_shim", "_libseccomp"])
def test_stub(extension: ModuleType) -> None:
    name = extension.__name__.rpartition(".")[2]
    tree = ast.parse((PACKAGE / f"{name}.pyi").read_text())
    (stub,) = (node for node in tree.body if isinstance(node, ast.ClassDef))
    constants = {
        node.target.id for node in stub.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    functions = {
        node.name: len(node.args.posonlyargs or node.args.args) - 1
        for node in stub.body
        if isinstance(node, ast.FunctionDef)
    }
    assert constants | functions.keys() == set(dir(extension.lib))
    for function, count in functions.items():
        assert len(extension.ffi.typeof(getattr(extension.lib, function)).args) == count, function
    for constant in constants:
        assert isinstance(getattr(extension.lib, constant), int)
