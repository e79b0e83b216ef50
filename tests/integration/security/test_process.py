"""The runtime itself, seen from a container: its file, its memory, its privileges, its interpreter.

Each defence was taken out of a copy of the tree to see the test fail; the docstrings say which.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from pathlib import Path

import pytest
from containers import Bundle, Pyoci

F_GET_SEALS = 1034
SHRINK_GROW_WRITE_SEAL = 0b1111


# --- /proc/PID/exe


def test_init_is_a_sealed_memfd(bundle: Bundle, pyoci: Pyoci) -> None:
    """CVE-2019-5736: what /proc/PID/exe leads to is no file of the host, and nobody can write to it.

    Fails with sys_memfd() (shim.c) not sealing.
    """
    container = pyoci.create(bundle)
    exe = f"/proc/{container.pid}/exe"
    assert os.readlink(exe).startswith("/memfd:pyoci-init")
    with pytest.raises(OSError, match=r"Text file busy|not permitted"):
        os.close(os.open(exe, os.O_WRONLY))
    fd = os.open(exe, os.O_RDONLY)
    try:
        assert fcntl.fcntl(fd, F_GET_SEALS) & SHRINK_GROW_WRITE_SEAL == SHRINK_GROW_WRITE_SEAL
    finally:
        os.close(fd)


def runtime_files(pyoci: Pyoci) -> dict[str, str]:
    """Digests of the files that the runtime is made of."""
    top = Path(pyoci.executable).resolve().parents[1]  # of a checkout, or an installation's prefix
    package = next(path for path in (top / "oci_runtime", top / "lib/pyoci/oci_runtime") if path.is_dir())
    command = Path(pyoci.executable).read_bytes()
    script = command.startswith(b"#!")  # else it is its own interpreter
    interpreters = [Path(os.fsdecode(command[2:].split()[0]))] if script else []
    files = [Path(pyoci.executable), *interpreters, package / "init", *package.glob("*.so")]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.parametrize("argv", [["/evil"], ["/proc/self/exe"], ["/proc/self/exe", "3", "4"], ["/link"]])
def test_entrypoint_is_the_runtime_itself(bundle: Bundle, pyoci: Pyoci, argv: list[str]) -> None:
    """CVE-2019-5736: a script whose interpreter is /proc/self/exe, init that is. It ends at once, in an error; why it
    could do no harm is tested before and after this one.
    """
    (bundle.rootfs / "evil").write_text("#!/proc/self/exe\n")
    (bundle.rootfs / "evil").chmod(0o755)
    (bundle.rootfs / "link").symlink_to("/proc/self/exe")
    before = runtime_files(pyoci)
    assert pyoci.run(bundle.args(*argv), check=False).code != 0
    assert runtime_files(pyoci) == before


@pytest.mark.parametrize("verb", ["exec", "run"])
def test_container_overwrites_what_its_neighbour_runs(bundle: Bundle, pyoci: Pyoci, verb: str) -> None:
    """CVE-2019-5736: a container waits for an exec, or for a container in its pid namespace, opens the /proc/PID/exe of
    each process that comes, and writes to it when that has ended.

    Fails with init_program() (spawn.py) giving the host's file, and where the runtime's own child is seen in the pid
    namespace before it executes init: birth.c.
    """
    bundle.capabilities("CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE", "CAP_SYS_ADMIN")
    bundle.args(
        "/bin/sh",
        "-c",
        """echo ready
        while true; do for p in /proc/[0-9]*; do
            case $(readlink $p/exe) in *busybox*|"") continue;; esac
            (exec 9< $p/exe; i=0; while [ $i -lt 300 ]; do i=$((i + 1)); echo evil > /proc/self/fd/9; done)
        done; done 2>/dev/null""",
    )
    bundle.config["root"]["readonly"] = True
    before = runtime_files(pyoci)
    container = pyoci.run_detached(bundle).expect("ready")
    other = Bundle(bundle.path.parent / "other").args("echo", "hi")
    neighbour = Bundle(bundle.path.parent / "neighbour").args("echo", "hi")
    neighbour.namespace("pid", f"/proc/{container.pid}/ns/pid")
    neighbour.config["root"]["readonly"] = True  # or its busybox may be written to, and be busy
    for _ in range(20):
        result = container.exec("echo", "hi") if verb == "exec" else pyoci.run(neighbour)
        assert result.out == "hi\n"
    assert runtime_files(pyoci) == before
    assert pyoci.run(other).out == "hi\n"


# --- capabilities


@pytest.mark.parametrize("verb", ["run", "exec"])
@pytest.mark.parametrize("uid", [0, 1000])
def test_inheritable_capabilities_are_empty(bundle: Bundle, pyoci: Pyoci, verb: str, uid: int) -> None:
    """CVE-2022-29162: unless config.json names some. Ambient ones neither.

    Fails with op_capabilities() (process.c) setting the bounding set as inheritable.
    """
    bundle.process["user"] = {"uid": uid, "gid": uid}
    script = ("grep", "-E", "Cap(Inh|Amb)", "/proc/self/status")
    if verb == "run":
        out = pyoci.run(bundle.args(*script)).out
    else:
        out = pyoci.run_detached(bundle.args("sleep", "100")).exec(*script).out
    assert out.split() == ["CapInh:", "0" * 16, "CapAmb:", "0" * 16]


# --- looking into init


def test_init_is_not_to_be_looked_into(bundle: Bundle, pyoci: Pyoci, directory: Path) -> None:
    """CVE-2016-9962: a container sees the init of another process in its pid and user namespaces, with all of its
    privileges over them, and may not look into it.

    Fails without PR_SET_DUMPABLE in init.c and with an init that user namespaces can read (spawn.py, init_program).
    """
    bundle.user_namespace()
    bundle.capabilities("CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE", "CAP_KILL")
    spy = pyoci.run_detached(bundle.shell("echo ready; exec sleep 100")).expect("ready")
    other = Bundle(directory / "other")
    other.user_namespace()
    del other.linux["uidMappings"], other.linux["gidMappings"]
    for kind, name in (("user", "user"), ("pid", "pid"), ("network", "net"), ("ipc", "ipc"), ("uts", "uts")):
        other.namespace(kind, f"/proc/{spy.pid}/ns/{name}")
    other.unmount("/sys")
    pyoci.create(other)
    out = spy.exec(
        "/bin/sh",
        "-c",
        """for p in /proc/[0-9]*; do if [ "$(cat $p/comm)" = pyoci:init ]; then
            echo found; ls $p/fd; readlink $p/exe; readlink $p/root; cat $p/maps; cat $p/environ; ls $p/map_files
        fi; done""",
        check=False,
    )
    assert out.out == "found\n"
    assert out.err.count("Permission denied") >= 2


# --- the interpreter


@pytest.fixture
def trap(directory: Path) -> Path:
    """A directory with modules that leave a mark when they are imported."""
    path = directory / "trap"
    (path / "oci_runtime/cli").mkdir(parents=True)
    mark = directory / "mark"
    text = f"open({str(mark)!r}, 'a').write(__name__)\n"
    names = ("posix", "os", "errno", "fcntl", "select", "json", "sitecustomize", "usercustomize", "_shim", "time", "re")
    for name in (*names, "oci_runtime/__init__", "oci_runtime/cli/__init__", "oci_runtime/cli/main", "startup"):
        (path / f"{name}.py").write_text(text)
    return path


@pytest.mark.parametrize("verb", ["run", "state", "create", "exec", "list", "invalid"])
def test_python_looks_nowhere_else(bundle: Bundle, pyoci: Pyoci, directory: Path, trap: Path, verb: str) -> None:
    """The environment and the current directory choose no module. Fails without -I in the launcher."""
    env = {
        "PYTHONPATH": str(trap),
        "PYTHONSTARTUP": str(trap / "startup.py"),
        "PYTHONUSERBASE": str(trap),
        "PYTHONINSPECT": "1",
        "PYTHONBREAKPOINT": "oci_runtime.main",
        "PYTHONWARNINGS": "error::oci_runtime.Warning",
        "HOME": str(trap),
    }
    if verb == "run":
        pyoci.run(bundle, env=env, cwd=trap)
    elif verb == "create":
        pyoci.create(bundle, env=env, cwd=trap).delete(force=True)
    elif verb == "invalid":  # jsonschema explains, with much of the standard library
        bundle.config["process"]["args"] = 5
        assert pyoci.run(bundle, env=env, cwd=trap, check=False).code != 0
    elif verb == "list":
        pyoci.run(bundle)
        pyoci("list", "--format", "json", env=env, cwd=trap)
    else:
        container = pyoci.run_detached(bundle.args("sleep", "100"))
        pyoci(*([verb, container.id] + (["true"] if verb == "exec" else [])), env=env, cwd=trap)
    assert not (directory / "mark").exists()


def test_no_module_comes_from_the_container(bundle: Bundle, pyoci: Pyoci, directory: Path, trap: Path) -> None:
    """No Python runs inside: an image with the interpreter's own paths full of traps sets off none.

    Would fail if a module were imported after the change of root.
    """
    for place in (Path(os.__file__).parent, Path(__file__).resolve().parents[3]):
        shutil.copytree(trap, bundle.rootfs / str(place)[1:], dirs_exist_ok=True)
    pyoci.run_detached(bundle.args("sleep", "100")).exec("true")
    assert not (directory / "mark").exists()
    assert not (bundle.rootfs / str(directory / "mark")[1:]).exists()
