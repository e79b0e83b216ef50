"""The latency budget, counted rather than timed: what each lifecycle command imports when all goes well."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from interpreter import PYTHON

if TYPE_CHECKING:
    from containers import Bundle, Pyoci

# Built into the interpreter, or loaded by it before the first line of ours; _cffi_backend and _json are shared objects.
# Debian's interpreter has _blake2, _socket, _struct, fcntl and select built in; elsewhere they are shared objects, too.
ALLOWED = set(sys.builtin_module_names) | {
    "_blake2",
    "_socket",
    "_struct",
    "fcntl",
    "select",
    "__future__",  # by a module that was edited since the bundle was made
    "__main__",
    "_cffi_backend",
    "_frozen_importlib",
    "_frozen_importlib_external",
    "_json",
    "abc",
    "codecs",
    "encodings",
    "encodings.aliases",
    "encodings.utf_8",
    "io",
    "zipimport",
}

# Runs the launcher's own code, and at its end writes down what is loaded.
WATCHED = """
import posix, sys
launcher, report = sys.argv[1:3]
del sys.argv[1:3]
sys.argv[0] = launcher
end = posix._exit
def write_down(code):
    fd = posix.open(report, posix.O_WRONLY | posix.O_CREAT | posix.O_TRUNC)
    posix.write(fd, " ".join(sys.modules).encode())
    end(code)
posix._exit = write_down
with open(launcher) as file:
    source = file.read()
exec(compile(source, launcher, "exec"))
"""

# Writes down the peak of a command's resident memory, in KiB.
MEASURED = """
import os, sys
pid = os.spawnv(os.P_NOWAIT, sys.argv[2], sys.argv[2:])
_, status, usage = os.wait4(pid, 0)
with open(sys.argv[1], "w") as file:
    file.write(str(usage.ru_maxrss))
sys.exit(status != 0)
"""


@pytest.fixture(scope="session")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command as a script, into which Python can look: the program has the same importer and modules."""
    root = Path(__file__).resolve().parents[3]
    output = tmp_path_factory.mktemp("script") / "pyoci"
    options = ["--script", "--checked", "--package", str(root), "--dependencies", sysconfig.get_path("platlib")]
    command = [sys.executable, str(root / "scripts" / "make_launcher.py"), *options, str(output)]
    subprocess.run(command, check=True, timeout=120)
    return output


@pytest.fixture
def imports_of(pyoci: Pyoci, directory: Path, script: Path) -> object:
    """Runs a command and gives the names of the modules that it loaded."""

    def run(*arguments: str) -> set[str]:
        report = directory / "modules"
        report.unlink(missing_ok=True)
        watched = directory / "watched.py"  # no -c, whose source Python 3.13 gives to linecache
        watched.write_text(WATCHED)
        argv = [PYTHON, "-I", "-S", str(watched), str(script), str(report)]
        argv += pyoci.command(*arguments)[1:]
        # no pipe, which a container that goes on would keep open
        with open(directory / "errors", "w+") as errors:
            quiet = subprocess.DEVNULL
            done = subprocess.run(argv, stdin=quiet, stdout=quiet, stderr=errors, timeout=120)
            errors.seek(0)
            assert done.returncode == 0, errors.read()
        return set(report.read_text().split())

    return run


def heavy(modules: set[str]) -> set[str]:
    return {name for name in modules if name not in ALLOWED and not name.startswith("oci_runtime")}


def test_lifecycle_commands_import_nothing_heavy(imports_of: object, pyoci: Pyoci, bundle: Bundle) -> None:
    assert callable(imports_of)
    bundle.args("sleep", "1000").save()
    path = ["--bundle", str(bundle.path)]
    for command in (
        ["create", *path, "one"],
        ["state", "one"],
        ["start", "one"],
        ["exec", "--detach", "one", "true"],
        ["list", "--quiet"],
        ["pause", "one"],
        ["resume", "one"],
        ["kill", "one", "KILL"],
        ["delete", "--force", "one"],
        ["run", "--detach", *path, "two"],
        ["delete", "--force", "two"],
    ):
        assert not heavy(imports_of(*command)), command


def test_a_seccomp_profile_that_is_cached_does_not_load_libseccomp(
    imports_of: object, pyoci: Pyoci, bundle: Bundle
) -> None:
    assert callable(imports_of)
    bundle.args("true").linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"]}
    bundle.save()
    first = imports_of("run", "--bundle", str(bundle.path), "first")
    second = imports_of("run", "--bundle", str(bundle.path), "second")
    assert "oci_runtime._libseccomp" in first
    assert "oci_runtime._libseccomp" not in second
    assert not heavy(second)


def test_state_gets_by_without_the_shim(imports_of: object, pyoci: Pyoci, bundle: Bundle) -> None:
    """Two shared objects less to load for what engines call most."""
    assert callable(imports_of)
    bundle.args("sleep", "1000").save()
    container = pyoci.run_detached(bundle)
    assert "oci_runtime._shim" not in imports_of("state", container.id)


def test_an_error_may_import_what_it_needs(pyoci: Pyoci, bundle: Bundle) -> None:
    """The counterpart: the judge is asked only when the doorman says no."""
    bundle.config["process"]["args"] = "true"
    result = pyoci.run(bundle, check=False)
    assert result.code == 1
    assert "/process/args" in result.err


def test_the_waiting_init_is_small(pyoci: Pyoci, bundle: Bundle) -> None:
    container = pyoci.create(bundle.args("true"))
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{container.pid}/status").read_text().splitlines())
    kilobytes = int(fields["VmRSS"].split()[0])
    assert kilobytes < 300, fields["VmRSS"]


@pytest.mark.parametrize("command", ["create", "run"])
def test_peak_memory_of_the_runtime(pyoci: Pyoci, bundle: Bundle, directory: Path, command: str) -> None:
    """runc's is 14.7 MiB (shared/architecture.md's kind of machine); ours is to stay below."""
    bundle.config = json.loads((Path(__file__).parents[2] / "bundles" / "engine.json").read_text())
    bundle.config["mounts"] = [mount for mount in bundle.mounts if mount["type"] != "bind"]
    bundle.args("true").linux["cgroupsPath"] = f"/pyoci-test-{directory.name}"
    bundle.save()
    pyoci(command, "--bundle", str(bundle.path), "warm")  # fills the seccomp cache
    pyoci("delete", "--force", "warm")
    report = directory / "peak"
    argv = [PYTHON, "-I", "-S", "-c", MEASURED, str(report)]
    argv += pyoci.command(command, "--bundle", str(bundle.path), "measured")
    quiet = subprocess.DEVNULL
    subprocess.run(argv, stdin=quiet, stdout=quiet, timeout=120, check=True)
    assert int(report.read_text()) < 14.7 * 1024
