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
# Built-in modules whose function is not PyInit_NAME, or that have none.
INIT_FUNCTIONS = {"builtins": "NULL", "sys": "NULL", "marshal": "PyMarshal_Init", "_warnings": "_PyWarnings_Init"}
# What needs an archive of the interpreter's build tree that a distribution may not ship: Debian's Python 3.13 does not.
# Without _sha2, hashlib and random take SHA-2 from OpenSSL.
LEFT_OUT = {"libHacl_Hash_SHA2.a": "_sha2"}
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


def libraries() -> tuple[list[str], set[str]]:
    """What the interpreter's built-in modules need, statically where that can be had, to load less; and the modules to
    leave out since theirs is not installed. Raises Unavailable if one that is needed is not."""
    flags: list[str] = []
    missing: set[str] = set()
    variables = (sysconfig.get_config_var(name) or "" for name in ("MODLIBS", "LIBS", "SYSLIBS"))
    for flag in dict.fromkeys(" ".join(variables).split()):
        if flag.endswith(".a"):
            archive = Path(sysconfig.get_config_var("LIBPL") or "", Path(flag).name)
            if archive.is_file():
                flags.append(str(archive))
            elif archive.name in LEFT_OUT:
                missing.add(LEFT_OUT[archive.name])
            else:
                raise Unavailable(f"{archive.name}, which this interpreter's static library needs, is not installed")
        elif flag in ("-lz", "-lexpat") and has_archive(flag):
            flags += ["-Wl,--push-state,-Bstatic", flag, "-Wl,--pop-state"]
        else:
            flags.append(flag)
    return flags, missing


def built_in_modules(missing: set[str]) -> str:
    """The table of built-in modules (PyImport_Inittab), which takes the place of the library's own."""
    functions = {
        name: INIT_FUNCTIONS.get(name, f"PyInit_{name}") for name in sys.builtin_module_names if name not in missing
    }
    declarations = "".join(f"extern PyObject *{name}(void);\n" for name in functions.values() if name != "NULL")
    rows = "".join(f'    {{"{name}", {function}}},\n' for name, function in functions.items())
    return f"{declarations}struct _inittab _PyImport_Inittab[] = {{\n{rows}    {{NULL, NULL}},\n}};\n"


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


def header(interpreter: str, bundle: str, head: Place, encodings: bytes, missing: set[str]) -> str:
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
        f"{built_in_modules(missing)}"
    )


def build(interpreter: str, bundle: str, head: Place, encodings: bytes) -> bytes:
    """The program. Raises Unavailable where it cannot be made."""
    archive = static_library()
    flags, missing = libraries()
    with tempfile.TemporaryDirectory(prefix="pyoci-interpreter-") as folder:
        Path(folder, "launcher.h").write_text(header(interpreter, bundle, head, encodings, missing))
        output = Path(folder, "pyoci")
        includes = [f"-I{folder}", f"-I{sysconfig.get_path('include')}", f"-I{sysconfig.get_path('platinclude')}"]
        sources = [str(HERE / "interpreter.c"), str(archive)]
        command = [*compiler(), *FLAGS.split(), *includes, "-o", str(output), *sources, *flags, *LINK.split()]
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            raise Unavailable(f"it does not link: {done.stderr.strip()}")
        return output.read_bytes()
