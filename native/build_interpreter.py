"""Links native/interpreter.c with this interpreter's static library to the command pyoci."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
OLDEST = (3, 11)  # before, an embedder's frozen modules replaced the interpreter's own
FLAGS = "-std=gnu11 -O2 -Wall -Wextra -Werror -Wno-missing-field-initializers -fno-pie -no-pie -s"
# Extension modules look for its symbols.
LINK = "-Wl,--export-dynamic -Wl,-O1 -Wl,-z,now"


class Place(NamedTuple):
    """Where something is in a file, in bytes."""

    offset: int
    size: int


class Unavailable(Exception):
    """This interpreter cannot be linked statically."""


def static_library() -> Path:
    """The interpreter as an archive. Raises Unavailable where there is none, or it is too old."""
    if sys.version_info < OLDEST:
        raise Unavailable(f"Python {sys.version_info[0]}.{sys.version_info[1]} is older than 3.11")
    archive = f"libpython{sysconfig.get_config_var('LDVERSION')}.a"
    path = Path(sysconfig.get_config_var("LIBPL") or "", archive)
    if not path.is_file():
        raise Unavailable(f"{archive} is not installed (Debian: package libpython3-dev)")
    return path


def libraries() -> list[str]:
    """What the interpreter's built-in modules need; statically where that can be had, to load less.

    Raises Unavailable if something is not installed.
    """
    result = []
    variables = (sysconfig.get_config_var(name) or "" for name in ("MODLIBS", "LIBS", "SYSLIBS"))
    for flag in dict.fromkeys(" ".join(variables).split()):
        if flag.endswith(".a"):
            result.append(str(built_in_archive(flag)))
            continue
        static = flag in ("-lz", "-lexpat")
        result += ["-Wl,--push-state,-Bstatic", flag, "-Wl,--pop-state"] if static and has_archive(flag) else [flag]
    return result


def built_in_archive(path: str) -> Path:
    """An archive of the interpreter's own build tree, as it was installed. Raises Unavailable if it was not.

    Debian's Python 3.13 names one, of the hash functions that _sha2 is made of, and does not ship it.
    """
    installed = Path(sysconfig.get_config_var("LIBPL") or "", Path(path).name)
    if not installed.is_file():
        raise Unavailable(f"{Path(path).name}, which this interpreter's static library needs, is not installed")
    return installed


def has_archive(flag: str) -> bool:
    name = f"lib{flag[2:]}.a"
    answer = subprocess.run([*compiler(), f"-print-file-name={name}"], capture_output=True, text=True, check=True)
    return answer.stdout.strip() != name


def compiler() -> list[str]:
    return shlex.split(os.environ.get("CC", "gcc"))


def c_string(text: str) -> str:
    """A C literal: every byte that is not plain as three octal digits."""
    return (
        '"' + "".join(chr(b) if 32 <= b < 127 and b not in b'"\\?' else f"\\{b:03o}" for b in os.fsencode(text)) + '"'
    )


def header(interpreter: str, bundle: str, head: Place, encodings: bytes) -> str:
    """launcher.h, as interpreter.c describes it."""
    if not interpreter.isascii():
        raise Unavailable(f"the path of the interpreter is not ASCII: {interpreter}")
    data = ",".join(map(str, encodings))
    return (
        f"#define INTERPRETER L{c_string(interpreter)}\n"
        f"#define BUNDLE {c_string(bundle)}\n"
        f"#define HEAD_OFFSET {head.offset}\n"
        f"#define HEAD_SIZE {head.size}\n"
        f"static const unsigned char ENCODINGS[] = {{{data}}};\n"
    )


def build(interpreter: str, bundle: str, head: Place, encodings: bytes) -> bytes:
    """The program. Raises Unavailable where it cannot be made, CalledProcessError if the compiler fails."""
    archive = static_library()
    with tempfile.TemporaryDirectory(prefix="pyoci-interpreter-") as folder:
        Path(folder, "launcher.h").write_text(header(interpreter, bundle, head, encodings))
        output = Path(folder, "pyoci")
        includes = [f"-I{folder}", f"-I{sysconfig.get_path('include')}", f"-I{sysconfig.get_path('platinclude')}"]
        sources = [str(HERE / "interpreter.c"), str(archive)]
        command = [*compiler(), *FLAGS.split(), *includes, "-o", str(output), *sources, *libraries(), *LINK.split()]
        subprocess.run(command, check=True)
        return output.read_bytes()
