"""What the machine refuses where nobody has expected it: no descriptor, memory or space, a disk that cannot be read.

It can happen at every system call, also at those of the interpreter, and is no error of ours.
"""

from __future__ import annotations

from errno import EMFILE, ENFILE

_PACKAGE = "oci_runtime"


def refusal(error: Exception) -> str:
    """What to tell of it; "" for an error that comes from somewhere else."""
    if isinstance(error, MemoryError):
        return "out of memory"
    if _is_out_of_descriptors(error):
        return "too many open files: pyoci needs more than it may have (ulimit -n)"
    text = " ".join(str(error).split())
    if isinstance(error, ImportError):  # of a module of ours that is not there, the installation is to be told
        return f"cannot load {error.name}: {text}" if error.name and error.name.partition(".")[0] != _PACKAGE else ""
    if isinstance(error, SystemError) and text.startswith("the interpreter cannot be initialised"):
        return text  # of native/interpreter.c
    if not isinstance(error, OSError):
        return ""
    what = error.strerror or text or type(error).__name__  # cffi's have a text only
    if error.filename is None:
        return f"a system call failed: {what}" if error.strerror else what
    return f"{_name(error.filename)}: {what}"


def _is_out_of_descriptors(error: Exception) -> bool:
    """Of a module that cannot be loaded there are only words, and an errno where ld.so finds no words either."""
    if isinstance(error, OSError):
        return error.errno in (EMFILE, ENFILE)
    text = str(error)
    return isinstance(error, ImportError) and ("Too many open files" in text or f"Error {EMFILE}" in text)


def _name(file: object) -> str:
    """A path, or a descriptor's number."""
    return file.decode("utf-8", "replace") if isinstance(file, bytes) else str(file)
