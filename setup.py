"""The build steps that pyproject.toml cannot say: what is compiled and generated beside the Python files.

oci_runtime/_shim, _libseccomp   cffi extensions, stable ABI (native/build_shim.py, native/build_seccomp.py)
oci_runtime/_libsystemd.py       cffi module, without code of its own (native/build_libsystemd.py)
oci_runtime/init                 static program that runs inside the container (native/build_init.py)
oci_runtime/spec/_checker.py     checker of config.json (schemas/generate_checker.py)
oci_runtime/schemas/*.json       what jsonschema reads to explain a refusal

`setup.py build_ext --inplace` puts all of them into the source tree, a wheel gets them all too.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent


def generate(package: Path) -> None:
    """Puts init, the checker and the schemas into the package folder `package`."""
    (package / "spec").mkdir(parents=True, exist_ok=True)
    schemas = package / "schemas"
    shutil.rmtree(schemas, ignore_errors=True)
    schemas.mkdir()
    for schema in sorted((ROOT / "schemas").glob("*.schema.json")):
        shutil.copyfile(schema, schemas / schema.name)
    run("schemas/generate_checker.py", package / "spec" / "_checker.py")
    run("native/build_init.py", package / "init")


def run(script: str, output: Path) -> None:
    """Lets `script` write `output`; who executes or reads the old file meanwhile never sees half of the new one."""
    fresh = output.with_name(f".{output.name}.new")
    try:
        subprocess.run([sys.executable, str(ROOT / script), str(fresh)], check=True)
        fresh.replace(output)
    finally:
        fresh.unlink(missing_ok=True)


class BuildPy(build_py):
    """build_py, and what is generated."""

    def run(self) -> None:
        super().run()
        generate(ROOT / "oci_runtime" if self.editable_mode else Path(self.build_lib, "oci_runtime"))


class BuildExt(build_ext):
    """build_ext; in place it also generates, as build_py is not run then."""

    def run(self) -> None:
        super().run()
        if self.inplace:
            generate(ROOT / "oci_runtime")


setup(
    cffi_modules=[
        "native/build_shim.py:ffibuilder",
        "native/build_seccomp.py:ffibuilder",
        "native/build_libsystemd.py:ffibuilder",
    ],
    options={"bdist_wheel": {"py_limited_api": "cp310"}},
    cmdclass={"build_py": BuildPy, "build_ext": BuildExt},
)
