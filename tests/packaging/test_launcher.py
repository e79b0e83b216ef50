"""The command that scripts/make_launcher.py writes, as a linked program and as a script."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from interpreter import PYTHON

ROOT = Path(__file__).resolve().parents[2]
KINDS = pytest.mark.parametrize("kind", [(), ("--script",)], ids=["program", "script"])
PRINT = """\
import posix, sys
def run_and_exit():
    print({value})
    sys.stdout.flush()
    posix._exit(0)
"""

# Each must be in the linked program, whose initialisation is half done as it starts, what it is in the ordinary
# interpreter. Those of text encodings are about scripts/startup_encodings.py, which knows only UTF-8 itself.
EXPRESSIONS = (
    "'surrogates \\ud800'.encode('utf-16', 'surrogatepass')",
    "'\\udcff'.encode('utf-8', 'surrogateescape')",
    "open(b'/dev/null', encoding='utf-8').mode",
    "[open('/dev/null').read(), open is __import__('_io').open]",
    "__import__('io').open is open",
    "[__import__(name).__file__ for name in ('os', 'codecs', 'json', 'io')]",
    "__import__('importlib.metadata').metadata.__file__",
    "__import__('xml.dom.minidom').dom.minidom.__file__",
    "__import__('json', fromlist=['decoder']).decoder.__name__",
    "[__import__('os').sep, *__import__('sys').meta_path[-3:]]",
    "__import__('sys').get_int_max_str_digits()",
    "__import__('_signal').getsignal(2)",
    "[__import__('_signal').getsignal(number) for number in (13, 15, 25)]",
    "__import__('posix').readlink(b'/proc/self/exe') and __import__('posix').readlink('/dev/fd')",
    "__import__('warnings').filters",
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
    "__import__('os') and [__import__('sys').executable, __import__('sys').prefix, __import__('sys').stdout.encoding]",
    "[__import__('signal').getsignal(number) for number in (13, 15, 25)]",
    "__import__('signal').getsignal(2).__name__",
)


def make(output: Path, package: Path, *options: str, env: dict[str, str] | None = None) -> Path:
    """Writes the command for the package oci_runtime in `package` to `output`."""
    site = sysconfig.get_path("platlib")
    script = ROOT / "scripts" / "make_launcher.py"
    command = [sys.executable, str(script), *options, "--package", str(package), "--dependencies", site, str(output)]
    subprocess.run(command, check=True, timeout=120, env=env)
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


@pytest.mark.parametrize("option", ["--ruid=1000", "--rgid=1000"])
def test_a_setuid_program_refuses(launchers: dict[tuple[str, ...], Path], option: str) -> None:
    """The kernel ignores these bits of scripts."""
    result = subprocess.run(
        ["setpriv", option, "--keep-groups", launchers[()], "--version"], capture_output=True, text=True
    )
    assert (result.returncode, result.stdout) == (1, "")
    assert "must not be installed setuid or setgid" in result.stderr
    assert output_of(launchers[()], "--version").startswith("pyoci version ")


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_the_program_is_an_ordinary_interpreter(first_wish: Path, expression: str) -> None:
    """Each in a process of its own: the library's encodings are loaded by whatever is the first to ask for them."""
    ordinary = output_of(PYTHON, "-ISX", "utf8", "-c", f"print(repr({expression}))")
    assert output_of(first_wish, expression) == ordinary


def test_the_first_phase_prints_and_has_its_arguments(first_wish: Path) -> None:
    """Byte by byte, and (Python 3.11) without the second phase, which imports io."""
    expression = b"[a.encode('utf-8', 'surrogateescape') for a in sys.argv[2:]], 'io' in sys.modules, '\xe2\x82\xac'"
    done = subprocess.run(
        [first_wish, expression, b"\xff\xe2\x82\xac", b""], stdin=subprocess.DEVNULL, capture_output=True, timeout=60
    )
    deferred = sys.version_info < (3, 12)
    expected = f"([b'\\xff\\xe2\\x82\\xac', b''], {not deferred}, '\u20ac')\n"
    assert (done.stdout.decode(), done.stderr) == (expected, b"")


@pytest.mark.parametrize("whole", ["sys", "os"])
def test_file_names_are_bytes_in_either_phase(first_wish: Path, tmp_path: Path, whole: str) -> None:
    name = os.fsdecode(b"\xff\xc3\xa4")
    (tmp_path / name).mkdir()
    (tmp_path / "link").symlink_to(name)
    expression = (
        f"(__import__({whole!r}), posix.listdir('.'), posix.readlink('link'), posix.stat(sys.argv[2]).st_ino,"
        " [entry.path for entry in posix.scandir(b'.')])[1:]"
    )
    inode = (tmp_path / name).stat().st_ino
    shown = ast.literal_eval(output_of(first_wish, expression, name, cwd=tmp_path))
    assert set(shown[0]) == {name, "link"}
    assert shown[1:3] == (name, inode)
    assert set(shown[3]) == {b"./\xff\xc3\xa4", b"./link"}


def test_the_second_phase_is_isolated_too(first_wish: Path, tmp_path: Path) -> None:
    for module in ("io", "abc", "os", "codecs", "encodings", "json", "site", "sitecustomize", "warnings"):
        (tmp_path / f"{module}.py").write_text("raise SystemExit('not isolated')")
    (tmp_path / "pyvenv.cfg").write_text(f"home = {tmp_path}\n")
    names = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONINSPECT", "PYTHONIOENCODING", "PYTHONUSERBASE")
    output = output_of(
        first_wish,
        "__import__('json').loads('1'), sys.prefix, sys.stdout.encoding",
        env={**{name: str(tmp_path) for name in names}, "PYTHONIOENCODING": "latin-1", "PYTHONVERBOSE": "1"},
        cwd=tmp_path,
    )
    ordinary = output_of(PYTHON, "-ISX", "utf8", "-c", "import sys; print(sys.prefix)")
    assert output == f"(1, {ordinary.strip()!r}, 'utf-8')\n"


def test_a_signal_is_not_lost_by_the_second_phase(first_wish: Path) -> None:
    """SIGINT waits while it is blocked; what is to become of SIGPIPE stays; so does the mask."""
    expression = (
        "(s := __import__('_signal'), s.signal(13, 0), s.pthread_sigmask(0, [2, 15]), posix.kill(posix.getpid(), 2),"
        " __import__('os'), print([str(s.pthread_sigmask(0, [])), s.sigpending(), s.getsignal(13),"
        " [int(line.split()[1], 16) >> 12 & 0x1001 for line in open('/proc/self/status') if line[:6] == 'SigIgn']]),"
        " sys.stdout.flush(),"
        " s.pthread_sigmask(1, [2]), print('lost'))"
    )
    result = subprocess.run(
        [first_wish, expression], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
    )
    sigxfsz_alone = 0x1000  # of it and SIGPIPE, from which it is 12 numbers away
    assert result.stdout == f"['{{2, 15}}', {{2}}, 0, [{sigxfsz_alone}]]\n"
    assert result.stderr.endswith("\nKeyboardInterrupt\n")


@pytest.mark.parametrize("whole", ["sys", "os"])
@pytest.mark.parametrize(
    ("raised", "status", "said"),
    [
        ("SystemExit(7)", 7, ""),
        ("SystemExit('what for')", 1, "what for\n"),
        ("ValueError('\u20ac')", 1, "ValueError: \u20ac\n"),
        ("KeyboardInterrupt", 1, "KeyboardInterrupt\n"),
    ],
)
def test_what_is_not_caught_is_printed(first_wish: Path, whole: str, raised: str, status: int, said: str) -> None:
    expression = f"(__import__({whole!r}), (_ for _ in ()).throw({raised}))"
    result = subprocess.run(
        [first_wish, expression], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
    )
    assert (result.returncode, result.stdout) == (status, "")
    assert result.stderr.endswith(said)
    assert result.stderr.startswith("Traceback") == (not raised.startswith("SystemExit"))


def test_an_exception_that_nobody_can_catch_is_printed(first_wish: Path) -> None:
    """As of __del__, when sys.stderr is not yet an ordinary file."""
    expression = "type('Thing', (), {'__del__': lambda self: 1 / 0})() and None"
    result = subprocess.run(
        [first_wish, expression], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
    )
    assert (result.returncode, result.stdout) == (0, "None\n")
    assert "ZeroDivisionError" in result.stderr


def test_a_changed_submodule_is_imported_from_its_source(tmp_path: Path) -> None:
    """`from package import module` of a bundle that has the package only."""
    main = "import sys, posix\ndef run_and_exit():\n    from oci_runtime.cli import log\n    print(log.EDITED)\n"
    package = package_that(tmp_path, main + "    sys.stdout.flush()\n    posix._exit(0)\n")
    launcher = make(tmp_path / "bin" / "pyoci", package, "--checked")
    (package / "oci_runtime" / "cli" / "log.py").write_text("EDITED = 'edited'\n")
    assert output_of(launcher) == "edited\n"


def test_a_directory_as_standard_input(tmp_path: Path) -> None:
    """Python takes none; a runtime only passes it on. With a second phase and without."""
    main = "import posix, sys\ndef run_and_exit():\n    import json\n"
    main += "    print(json.loads('1'), posix.listdir(0) == posix.listdir('/'))\n"
    program = make(tmp_path / "program", package_that(tmp_path, main + "    sys.stdout.flush()\n    posix._exit(0)\n"))
    launcher = make(tmp_path / "pyoci", ROOT)
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "config.json").write_text('{"ociVersion": 1}')
    descriptor = os.open("/", os.O_RDONLY)
    try:
        for arguments, status in ((["--version"], 0), (["run", "-b", bundle, "x"], 1)):
            done = subprocess.run(
                [launcher, "--root", tmp_path / "root", *arguments],
                stdin=descriptor,
                capture_output=True,
                text=True,
                timeout=60,
            )
            assert done.returncode == status, done.stderr
            assert "Fatal" not in done.stderr
            assert "Traceback" not in done.stderr
            assert ("/ociVersion is 1: must be a string" in done.stderr) == bool(status)
        done = subprocess.run([program], stdin=descriptor, capture_output=True, text=True, timeout=60)
        assert (done.stdout, done.stderr) == ("1 True\n", "")
    finally:
        os.close(descriptor)


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="this interpreter is initialised before it does anything")
def test_a_failing_second_phase_is_an_ordinary_error(tmp_path: Path) -> None:
    """Here for want of a descriptor."""
    main = "import posix\ndef run_and_exit():\n    taken = []\n    try:\n        while True:\n"
    main += "            taken.append(posix.dup(2))\n    except OSError:\n        pass\n    try:\n        import json\n"
    main += "    except SystemError as error:\n        posix.write(1, str(error).encode())\n    posix._exit(0)\n"
    program = make(tmp_path / "program", package_that(tmp_path, main))
    done = subprocess.run([program], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert "Fatal" not in done.stderr
    assert done.stdout == "the interpreter cannot be initialised: error evaluating path"


def test_a_library_without_deferral_links(tmp_path: Path) -> None:
    """The internal function of the library that it takes may be missing."""
    environment = {**os.environ, "CC": "gcc -D_PySignal_Init=_Py_no_such_function"}
    package = package_that(
        tmp_path, PRINT.format(value="sys.stdin.fileno(), 'COMPLETE' in dir(sys.modules['__main__'])")
    )
    launcher = make(tmp_path / "pyoci", package, env=environment)
    assert launcher.read_bytes().startswith(b"\x7fELF")
    assert output_of(launcher) == "0 False\n"


@pytest.fixture(scope="session")
def launchers(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, ...], Path]:
    """The command as a program and as a script."""
    folder = tmp_path_factory.mktemp("launchers")
    return {kind: make(folder / (kind[0] if kind else "program"), ROOT, *kind) for kind in ((), ("--script",))}


@pytest.fixture(scope="session")
def first_wish(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program that evaluates its argument."""
    folder = tmp_path_factory.mktemp("wish")
    main = PRINT.format(value="repr(eval(sys.argv[1]))")
    return make(folder / "pyoci", package_that(folder, main))
