"""The module that native/build_libsystemd.py declares, for mypy: ffi.dlopen() gives the calls."""

from typing import Any

ffi: Any
