"""cffi builder of oci_runtime._shim: the structs and constants of plan.h and the calls of shim.h."""

from __future__ import annotations

import os

from cffi import FFI

HERE = os.path.dirname(os.path.abspath(__file__))


def declarations(name: str) -> str:
    """The text of a header without its preprocessor lines."""
    with open(os.path.join(HERE, name)) as file:
        return "".join(line for line in file if not line.startswith("#"))


ffibuilder = FFI()
ffibuilder.cdef(declarations("plan.h") + declarations("shim.h"))
ffibuilder.set_source(
    "oci_runtime._shim",
    '#include "plan.h"\n#include "shim.h"\n',
    sources=["native/shim.c"],
    depends=["native/plan.h", "native/shim.h"],
    include_dirs=[HERE],
    extra_compile_args=["-std=gnu11", "-O2", "-Wall", "-Wextra"],
    py_limited_api=True,
)

if __name__ == "__main__":
    ffibuilder.compile(verbose=True)
