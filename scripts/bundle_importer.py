"""Runs first in a pyoci process: imports oci_runtime from the bundle that make_launcher.py wrote beside the launcher.

An ordinary import of one small module costs about 0.13 ms (stat, listdir, open, and importlib itself), one from here
less than 0.05 ms, and a command needs dozens. Of the modules that a module imports at its top level, those that are not
loaded yet are executed directly, in order, without a round through importlib for each. What a command surely needs lies
in the bundle as one block, and is read with one system call; the table of all modules is read when that did not do.

What the bundle lacks, or holds in another version than the source file of a checkout, is left to the ordinary import,
for which the launcher extends sys.path. The linked program (native/interpreter.c) becomes able to do that only then:
until that import, or the first open(), sys.stdout and sys.stderr are bare (no buffer, no encoding), sys.stdin is None,
sys.path is empty, and sys.prefix and sys.executable are not there.

make_launcher.py compiles this file into the bundle; the launcher executes it as a part of __main__, with `FD`, the open
bundle, and `INDEX`, its table of contents, defined; and `COMPLETE`, which completes the interpreter's initialisation,
if that is not done.
"""

from __future__ import annotations

import builtins
import sys
from _frozen_importlib import BuiltinImporter, ModuleSpec
from _imp import create_builtin, create_dynamic, exec_builtin, exec_dynamic
from fcntl import F_DUPFD_CLOEXEC, fcntl
from gc import disable
from marshal import loads
from posix import close, pread, stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import CodeType, ModuleType
    from typing import Any

    FD: int
    # checked, place of the table of modules, places of the blocks, paths of the extension modules, what sys.path gets;
    # a place is offset and size
    INDEX: tuple[bool, tuple[int, int], dict[str, tuple[int, int]], dict[str, str], tuple[str, ...]]

PREFIX = "oci_runtime"
ModuleClass = type(sys)

# The bundle stays open, out of the way of --preserve-fds and of the numbers that are read in a list of descriptors; in
# any case not as a standard stream that the caller had closed, and that init makes over to the container's user.
FIRST_DESCRIPTOR = 200


class Entry:
    """A module as the bundle has it: `status` is mtime (ns) and size of its source, `needs` what it surely imports."""

    __slots__ = ("code", "is_package", "name", "needs", "path", "status")

    def __init__(self, fields: tuple[Any, ...]) -> None:
        self.name, self.code, self.path, self.is_package, self.needs, self.status = fields


class Extension:
    """Loader of an extension module; importlib's comes with the import from files."""

    __slots__ = ("path",)

    def __init__(self, path: str) -> None:
        self.path = path

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module: ModuleType = create_dynamic(spec)
        module.__file__ = self.path
        return module

    def exec_module(self, module: ModuleType) -> None:
        exec_dynamic(module)


class BundleImporter:
    """Finder and loader (PEP 451) of the modules in the bundle, and of the extension modules by their known paths."""

    __slots__ = ("blocks", "checked", "complete", "extensions", "fd", "paths", "table", "table_place")

    def __init__(
        self,
        fd: int,
        checked: bool,
        table_place: tuple[int, int],
        blocks: dict[str, tuple[int, int]],
        extensions: dict[str, str],
        paths: Sequence[str],
        complete: Callable[[], None] | None,
    ) -> None:
        self.fd = fd
        self.checked = checked
        self.table_place = table_place
        self.table: dict[str, tuple[int, int]] = {}
        self.blocks = blocks
        self.extensions = extensions
        self.paths = paths
        self.complete = complete

    def read(self, place: tuple[int, int]) -> Any:
        return loads(pread(self.fd, place[1], place[0]))

    def place(self, name: str) -> tuple[int, int] | None:
        """Where the module is, if the bundle has it."""
        if not name.startswith(PREFIX):
            return None
        if not self.table:
            self.table = self.read(self.table_place)
        return self.table.get(name)

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> Any:
        spec = self.module_spec(name)
        if spec is None and self.complete and self.is_wanting(name):
            self.initialise()  # for `from package import module`, or a relative import
        return spec

    def extension_spec(self, name: str) -> Any:
        library = self.extensions.get(name)
        if library is None:
            return None
        return ModuleSpec(name, Extension(library), origin=library)  # type: ignore[arg-type]

    def module_spec(self, name: str) -> Any:
        entry = self.entry(name)
        if entry is None:
            return self.extension_spec(name)
        spec = ModuleSpec(name, self, origin=entry.path, is_package=entry.is_package)  # type: ignore[arg-type]
        spec.loader_state = entry
        if entry.is_package:
            spec.submodule_search_locations = [entry.path[: entry.path.rindex("/")]]
        return spec

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        spec = module.__spec__
        assert spec is not None
        entry = spec.loader_state
        module.__file__ = entry.path
        self.preload(entry)
        exec(entry.code, module.__dict__)

    def get_code(self, name: str) -> CodeType | None:
        return None

    def get_source(self, name: str) -> str | None:
        """The source that tracebacks show; None where it is not readable."""
        import io

        entry = self.entry(name)
        if entry is None:
            return None
        try:
            with io.open_code(entry.path) as file:
                return str(file.read(), "utf-8")
        except OSError:
            return None

    def is_package(self, name: str) -> bool:
        entry = self.entry(name)
        return entry is not None and entry.is_package

    def entry(self, name: str) -> Entry | None:
        """The module, unless its source is no longer what was compiled."""
        place = self.place(name)
        if place is None:
            return None
        entry = Entry(self.read(place))
        return entry if self.is_current(entry) else None

    def is_current(self, entry: Entry) -> bool:
        """Whether the source is what was compiled; an installed bundle need not ask."""
        if not self.checked:
            return True
        try:
            status = stat(entry.path)
        except OSError:
            return False
        return bool(entry.status == (status.st_mtime_ns, status.st_size))

    def preload(self, importer: Entry) -> None:
        """Executes what a module is going to import, as far as the bundle has it."""
        for name in importer.needs:
            if name not in sys.modules:
                entry = self.entry(name)
                if entry:
                    self.load(name, entry)

    def load_block(self, name: str) -> None:
        """Loads what lies in the block of a module, up to the first whose source has changed and may import others."""
        for fields in self.read(self.blocks[name]):
            if fields[0] not in sys.modules:
                entry = Entry(fields)
                if not self.is_current(entry):
                    break
                self.load(entry.name, entry)

    def load(self, name: str, entry: Entry) -> None:
        """What importlib does for one module whose parent is loaded, as short as it can be."""
        module = ModuleClass(name)
        namespace = module.__dict__
        namespace["__file__"] = entry.path
        namespace["__loader__"] = self
        parent, _, tail = name.rpartition(".")
        if entry.is_package:
            namespace["__package__"] = name
            namespace["__path__"] = [entry.path[: entry.path.rindex("/")]]
        else:
            namespace["__package__"] = parent
        sys.modules[name] = module
        try:
            exec(entry.code, namespace)
        except BaseException:
            del sys.modules[name]
            raise
        if parent:
            setattr(sys.modules[parent], tail, module)

    def load_whole(self, name: str) -> None:
        """Loads a module that an import inside a function asks for, its parents and what it needs first, so that
        importlib finds it loaded."""
        if name in self.blocks:
            self.load_block(name)
            if name in sys.modules:
                return
        parent = name.rpartition(".")[0]
        if parent and parent not in sys.modules:
            self.load_whole(parent)
        entry = self.entry(name)
        if entry:
            self.preload(entry)
            if name not in sys.modules:
                self.load(name, entry)

    def import_statement(
        self,
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        """builtins.__import__ for one thread: it need not take importlib's locks to load from the bundle."""
        if not level:
            module = sys.modules.get(name)
            if module is None:
                if name in sys.builtin_module_names:
                    load_builtin(name)
                elif name.startswith(PREFIX):
                    self.load_whole(name)
                    module = sys.modules.get(name)
            if fromlist and module is not None and "__path__" in module.__dict__:
                for item in fromlist:
                    submodule = f"{name}.{item}"
                    if submodule not in sys.modules and item not in module.__dict__:
                        self.load_whole(submodule)
            if self.complete and name not in sys.modules and self.is_wanting(name):
                self.initialise()  # before importlib looks for a module that the initialisation imports, too
        return ordinary_import(name, globals, locals, fromlist or (), level)

    def is_wanting(self, name: str) -> bool:
        """Whether a module that is not loaded has to come from a file, or is one of the frozen ones that ask where the
        standard library is. `encodings` is frozen in the program, and asked for in the midst of a codec's lookup."""
        return name not in sys.builtin_module_names and name not in self.extensions and name != "encodings"

    def initialise(self) -> None:
        """Makes the interpreter an ordinary one, which finds modules in files. SystemError if that fails."""
        complete, self.complete = self.complete, None
        assert complete
        try:
            complete()
        except KeyboardInterrupt:  # before it began or when it was done, which it then says
            self.complete = complete
            raise
        sys.path += self.paths

    def open(self, *arguments: Any, **options: Any) -> Any:
        """builtins.open until there is one."""
        from _io import open

        if self.complete:
            self.initialise()
        return open(*arguments, **options)


def load_builtin(name: str) -> None:
    """What importlib's BuiltinImporter does, without asking every finder before."""
    spec = ModuleSpec(name, BuiltinImporter, origin="built-in")  # type: ignore[arg-type]
    module = create_builtin(spec)
    module.__spec__ = spec
    module.__loader__ = BuiltinImporter
    sys.modules[name] = module
    exec_builtin(module)


ordinary_import = builtins.__import__


def run() -> None:
    """The command: never returns."""
    checked, table_place, blocks, extensions, paths = INDEX  # noqa: F821
    fd = FD  # noqa: F821
    complete = globals().get("COMPLETE")
    for first in (FIRST_DESCRIPTOR, 3):
        try:
            fd = fcntl(FD, F_DUPFD_CLOEXEC, first)  # noqa: F821
        except OSError:  # fewer descriptors are allowed
            continue
        close(FD)  # noqa: F821
        break
    importer = BundleImporter(fd, checked, table_place, blocks, extensions, paths, complete)
    sys.meta_path.insert(0, importer)
    if complete:
        builtins.open = importer.open
    else:
        sys.path += paths
    builtins.__import__ = importer.import_statement
    importer.load_whole("oci_runtime.cli.main")
    from oci_runtime.cli.main import run_and_exit

    run_and_exit()


disable()  # a command lives for milliseconds: what a garbage collection frees is not worth its time
run()
