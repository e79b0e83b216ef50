#!/usr/bin/env python3
"""Write the command `pyoci`, and beside it the bundle of oci_runtime's compiled modules (bundle_importer.py).

    python scripts/make_launcher.py --package DIR --dependencies DIR [--checked] [--script] [--bundle DIR] [--root DIR]
        OUTPUT

--package       folder that holds oci_runtime
--dependencies  folder that holds cffi's _cffi_backend, jsonschema and pyroute2
--checked       a module whose source has changed since is imported from its source (for a checkout)
--script        write a script even where native/interpreter.c can be linked
--bundle        folder of the bundle, default that of OUTPUT
--root          prefix to leave out of every path that is written (DESTDIR)

The command is native/interpreter.c, linked with the interpreter's static library. Where there is none it is a script of
five lines for the real interpreter, not a venv's, and each command starts a fifth slower. Both
are isolated (-I) and without site (-S): no PYTHON* variable, no current directory on sys.path.
"""

from __future__ import annotations
import __future__

import argparse
import ast
import hashlib
import importlib.machinery
import importlib.util
import marshal
import os
import sys
import sysconfig
from pathlib import Path
from types import CodeType
from typing import TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from native import build_interpreter

Documented = TypeVar("Documented", ast.Module, ast.ClassDef, ast.FunctionDef)

PACKAGE = "oci_runtime"
IMPORTER = Path(__file__).with_name("bundle_importer.py")
ENCODINGS = Path(__file__).with_name("startup_encodings.py")
LAUNCHER = """\
#!{interpreter} -IS
from marshal import loads
from posix import open, read
FD = open({bundle!r}, 0)
INDEX, code = loads(read(FD, {head}))
exec(code)
"""


class Module:
    """One module of the package: its source, its code and what it imports of the package at its top level."""

    __slots__ = ("code", "imports", "name", "path", "status")

    def __init__(self, name: str, path: Path, shown: str, known: set[str]) -> None:
        self.name = name
        self.path = path
        self.status = path.stat()
        tree = ast.parse(path.read_bytes(), shown)
        self.imports = list(top_level_imports(tree, name, known))
        self.code = compiled(tree, shown)


class Strip(ast.NodeTransformer):
    """Takes from a module what costs time at every start and nobody asks for: docstrings, the annotations of functions,
    and `from __future__ import annotations`, which imports a file of the standard library."""

    def visit_Module(self, node: ast.Module) -> ast.Module:
        node.body = [
            item for item in node.body if not (isinstance(item, ast.ImportFrom) and item.module == "__future__")
        ]
        return self.without_docstring(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        return self.without_docstring(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        node.returns = None
        return self.without_docstring(node)

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.annotation = None
        return node

    def without_docstring(self, node: Documented) -> Documented:
        if ast.get_docstring(node, clean=False) is not None:
            node.body[:1] = [] if len(node.body) > 1 else [ast.copy_location(ast.Pass(), node.body[0])]
        self.generic_visit(node)
        return node


def compiled(tree: ast.Module, shown: str) -> CodeType:
    """The code of a module whose tracebacks name the file `shown`. Its only __future__ is annotations; others would be
    lost, which raises ValueError."""
    for item in tree.body:
        if isinstance(item, ast.ImportFrom) and item.module == "__future__" and item.names[0].name != "annotations":
            raise ValueError(f"{shown}: from __future__ import {item.names[0].name}")
    flags = __future__.annotations.compiler_flag
    code = compile(Strip().visit(tree), shown, "exec", flags=flags, dont_inherit=True)
    assert isinstance(code, CodeType)
    return code


def top_level_imports(tree: ast.Module, importer: str, known: set[str]) -> dict[str, None]:
    """The modules of the package that `tree` surely imports, parents before children, in order."""
    found: dict[str, None] = {}

    def add(name: str) -> None:
        parts = name.split(".")
        for end in range(1, len(parts) + 1):
            prefix = ".".join(parts[:end])
            if prefix in known and prefix != importer:
                found[prefix] = None

    for node in tree.body:
        if isinstance(node, ast.Import):
            for alias in node.names:
                add(alias.name)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            add(node.module)
            for alias in node.names:
                if f"{node.module}.{alias.name}" in known:
                    add(f"{node.module}.{alias.name}")
    return found


def order(name: str, modules: dict[str, Module]) -> list[str]:
    """All that `name` imports directly or not, each after what it imports itself; modules of import cycles left out."""
    reached: dict[str, set[str]] = {}

    def reach(start: str) -> set[str]:
        if start not in reached:
            seen: set[str] = set()
            stack = list(modules[start].imports)
            while stack:
                found = stack.pop()
                if found not in seen:
                    seen.add(found)
                    stack += modules[found].imports
            reached[start] = seen
        return reached[start]

    result: list[str] = []

    def visit(current: str) -> None:
        for found in modules[current].imports:
            if found not in result and found != name and found not in reach(found):
                visit(found)
                result.append(found)

    visit(name)
    return [found for found in result if name not in reach(found)]


def find_modules(package: Path, shown: str) -> dict[str, Module]:
    """Every module of the package by name; `shown` is the folder written into their tracebacks."""
    paths = {}
    for path in sorted((package / PACKAGE).rglob("*.py")):
        relative = path.relative_to(package).with_suffix("")
        name = ".".join(relative.parts).removesuffix(".__init__")
        paths[name] = path
    known = set(paths)
    return {
        name: Module(name, path, f"{shown}/{path.relative_to(package)}", known)
        for name, path in paths.items()
        if not name.endswith("__main__")
    }


def find_extensions(package: Path, dependencies: Path) -> dict[str, Path]:
    """The paths of the extension modules; raises FileNotFoundError if one was not built for this interpreter."""
    wanted = {
        "_cffi_backend": dependencies / "_cffi_backend",
        f"{PACKAGE}._shim": package / PACKAGE / "_shim",
        f"{PACKAGE}._libseccomp": package / PACKAGE / "_libseccomp",
    }
    found = {}
    for name, stem in wanted.items():
        for suffix in importlib.machinery.EXTENSION_SUFFIXES:
            path = stem.with_name(stem.name + suffix)
            if path.exists():
                found[name] = path
                break
        else:
            raise FileNotFoundError(f"{stem}*.so for {sys.implementation.cache_tag}: run `make build`")
    json = importlib.util.find_spec("_json")
    if json and json.origin and json.origin.endswith(".so"):  # Debian's; elsewhere it may be built in
        found["_json"] = Path(json.origin)
    return found


def replace(path: Path, data: bytes, mode: int) -> None:
    """Writes a file so that nobody ever sees half of it."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        fresh.write_bytes(data)
        fresh.chmod(mode)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def encodings() -> bytes:
    """startup_encodings.py, marshalled, with the folder of the standard library as LIBRARY."""
    tree = ast.parse(ENCODINGS.read_bytes())
    tree.body[1:1] = ast.parse(f"LIBRARY = {sysconfig.get_path('stdlib')!r}").body
    return marshal.dumps(compiled(tree, "<frozen encodings>"))


def launcher(bundle: str, head_size: int, script: bool) -> bytes:
    """The command: the linked program, or the script if that is asked for or nothing else can be had."""
    interpreter = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
    if not script:
        try:
            return build_interpreter.build(interpreter, bundle, head_size, encodings())
        except build_interpreter.Unavailable as reason:
            print(f"make_launcher: a script, which starts slower than a linked program: {reason}", file=sys.stderr)
    return LAUNCHER.format(interpreter=interpreter, bundle=bundle, head=head_size).encode()


class Options(argparse.Namespace):
    """The command line."""

    package: Path
    dependencies: Path
    bundle: Path | None
    root: str
    checked: bool
    script: bool
    output: Path


def write(options: Options) -> None:
    """Writes the bundle and the command; the paths in them lack the prefix `root`."""
    output = options.output.absolute()
    bundle_dir = (options.bundle or output.parent).absolute()
    bundle_dir.mkdir(parents=True, exist_ok=True)
    output.parent.mkdir(parents=True, exist_ok=True)
    package, dependencies = options.package.absolute(), options.dependencies.absolute()
    root, checked = options.root.rstrip("/"), options.checked

    def shown(path: Path) -> str:
        return str(path).removeprefix(root)

    modules = find_modules(package, shown(package))
    places = {}
    body = b""
    for name, module in modules.items():
        status = module.status
        is_package = module.path.name == "__init__.py"
        needs = tuple(order(name, modules))
        stamp = (status.st_mtime_ns, status.st_size)
        # not marshal.dumps(module.code): nested, the code shares strings with the rest
        data = marshal.dumps((module.code, shown(module.path), is_package, needs, stamp))
        places[name] = (len(body), len(data))
        body += data
    extensions = {name: shown(path) for name, path in find_extensions(package, dependencies).items()}
    paths = tuple(dict.fromkeys((shown(package), shown(dependencies))))
    importer = compiled(ast.parse(IMPORTER.read_bytes()), IMPORTER.name)
    digest = hashlib.sha256(body + repr((checked, extensions, paths)).encode() + marshal.dumps(importer)).hexdigest()
    bundle = bundle_dir / f"{output.name}-{digest[:16]}.bundle"
    # Offsets count from the start of the file, behind the head, whose length depends on them: room for the longest.
    index = (checked, places, extensions, paths)
    room = len(marshal.dumps((index, importer))) + 4 * len(places)
    for name, (offset, size) in places.items():
        places[name] = (offset + room, size)
    head = marshal.dumps((index, importer))
    if len(head) > room:
        raise AssertionError("the head outgrew its room")
    replace(bundle, head.ljust(room, b"\0") + body, 0o644)
    replace(output, launcher(shown(bundle), len(head), options.script), 0o755)
    # A command that began a moment ago may still read the bundle before this one.
    old = sorted(bundle_dir.glob(f"{output.name}-*.bundle"), key=lambda path: path.stat().st_mtime_ns)
    for outdated in old[:-2]:
        outdated.unlink()


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Write the command pyoci.")
    parser.add_argument("--package", type=Path, required=True)
    parser.add_argument("--dependencies", type=Path, required=True)
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--root", default="")
    parser.add_argument("--checked", action="store_true")
    parser.add_argument("--script", action="store_true")
    parser.add_argument("output", type=Path)
    write(parser.parse_args(argv, Options()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
