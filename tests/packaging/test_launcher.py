"""The command that scripts/make_launcher.py writes, as a linked program and as a script."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SYSTEM_PYTHON = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
KINDS = pytest.mark.parametrize("kind", [(), ("--script",)], ids=["program", "script"])
PRINT = """\
import posix, sys
def run_and_exit():
    print({value})
    sys.stdout.flush()
    posix._exit(0)
"""

# Each must be in the linked program what it is in the ordinary interpreter. Those of text encodings are about
# scripts/startup_encodings.py, which knows only UTF-8 itself.
EXPRESSIONS = (
    "'\u00e4'.encode('latin-1')",
    "b'\\xff\\xfe\\xe4\\0'.decode('utf-16')",
    "'b\u00fccher.example'.encode('idna')",
    "__import__('codecs').lookup('UTF8').name",
    "__import__('codecs').lookup('utf-8')._is_text_encoding",
    "__import__('codecs').getreader('utf-8')(__import__('io').BytesIO(b'\\xc3\\xa4')).read()",
    "__import__('codecs').getwriter('utf-8').__name__",
    "(d := __import__('codecs').getincrementaldecoder('utf-8')(), d.decode(b'\\xe2\\x82'), d.getstate())[1:]",
    "(d := __import__('codecs').getincrementaldecoder('utf-8')(), d.decode(b'\\xe2'), d.decode(b'\\x82\\xac'))[1:]",
    "__import__('codecs').getincrementalencoder('utf-8')().encode('\u20ac')",
    "set(__import__('io').TextIOWrapper(__import__('io').BytesIO('\u20ac'.encode() * 9000), 'utf-8').read(9000))",
    "__import__('encodings').normalize_encoding('a-b c')",
    "__import__('encodings.aliases').aliases.aliases['l1']",
    "__import__('encodings.utf_8', fromlist=['x']).getregentry().name",
    "hasattr(__import__('encodings'), 'no_such_thing')",
    "__import__('locale').getpreferredencoding(False)",
    "__import__('json').loads('{\"a\": \"\\\\u20ac\"}')",
    "[__import__('sys').flags.isolated, __import__('sys').flags.no_site, __import__('sys').flags.utf8_mode]",
    "[__import__('sys').executable, __import__('sys').prefix, __import__('sys').stdout.encoding]",
    "[__import__('signal').getsignal(number) for number in (13, 15, 25)]",
    "__import__('signal').getsignal(2).__name__",
)


def make(output: Path, package: Path, *options: str) -> Path:
    """Writes the command for the package oci_runtime in `package` to `output`."""
    site = sysconfig.get_path("platlib")
    script = ROOT / "scripts" / "make_launcher.py"
    command = [sys.executable, str(script), *options, "--package", str(package), "--dependencies", site, str(output)]
    subprocess.run(command, check=True, timeout=120)
    return output


def package_that(folder: Path, main: str) -> Path:
    """A copy of the package in `folder` whose cli/main.py is `main`."""
    subprocess.run(["cp", "-r", ROOT / "oci_runtime", folder / "oci_runtime"], check=True)
    (folder / "oci_runtime" / "cli" / "main.py").write_text(main)
    return folder


def output_of(*command: object, **options: object) -> str:
    result = subprocess.run(
        [str(word) for word in command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        **options,  # type: ignore[call-overload]
    )
    assert (result.returncode, result.stderr) == (0, "")
    return str(result.stdout)


def test_make_build_links_a_program() -> None:
    """Where the interpreter can be linked: python3-dev, which the build installs, brings its library."""
    assert (ROOT / "build" / "pyoci").read_bytes().startswith(b"\x7fELF")


@KINDS
@pytest.mark.parametrize("name", ["PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONINSPECT", "PYTHONVERBOSE"])
def test_the_environment_is_ignored(
    launchers: dict[tuple[str, ...], Path], tmp_path: Path, kind: tuple[str, ...], name: str
) -> None:
    for module in ("posix", "oci_runtime", "sitecustomize", "encodings"):
        (tmp_path / f"{module}.py").write_text("raise SystemExit('not isolated')")
    assert output_of(launchers[kind], "--version", env={name: str(tmp_path)}, cwd=tmp_path).startswith("pyoci version ")


@KINDS
def test_a_changed_module_is_imported_from_its_source(tmp_path: Path, kind: tuple[str, ...]) -> None:
    """A checkout's bundle must not hide an edit."""
    package = tmp_path / "oci_runtime"
    subprocess.run(["cp", "-r", ROOT / "oci_runtime", package], check=True)
    launcher = make(tmp_path / "bin" / "pyoci", tmp_path, "--checked", *kind)
    assert output_of(launcher, "--version").startswith("pyoci version ")
    main = package / "cli" / "main.py"
    main.write_text(PRINT.format(value="'edited'"))
    assert output_of(launcher, "--version") == "edited\n"
    main.unlink()
    result = subprocess.run([launcher, "--version"], capture_output=True, text=True)
    assert result.returncode == 1
    assert "No module named 'oci_runtime.cli.main'" in result.stderr


@KINDS
def test_a_traceback_through_the_bundle_shows_the_source(tmp_path: Path, kind: tuple[str, ...]) -> None:
    package = package_that(tmp_path, "def run_and_exit():\n    raise ValueError('boom')  # here\n")
    launcher = make(tmp_path / "pyoci", package, *kind)
    result = subprocess.run([launcher], capture_output=True, text=True)
    assert result.returncode == 1
    assert f'File "{package}/oci_runtime/cli/main.py", line 2, in run_and_exit' in result.stderr
    assert "raise ValueError('boom')  # here" in result.stderr


@KINDS
def test_a_bundle_that_is_gone_is_said(tmp_path: Path, kind: tuple[str, ...]) -> None:
    launcher = make(tmp_path / "pyoci", ROOT, *kind)
    for bundle in tmp_path.glob("*.bundle"):
        bundle.unlink()
    result = subprocess.run([launcher, "--version"], capture_output=True, text=True)
    assert result.returncode == 1
    assert "pyoci-" in result.stderr
    assert "No such file or directory" in result.stderr


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_the_program_is_an_ordinary_interpreter(first_wish: Path, expression: str) -> None:
    """Each in a process of its own: the library's encodings are loaded by whatever is the first to ask for them."""
    ordinary = output_of(SYSTEM_PYTHON, "-ISX", "utf8", "-c", f"print(repr({expression}))")
    assert output_of(first_wish, expression) == ordinary


@pytest.fixture(scope="session")
def launchers(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, ...], Path]:
    """The command as a program and as a script."""
    folder = tmp_path_factory.mktemp("launchers")
    return {kind: make(folder / (kind[0] if kind else "program"), ROOT, *kind) for kind in ((), ("--script",))}


@pytest.fixture(scope="session")
def first_wish(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program that evaluates its argument."""
    folder = tmp_path_factory.mktemp("wish")
    main = PRINT.format(value="repr(eval(__import__('sys').argv[1]))")
    return make(folder / "pyoci", package_that(folder, main))
