"""A Plan: the ordered operations that init carries out, as pure data.

An operation's code and the meaning of its strings and numbers are those of native/plan.h. Each carries the JSON pointer
of the property in config.json that caused it, so that a failure can name it.
"""

from __future__ import annotations

from _struct import Struct

from oci_runtime._shim import ffi, lib
from oci_runtime.errors import Problem, SpecError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, TypeAlias

    Text: TypeAlias = "str | bytes | Blob | tuple[str, ...] | None"
    Number: TypeAlias = "int | Descriptor"
    Mapping: TypeAlias = "tuple[int, int, int]"


class Descriptor:
    """A descriptor that the runtime must open before the plan can run; `fd` is -1 until it has.

    The kinds are the subclasses below. A plan that is only looked at never opens any.
    """

    __slots__ = ("fd", "pointer")

    def __init__(self, pointer: str) -> None:
        self.pointer = pointer
        self.fd = -1


class Tree(Descriptor):
    """A detached copy of the mount at a path of the host: open_tree(2) with OPEN_TREE_CLONE.

    `id_mapping` is (uidMappings, gidMappings, recursive) of an id-mapped mount, without mappings if they are those of
    the container's user namespace; `must_be_proc` demands a procfs; `is_link`: if the path is that of a symbolic link,
    the link itself is wanted.
    """

    __slots__ = ("id_mapping", "is_link", "must_be_proc", "path", "recursive")

    def __init__(self, path: str, recursive: bool, pointer: str) -> None:
        super().__init__(pointer)
        self.path = path
        self.recursive = recursive
        self.id_mapping: tuple[object, object, bool] | None = None
        self.must_be_proc = False
        self.is_link = False

    def __repr__(self) -> str:
        return f"tree({self.path})"


class Directory(Descriptor):
    """A directory of the host, opened with O_PATH."""

    __slots__ = ("path",)

    def __init__(self, path: str, pointer: str) -> None:
        super().__init__(pointer)
        self.path = path

    def __repr__(self) -> str:
        return f"directory({self.path})"


class Program(Descriptor):
    """init's code, in a file that can be executed: of where the kernel executes no memfd."""

    __slots__ = ("code",)

    def __init__(self, code: bytes) -> None:
        super().__init__("")
        self.code = code


class DeviceNodes(Descriptor):
    """A directory that holds `devices`, made by the runtime for a container that may not.

    `fd` stays -1 where the runtime may not either. `mappings`: uid and gid mappings of the container's user namespace,
    each (id in it, id outside, size), or None as long as they are not known; `label`: the option that labels
    the directory, or ''.
    """

    __slots__ = ("devices", "label", "mappings")

    def __init__(self, label: str, mappings: tuple[list[Mapping], list[Mapping]] | None) -> None:
        super().__init__("")
        self.label = label
        self.mappings = mappings
        self.devices: list[Device] = []

    def __repr__(self) -> str:
        return f"devices({len(self.devices)})"


class Device(Descriptor):
    """One of DeviceNodes, or the mount of the host's at `path` where it could not be made; then `fd` is that.

    `mode` is that of stat(2), with the type; `uid` and `gid` are the container's.
    """

    __slots__ = ("gid", "major", "minor", "mode", "name", "nodes", "path", "uid")

    def __init__(self, nodes: DeviceNodes, path: str, numbers: tuple[int, int, int, int, int], pointer: str) -> None:
        super().__init__(pointer)
        self.nodes = nodes
        self.name = str(len(nodes.devices))
        self.path = path
        self.mode, self.major, self.minor, self.uid, self.gid = numbers
        nodes.devices.append(self)

    def __repr__(self) -> str:
        return f"device({self.path})"


class Socket(Descriptor):
    """A socket that lifecycle/ has at hand: the console socket, or the one that `start` connects to."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        super().__init__("")
        self.name = name

    def __repr__(self) -> str:
        return f"socket({self.name})"


class Output(Descriptor):
    """A file that lifecycle/ has opened, where hooks write to."""

    __slots__ = ("path",)

    def __init__(self, path: str, pointer: str) -> None:
        super().__init__(pointer)
        self.path = path

    def __repr__(self) -> str:
        return f"output({self.path})"


class Blob:
    """Bytes that are only known when the plan is about to run: the compiled seccomp filter."""

    __slots__ = ("data", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.data = b""

    def __repr__(self) -> str:
        return f"blob({self.name})"


class Operation:
    """One operation; `s` and `n` are the strings and numbers that plan.h names s0… and n0…"""

    __slots__ = ("code", "n", "pointer", "s")

    def __init__(self, code: int, pointer: str, s: Sequence[Text], n: Sequence[Number]) -> None:
        self.code = code
        self.pointer = pointer
        self.s = s
        self.n = n


class Plan:
    """The operations in their order, and the descriptors that they need."""

    __slots__ = ("descriptors", "operations")

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self.descriptors: list[Descriptor] = []

    def add(self, code: int, pointer: str = "", s: Sequence[Text] = (), n: Sequence[Number] = ()) -> None:
        self.operations.append(Operation(code, pointer, s, n))

    def needs(self, descriptor: Descriptor) -> None:
        """Registers a descriptor; they are opened in the order of registration."""
        self.descriptors.append(descriptor)

    def after_start(self) -> list[Any]:
        """For the record, JSON values: how many operations init does before `start`, then those that it does later with
        what a failure of them is told with: code, pointer, strings (of a list the first one) and numbers."""
        found: list[Any] = []
        for operation in reversed(self.operations):
            if operation.code == lib.OP_WAIT_START:
                break
            strings = [text[:1] if text.__class__ is tuple else text for text in operation.s]
            strings = [None if text.__class__ in (Blob, bytes) else text for text in strings]
            numbers = [number if number.__class__ is int else -1 for number in operation.n]
            found.append((operation.code, operation.pointer, strings, numbers))
        found.append(len(self.operations) - len(found))
        found.reverse()
        return found

    def encode(self) -> bytes:
        """The plan as plan.h lays it out. Every descriptor must be open.

        Raises SpecError for a string that cannot be given to the kernel.
        """
        layout = Struct("=6I8q")
        header = Struct("=4I")
        head = header.size + layout.size * len(self.operations)
        pool = _Pool(head)
        parts = []
        for operation in self.operations:
            try:
                strings = [pool.put(text) for text in operation.s]
            except UnicodeEncodeError as error:
                problem = Problem(operation.pointer, "a lone surrogate is no character")
                raise SpecError(f"{operation.pointer}: {problem.message}", [problem]) from error
            numbers = [number if number.__class__ is int else _number(number) for number in operation.n]
            strings += [0] * (5 - len(strings))
            numbers += [0] * (8 - len(numbers))
            parts.append(layout.pack(operation.code, *strings, *numbers))
        data = b"".join(parts) + pool.data + b"\0"
        return header.pack(lib.PLAN_MAGIC, len(parts), header.size + len(data), layout.size) + data

    def __str__(self) -> str:
        return "\n".join(describe(operation) for operation in self.operations)


def _number(value: Number) -> int:
    return value.fd if isinstance(value, Descriptor) else int(value)


class _Pool:
    """The strings, laid end to end from offset `base` on."""

    __slots__ = ("base", "data")

    def __init__(self, base: int) -> None:
        self.base = base
        self.data = bytearray()

    def put(self, text: Text) -> int:
        if text is None:
            return 0
        offset = self.base + len(self.data)
        if text.__class__ is str:
            self.data += text.encode("utf-8", "surrogateescape") + b"\0"
        elif isinstance(text, tuple):
            self.data += "\0".join((*text, "")).encode("utf-8", "surrogateescape")
        else:
            data = text.data if isinstance(text, Blob) else text
            # what C reads as numbers or as BPF instructions is aligned
            padding = -offset % 8
            assert isinstance(data, bytes)
            self.data += b"\0" * padding + data + b"\0"
            offset += padding
        return offset


def operation_name(code: int) -> str:
    """OP_MOUNT for its number."""
    names: dict[int, str] = ffi.typeof("enum plan_code").elements
    return names.get(code, f"operation {code}")


def describe(operation: Operation) -> str:
    """One line for a person: `mount /proc (/mounts/0) …`."""
    words = [operation_name(operation.code)[3:].lower()]
    words += [repr(text) for text in operation.s if text is not None]
    words += [hex(n) if isinstance(n, int) and n > 9 else str(n) for n in operation.n]
    if operation.pointer:
        words.append(f"({operation.pointer})")
    line = " ".join(words)
    # paths and pointers are as config.json has them
    return line if line.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)
