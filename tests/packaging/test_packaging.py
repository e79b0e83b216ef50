"""What is shipped works where it is put: the installed tree, the wheel and the source archive."""

from __future__ import annotations

import stat
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from interpreter import PYTHON

from bench.bundles import Bundle
from scripts.requirements import load

ROOT = Path(__file__).resolve().parents[2]
EXTENSIONS = ("_shim.abi3.so", "_libseccomp.abi3.so", "_libsystemd.py")
PIP = ["-m", "pip", "-q", "--disable-pip-version-check"]


def run(*command: object, **options: object) -> str:
    """Standard output of a command that must succeed."""
    words = [str(word) for word in command]
    result = subprocess.run(
        words,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        **options,  # type: ignore[call-overload]
    )
    assert result.returncode == 0, f"{words}: {result.stdout}{result.stderr}"
    return str(result.stdout)


def runs_a_container(pyoci: Path, bundle: Bundle, state_root: Path, name: str) -> None:
    bundle.configure(name, ["/bin/echo", "hello from inside"])
    output = run(pyoci, "--root", state_root, "run", "--bundle", bundle.path, name, cwd="/", env={})
    assert output == "hello from inside\n"


def copy_of_the_sources(folder: Path) -> Path:
    """The checkout without what was built, so that a build here neither uses nor disturbs it."""
    copy = folder / "sources"
    copy.mkdir()
    names = ("Makefile", "MANIFEST.in", "LICENSE", "README.md", "pyproject.toml", "setup.py")
    folders = ("oci_runtime", "native", "schemas", "scripts", "bench", "tests", "docs", "conformance")
    present = [name for name in (*names, *folders) if (ROOT / name).exists()]
    built = (
        "*.so",
        "*.o",
        "__pycache__",
        "oci_runtime/_*.c",
        "oci_runtime/_libsystemd.py",
        "oci_runtime/init",
        "oci_runtime/schemas",
        "oci_runtime/spec/_checker.py",
    )
    excluded = [f"--exclude={pattern}" for pattern in built]
    run("tar", "-C", ROOT, "-cf", folder / "sources.tar", *excluded, *present)
    run("tar", "-C", copy, "-xf", folder / "sources.tar")
    return copy


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the source archive as pip does for somebody without a wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = copy_of_the_sources(folder)
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder / "dist", copy)
    (found,) = (folder / "dist").glob("*.whl")
    return found


def test_the_wheel_holds_all_that_is_built(wheel: Path) -> None:
    assert "-cp310-abi3-linux_" in wheel.name
    with zipfile.ZipFile(wheel) as archive:
        members = {info.filename: info for info in archive.infolist()}
    for name in (*EXTENSIONS, "init", "spec/_checker.py", "schemas/config.schema.json"):
        assert f"oci_runtime/{name}" in members
    assert members["oci_runtime/init"].external_attr >> 16 & 0o111 == 0o111
    assert not [name for name in members if name.startswith(("tests/", "bench/", "scripts/", "native/"))]


def test_the_source_archive_holds_nothing_built(wheel: Path) -> None:
    (archive,) = wheel.parent.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        names = {name.partition("/")[2] for name in tar.getnames()}
    assert {"setup.py", "native/plan.h", "native/init/init.c", "schemas/generate_checker.py", "LICENSE"} <= names
    assert not [
        name for name in names if name.endswith((".so", ".o", "oci_runtime/init", "/_checker.py", "/_libsystemd.py"))
    ]


def test_the_installed_wheel_runs_a_container(
    wheel: Path, tmp_path: Path, minimal_bundle: Bundle, state_root: Path
) -> None:
    venv = tmp_path / "venv"
    run(PYTHON, "-m", "venv", venv)
    run(venv / "bin" / "python", *PIP, "install", wheel)
    assert run(venv / "bin" / "pyoci", "--version", cwd="/", env={}).startswith("pyoci version ")
    runs_a_container(venv / "bin" / "pyoci", minimal_bundle, state_root, "from-wheel")
    link = tmp_path / "runc"
    link.symlink_to(venv / "bin" / "pyoci")
    assert run(link, "--version").startswith("pyoci version ")
    # The module is the slow way in, and the one that does not depend on where scripts are.
    assert run(venv / "bin" / "python", "-m", "oci_runtime", "--version").startswith("pyoci version ")


def test_make_install(tmp_path: Path, minimal_bundle: Bundle, state_root: Path) -> None:
    prefix = tmp_path / "prefix"
    arguments = ("make", "-s", "-C", ROOT, f"PREFIX={prefix}", "DESTDIR=", "install")
    run(*arguments)
    pyoci = prefix / "bin" / "pyoci"
    runs_a_container(pyoci, minimal_bundle, state_root, "installed")
    for path in (pyoci, *(prefix / "lib" / "pyoci").glob("*.bundle")):
        assert str(ROOT).encode() not in path.read_bytes()
    run(*arguments[:-1], "uninstall")
    assert not [path for path in prefix.rglob("*") if not path.is_dir()]


def test_make_install_into_a_staging_folder(tmp_path: Path) -> None:
    run("make", "-s", "-C", ROOT, "PREFIX=/opt/there", f"DESTDIR={tmp_path}", "install")
    launcher = tmp_path / "opt/there/bin/pyoci"
    assert stat.S_IMODE(launcher.stat().st_mode) == 0o755
    assert b"/opt/there/lib/pyoci/pyoci-" in launcher.read_bytes()
    for path in (launcher, *(tmp_path / "opt/there/lib/pyoci").glob("*.bundle")):
        assert str(tmp_path).encode() not in path.read_bytes()


def test_the_version_is_said_once() -> None:
    project = load(ROOT / "pyproject.toml")["project"]
    from oci_runtime.cli.version import VERSION

    assert project["version"] == VERSION


def test_the_demonstration_works(pyoci: Path) -> None:
    assert "every trial was refused" in run(sys.executable, ROOT / "scripts" / "demo.py", pyoci)
