"""What --version prints."""

from __future__ import annotations

VERSION = "0.1.0"


def version_text() -> str:
    import sys

    from oci_runtime.spec.default import SPEC_VERSION

    text = f"pyoci version {VERSION}\nspec: {SPEC_VERSION}\npython: {sys.version.split()[0]}\n"
    library = libseccomp_version()
    return f"{text}libseccomp: {library}\n" if library else text


def libseccomp_version() -> str:
    """That of the library which compiles filters here, '' when there is none."""
    try:
        from oci_runtime._libseccomp import lib
    except ImportError:
        return ""
    number: int = lib.pyoci_library_version()
    return f"{number >> 16}.{number >> 8 & 0xFF}.{number & 0xFF}"
