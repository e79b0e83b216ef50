"""Runs first in a pyoci process: imports oci_runtime from the bundle that make_launcher.py wrote beside the launcher.

An ordinary import of one small module costs about 0.13 ms (stat, listdir, open, and importlib itself), one from here
less than 0.05 ms, and a command needs dozens. Of the modules that a module imports at its top level, those that are not
loaded yet are executed directly, in order, without a round through importlib for each.

What the bundle lacks, or holds in another version than the source file of a checkout, is left to the ordinary import,
for which the launcher extends sys.path.

make_launcher.py compiles this file into the bundle; the launcher executes it as a part of __main__, with `FD`, the open
bundle, and `INDEX`, its table of contents, defined.
"""

from __future__ import annotations

import sys
from _frozen_importlib import ModuleSpec
from _frozen_importlib_external import ExtensionFileLoader
from gc import disable
from marshal import loads
from posix import O_CLOEXEC, O_RDONLY, close, open, pread, stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import CodeType, ModuleType
    from typing import Any, TypeAlias

    # path of the source, offset and size of the code, is a package, what it imports, mtime (ns) and size of the source
    Entry: TypeAlias = tuple[str, int, int, bool, tuple[str, ...], int, int]
    FD: int
    INDEX: tuple[str, bool, dict[str, Entry], dict[str, str], tuple[str, ...]]

ModuleClass = type(sys)


class BundleImporter:
    """Finder and loader (PEP 451) of the modules in the bundle, and of the extension modules by their known paths."""

    __slots__ = ("bundle", "checked", "entries", "extensions")

    def __init__(self, bundle: str, checked: bool, entries: dict[str, Entry], extensions: dict[str, str]) -> None:
        self.bundle = bundle
        self.checked = checked
        self.entries = entries
        self.extensions = extensions

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> Any:
        entry = self.entries.get(name)
        if entry is None:
            library = self.extensions.get(name)
            if library is None:
                return None
            spec = ModuleSpec(name, ExtensionFileLoader(name, library), origin=library)
            spec.has_location = True
            return spec
        if not self.fresh(entry):
            return None
        spec = ModuleSpec(name, self, origin=entry[0], is_package=entry[3])  # type: ignore[arg-type]
        try:
            spec.loader_state = open(self.bundle, O_RDONLY | O_CLOEXEC)
        except OSError:  # rebuilt or removed since this process began
            return None
        spec.has_location = True
        if entry[3]:
            spec.submodule_search_locations = [entry[0][: entry[0].rindex("/")]]
        return spec

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        spec = module.__spec__
        assert spec is not None
        fd = spec.loader_state
        try:
            code = self.code(fd, self.entries[spec.name])
            self.preload(fd, spec.name)
        finally:
            close(fd)
        exec(code, module.__dict__)

    def get_code(self, name: str) -> CodeType | None:
        return None

    def get_source(self, name: str) -> str | None:
        """The source that tracebacks show; None where it is not readable."""
        import io

        try:
            with io.open_code(self.entries[name][0]) as file:
                return str(file.read(), "utf-8")
        except (KeyError, OSError):
            return None

    def is_package(self, name: str) -> bool:
        return self.entries[name][3]

    def fresh(self, entry: Entry) -> bool:
        """Whether the source is what was compiled; an installed bundle need not ask."""
        if not self.checked:
            return True
        try:
            status = stat(entry[0])
        except OSError:
            return False
        return status.st_mtime_ns == entry[5] and status.st_size == entry[6]

    def code(self, fd: int, entry: Entry) -> CodeType:
        code: CodeType = loads(pread(fd, entry[2], entry[1]))
        return code

    def preload(self, fd: int, importer: str) -> None:
        """Executes what the module `importer` is going to import, as far as the bundle has it."""
        for name in self.entries[importer][4]:
            if name not in sys.modules:
                entry = self.entries[name]
                if self.fresh(entry):
                    self.load(name, entry, self.code(fd, entry))

    def load(self, name: str, entry: Entry, code: CodeType) -> None:
        """What importlib does for one module whose parent is loaded, as short as it can be."""
        module = ModuleClass(name)
        namespace = module.__dict__
        namespace["__file__"] = entry[0]
        namespace["__loader__"] = self
        parent, _, tail = name.rpartition(".")
        if entry[3]:
            namespace["__package__"] = name
            namespace["__path__"] = [entry[0][: entry[0].rindex("/")]]
        else:
            namespace["__package__"] = parent
        sys.modules[name] = module
        try:
            exec(code, namespace)
        except BaseException:
            del sys.modules[name]
            raise
        if parent:
            setattr(sys.modules[parent], tail, module)


def run() -> None:
    """The command: never returns."""
    bundle, checked, entries, extensions, paths = INDEX  # noqa: F821
    importer = BundleImporter(bundle, checked, entries, extensions)
    sys.meta_path.insert(0, importer)
    sys.path += paths
    try:
        importer.preload(FD, "oci_runtime.cli.main")  # noqa: F821
    finally:
        close(FD)  # noqa: F821
    from oci_runtime.cli.main import run_and_exit

    run_and_exit()


disable()  # a command lives for milliseconds: what a garbage collection frees is not worth its time
run()
