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
import re
import sys
import sysconfig
from pathlib import Path
from types import CodeType
from typing import Any, TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from native import build_interpreter
from native.build_interpreter import Place

Documented = TypeVar("Documented", ast.Module, ast.ClassDef, ast.FunctionDef)

PACKAGE = "oci_runtime"
IMPORTER = Path(__file__).with_name("bundle_importer.py")
ENCODINGS = Path(__file__).with_name("startup_encodings.py")
LAUNCHER = """\
#!{interpreter} -IS
from marshal import loads
from posix import open, pread
FD = open({bundle!r}, 0)
INDEX, code = loads(pread(FD, {head.size}, {head.offset}))
exec(code)
"""


class Module:
    """One module of the package: its source, its code and what it imports, at its top level and in main()."""

    __slots__ = ("code", "imports", "main_imports", "name", "path", "shown", "status")

    def __init__(self, name: str, path: Path, shown: str, known: set[str]) -> None:
        self.name = name
        self.path = path
        self.shown = shown
        self.status = path.stat()
        tree = ast.parse(path.read_bytes(), shown)
        self.imports = list(imports(tree.body, name, known))
        self.main_imports = [found for main in functions(tree, "main") for found in imports(main.body, name, known)]
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


def functions(tree: ast.Module, name: str) -> list[ast.FunctionDef]:
    return [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name]


def imports(body: list[ast.stmt], importer: str, known: set[str]) -> dict[str, None]:
    """The modules of the package that a body of statements surely imports, parents before children, in order."""
    found: dict[str, None] = {}

    def add(name: str) -> None:
        parts = name.split(".")
        for end in range(1, len(parts) + 1):
            prefix = ".".join(parts[:end])
            if prefix in known and prefix != importer:
                found[prefix] = None

    for node in body:
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


def launcher(bundle: str, head: Place, script: bool) -> bytes:
    """The command: the linked program, or the script if that is asked for or nothing else can be had."""
    interpreter = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
    if not script:
        try:
            return build_interpreter.build(interpreter, bundle, head, encodings())
        except build_interpreter.Unavailable as reason:
            print(f"make_launcher: a script, which starts slower than a linked program: {reason}", file=sys.stderr)
    return LAUNCHER.format(interpreter=interpreter, bundle=bundle, head=head).encode()


class Bundle:
    """The file of modules in the making. At its end is the head, from which the launcher starts."""

    __slots__ = ("data",)

    def __init__(self) -> None:
        self.data = b""

    def add(self, value: Any) -> Place:
        data = marshal.dumps(value)
        self.data += data
        return Place(len(self.data) - len(data), len(data))


def fields(name: str, modules: dict[str, Module]) -> tuple[object, ...]:
    """A module as the importer's class Entry takes it."""
    module = modules[name]
    is_package = module.path.name == "__init__.py"
    stamp = (module.status.st_mtime_ns, module.status.st_size)
    return (name, module.code, module.shown, is_package, tuple(order(name, modules)), stamp)


def block(wanted: list[str], modules: dict[str, Module], loaded: list[str]) -> list[str]:
    """The wanted modules with their parents and all they need, in the order of loading, without those of `loaded`."""
    result: list[str] = []
    for name in wanted:
        parents = [name[: match.start()] for match in re.finditer(r"\.", name)]
        for found in (*parents, *order(name, modules), name):
            if found not in result and found not in loaded:
                result.append(found)
    return result


def blocks(modules: dict[str, Module]) -> dict[str, list[str]]:
    """What is read at once, by the module that asks for it: the program; a command with what its main() imports."""
    program = f"{PACKAGE}.cli.main"
    found = {program: block([program], modules, [])}
    for name, module in modules.items():
        if name.startswith(f"{PACKAGE}.cli.") and module.main_imports and name != program:
            found[name] = block([name, *module.main_imports], modules, found[program])
    return found


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
    bundle = Bundle()
    table = {name: tuple(bundle.add(fields(name, modules))) for name in modules}
    places = {
        name: tuple(bundle.add(tuple(fields(member, modules) for member in members)))
        for name, members in blocks(modules).items()
    }
    extensions = {name: shown(path) for name, path in find_extensions(package, dependencies).items()}
    paths = tuple(dict.fromkeys((shown(package), shown(dependencies))))
    importer = compiled(ast.parse(IMPORTER.read_bytes()), IMPORTER.name)
    head = bundle.add(((checked, tuple(bundle.add(table)), places, extensions, paths), importer))
    name = f"{output.name}-{hashlib.sha256(bundle.data).hexdigest()[:16]}.bundle"
    replace(bundle_dir / name, bundle.data, 0o644)
    replace(output, launcher(shown(bundle_dir / name), head, options.script), 0o755)
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
