"""Each command's own process: exit status, output, what it asks of the lifecycle layer."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path

import pytest
from command_line import REPOSITORY, lifecycle, pyoci
from interpreter import PYTHON

from oci_runtime.cli.main import COMMANDS
from oci_runtime.cli.ps import select

#: Prints the attributes of the request that it gets.
_SHOW = """
def {name}(request, warn):
    import json
    names = [name for kind in type(request).__mro__ for name in getattr(kind, "__slots__", ())]
    print(json.dumps({{name: getattr(request, name) for name in names}}))
    {end}
"""


def show(name: str, module: str, end: str = "return 0") -> str:
    """A lifecycle module whose imports of json work although nothing of the standard library is imported yet."""
    return lifecycle(module, _SHOW.format(name=name, end=end))


def request(*arguments: str, cwd: Path, name: str = "create", module: str = "", shell: str = "") -> dict[str, object]:
    done = pyoci(*arguments, fake=show(name, module or name), cwd=cwd, shell=shell)
    assert (done.returncode, done.stderr) == (0, b"")
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


def one_line(done: subprocess.CompletedProcess[bytes], status: int) -> str:
    """The error that `done` reports, on one line, ending with `status`."""
    assert done.returncode == status
    assert done.stdout == b""
    assert done.stderr.count(b"\n") == 1
    return done.stderr.decode()


def test_no_command_is_help_and_help_is_made_from_the_tables() -> None:
    general = pyoci()
    assert general.returncode == 0
    assert general.stderr == b""
    for same in (["--help"], ["-h"], ["help"], ["h"]):
        assert pyoci(*same).stdout == general.stdout
    text = general.stdout.decode()
    for name in COMMANDS:
        assert f"\n   {name} " in text
        help_text = pyoci(name, "--help")
        assert help_text.returncode == 0
        assert help_text.stdout == pyoci("help", name).stdout
        assert f"pyoci {name}" in help_text.stdout.decode()
    assert "--criu" not in text


def test_every_option_of_runc_is_there() -> None:
    create = "bundle console-socket pidfd-socket pid-file no-pivot no-new-keyring preserve-fds"
    known = {
        "create": create,
        "run": f"{create} detach keep no-subreaper",
        "exec": "console-socket pidfd-socket cwd env tty user additional-gids process detach pid-file process-label "
        "apparmor no-new-privs cap preserve-fds cgroup ignore-paused",
        "kill": "all",
        "delete": "force",
        "list": "format quiet",
        "ps": "format",
        "spec": "bundle rootless",
    }
    for command, options in known.items():
        text = pyoci(command, "-h").stdout.decode()
        assert [option for option in options.split() if f"--{option}" not in text] == []


def test_version() -> None:
    lines = pyoci("--version").stdout.decode().splitlines()
    declared = [
        line.split('"')[1] for line in (REPOSITORY / "pyproject.toml").read_text().splitlines() if line[:7] == "version"
    ]
    assert lines[0] == f"pyoci version {declared[0]}"
    assert lines[1] == "spec: 1.3.0"
    assert pyoci("-v").stdout.decode().splitlines() == lines


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["bogus"], "bogus"),
        (["help", "bogus"], "bogus"),
        (["main"], "main"),
        (["--root=/r", "help-me", "x"], "help-me"),
    ],
)
def test_unknown_command(arguments: list[str], word: str) -> None:
    assert f'\\"{word}\\" is not a command of pyoci' in one_line(pyoci(*arguments), 3)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--bogus"],
        ["--log"],
        ["--log-format", "xml", "list"],
        ["--rootless=maybe", "list"],
        ["--systemd-cgroup=maybe", "list"],
        ["--root", "/", "list"],
        ["--root", "", "--root", "/..", "list"],
        ["state"],
        ["state", "a", "b"],
        ["state", "--bogus", "a"],
        ["state", ""],
        ["create", "--preserve-fds", "abc", "a"],
        ["create", "--preserve-fds=-1", "a"],
        ["create", "--preserve-fds=100000", "a"],
        ["kill", "a", "b", "c"],
        ["kill", "a", "FOO"],
        ["exec"],
        ["exec", "-d=maybe", "a", "b"],
        ["list", "a"],
        ["list", "-f", "xml"],
        ["ps"],
        ["ps", "-f", "xml", "a"],
        ["spec", "a"],
        ["features", "a"],
    ],
)
def test_wrong_usage(arguments: list[str]) -> None:
    one_line(pyoci(*arguments), 1)


@pytest.mark.parametrize(
    "arguments",
    [
        ["exec", "a"],
        ["exec", "a/b", "true"],
        ["exec", "-e", "A", "a", "true"],
        ["exec", "-e", "=1", "a", "true"],
        ["exec", "-u", "root", "a", "true"],
        ["exec", "-u", "1:", "a", "true"],
        ["exec", "-u", "4294967295", "a", "true"],
        ["exec", "-g", "-1", "a", "true"],
        ["exec", "--cgroup", "a", "--cgroup", "b", "a", "true"],
        ["exec", "--cgroup", ",cpu:a", "a", "true"],
        ["exec", "--cgroup", "cpu:a", "--cgroup", "pids,cpu:b", "a", "true"],
    ],
)
def test_what_exec_refuses_ends_with_255(arguments: list[str]) -> None:
    fake = lifecycle("exec", "def exec_process(request, warn):\n    raise AssertionError('not to be called')")
    assert "exec failed: " in one_line(pyoci(*arguments, fake=fake), 255)


def test_create_gets_absolute_paths(tmp_path: Path) -> None:
    (tmp_path / "real" / "in").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real/in")
    answer = request(
        *("--root", "r/./s", "--rootless=true", "--systemd-cgroup", "create", "-b", "./b//", "--pid-file", "p"),
        *("--console-socket=c", "--pidfd-socket", "link/../q", "--no-pivot", "--no-new-keyring", "id"),
        cwd=tmp_path,
    )
    assert answer == {
        "root": f"{tmp_path}/r/s",
        "id": "id",
        "bundle": f"{tmp_path}/b",
        "pid_file": f"{tmp_path}/p",
        "console_socket": f"{tmp_path}/c",
        "pidfd_socket": f"{tmp_path}/real/q",
        "no_pivot": True,
        "no_new_keyring": True,
        "rootless": True,
        "systemd_cgroup": True,
        "preserve_fds": [],
        "listen_fds": 0,
        "notify_socket": "",
    }


def test_the_bundle_is_the_current_directory_by_default(tmp_path: Path) -> None:
    answer = request("create", "id", cwd=tmp_path)
    assert answer["bundle"] == str(tmp_path)
    assert answer["root"] == "/run/pyoci"
    assert answer["rootless"] is None


def test_run_gets_its_options_and_gives_the_exit_status(tmp_path: Path) -> None:
    answer = request("run", "id", "-d", "--keep", "--no-subreaper", cwd=tmp_path, name="run")
    assert (answer["detach"], answer["keep"], answer["no_subreaper"]) == (True, True, True)
    done = pyoci("run", "id", fake=lifecycle("run", "def run(request, warn):\n    return 42"))
    assert done.returncode == 42


@pytest.mark.parametrize(
    ("shell", "count", "expected"),
    [
        ("3</dev/null 4</dev/null", 2, [3, 4]),
        ("3</dev/null 4</dev/null", 1, [3]),
        ("3<&- 5</dev/null 9</dev/null", 7, [5, 9]),
        ("3<&-", 2, []),
        ("3<&- 4</dev/null", 1000000, [4]),
    ],
)
def test_preserved_descriptors_are_those_that_were_inherited(
    shell: str, count: int, expected: list[int], tmp_path: Path
) -> None:
    """Not what is in the holes between them by now: the log."""
    arguments = ("--log", str(tmp_path / "log"), "create", f"--preserve-fds={count}", "id")
    done = pyoci(*arguments, fake=show("create", "create"), shell=shell)
    assert json.loads(done.stdout)["preserve_fds"] == expected


def test_sockets_of_systemd_are_preserved(tmp_path: Path) -> None:
    fake = "import posix\nposix.environ.update({b'LISTEN_PID': b'%d' % posix.getpid(), b'LISTEN_FDS': b'2'})\n"
    fake += "posix.environ[b'NOTIFY_SOCKET'] = b'/n'\n" + show("create", "create")
    shell = "3</dev/null 4</dev/null 5</dev/null"
    answer = json.loads(pyoci("create", "--preserve-fds=1", "id", fake=fake, shell=shell).stdout)
    assert (answer["preserve_fds"], answer["listen_fds"], answer["notify_socket"]) == ([3, 4, 5], 2, "/n")
    assert "$LISTEN_FDS" in one_line(pyoci("create", "id", fake=fake, shell="3</dev/null 4<&-"), 1)
    others = {**os.environ, "LISTEN_PID": "1", "LISTEN_FDS": "2"}
    answer = json.loads(pyoci("create", "id", fake=show("create", "create"), env=others).stdout)
    assert (answer["preserve_fds"], answer["listen_fds"]) == ([], 0)


def test_exec_gets_everything(tmp_path: Path) -> None:
    arguments = (
        "exec -t -d --cwd /w -e A=1 -e B= -u 1:2 -g 3 -g 4 --cap CAP_KILL -c CAP_CHOWN --apparmor x --process-label y"
    )
    arguments += (
        " --no-new-privs=false --cgroup cpu,cpuacct:/a --cgroup pids:b --ignore-paused --pid-file p id ls -l --"
    )
    answer = request(*arguments.split(), cwd=tmp_path, name="exec_process", module="exec")
    assert answer == {
        "root": "/run/pyoci",
        "id": "id",
        "args": ["ls", "-l", "--"],
        "process": "",
        "console_socket": "",
        "pidfd_socket": "",
        "pid_file": f"{tmp_path}/p",
        "preserve_fds": [],
        "detach": True,
        "tty": True,
        "cwd": "/w",
        "env": ["A=1", "B="],
        "user": [1, 2],
        "additional_gids": [3, 4],
        "caps": ["CAP_KILL", "CAP_CHOWN"],
        "apparmor": "x",
        "process_label": "y",
        "no_new_privs": False,
        "cgroup": {"cpu": "/a", "cpuacct": "/a", "pids": "b"},
        "ignore_paused": True,
    }


def test_exec_with_a_process_json_needs_no_command(tmp_path: Path) -> None:
    arguments = ("exec", "-p", "process.json", "--cgroup=sub", "-u", "7", "id")
    answer = request(*arguments, cwd=tmp_path, name="exec_process", module="exec")
    assert answer["process"] == f"{tmp_path}/process.json"
    assert answer["args"] == []
    assert answer["no_new_privs"] is None
    assert answer["cgroup"] == {"": "sub"}
    assert answer["user"] == [7, None]


def test_state_prints_indented_json_without_a_newline() -> None:
    fake = lifecycle("state", "def state(root, id):\n    return {'id': id, 'root': root, 'annotations': {'a': '<é'}}")
    done = pyoci("--root", "/r", "state", "x", fake=fake)
    expected = '{\n  "id": "x",\n  "root": "/r",\n  "annotations": {\n    "a": "\\u003cé"\n  }\n}'
    assert done.stdout.decode() == expected


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["x"], "/run/pyoci x 15 False"),
        (["-a", "x", "KILL"], "/run/pyoci x 9 True"),
        (["x", "--all", "37"], "/run/pyoci x 37 True"),
    ],
)
def test_kill(arguments: list[str], expected: str) -> None:
    fake = lifecycle("kill", "def kill(root, id, signal, everyone):\n    print(root, id, signal, everyone)")
    assert pyoci("kill", *arguments, fake=fake).stdout.decode() == f"{expected}\n"


@pytest.mark.parametrize("verb", ["start", "pause", "resume", "delete"])
def test_verbs_that_only_take_an_id(verb: str) -> None:
    fake = lifecycle(verb, f"def {verb}(root, id, *more):\n    print(root, id)")
    done = pyoci("--root=/r", verb, "x", fake=fake)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"/r x\n", b"")


def test_delete_force() -> None:
    fake = lifecycle("delete", "def delete(root, id, force, warn):\n    print(force)")
    assert pyoci("delete", "x", "-f", fake=fake).stdout == b"True\n"
    assert pyoci("delete", "x", fake=fake).stdout == b"False\n"


def test_warnings_are_logged_and_the_command_goes_on(tmp_path: Path) -> None:
    fake = lifecycle("start", "def start(root, id, warn, notify):\n    warn('odd')")
    done = pyoci("--log", str(tmp_path / "log"), "--log-format=json", "start", "x", fake=fake)
    assert (done.returncode, done.stderr) == (0, b"")
    record = json.loads((tmp_path / "log").read_text())
    assert (record["level"], record["msg"]) == ("warning", "odd")


_CONTAINER = {
    "id": "c1",
    "pid": 7,
    "status": "running",
    "bundle": "/b",
    "created": "2026-01-01T00:00:00Z",
    "owner": "root",
}


def test_list(tmp_path: Path) -> None:
    fake = lifecycle("listing", f"def list_containers(root, warn):\n    return [{_CONTAINER!r}]")
    root = ("--root", str(tmp_path))
    assert pyoci(*root, "list", "-q", fake=fake).stdout == b"c1\n"
    assert json.loads(pyoci(*root, "list", "--format=json", fake=fake).stdout) == [_CONTAINER]
    title, line = pyoci(*root, "list", fake=fake).stdout.decode().splitlines()
    assert title == "ID          PID         STATUS      BUNDLE      CREATED                OWNER"
    assert line == "c1          7           running     /b          2026-01-01T00:00:00Z   root"


def test_list_of_nothing(tmp_path: Path) -> None:
    fake = lifecycle("listing", "def list_containers(root, warn):\n    return []")
    root = ("--root", str(tmp_path))
    assert pyoci(*root, "list", "-f", "json", fake=fake).stdout == b"null\n"
    assert pyoci(*root, "list", "-q", fake=fake).stdout == b""
    assert "no such file" in one_line(pyoci("--root", str(tmp_path / "nope"), "list"), 1)
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    if os.geteuid() == 0:
        assert pyoci("list", "-q", fake=fake, env=environment).returncode == 0
        assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
def test_the_root_of_other_users_is_in_their_runtime_directory() -> None:
    become_nobody = """
import posix
import oci_runtime.cli.log, oci_runtime.cli.paths, oci_runtime.cli.start
posix.setuid(65534)
"""
    fake = lifecycle("start", "def start(root, id, warn, notify):\n    print(root)") + become_nobody
    with tempfile.TemporaryDirectory() as runtime:
        os.chmod(runtime, 0o777)
        done = pyoci("start", "x", fake=fake, env={**os.environ, "XDG_RUNTIME_DIR": runtime})
        assert (done.stdout.decode(), done.stderr) == (f"{runtime}/pyoci\n", b"")
        assert Path(runtime, "pyoci").stat().st_mode & 0o7777 == 0o1700
        done = pyoci("--root=/r", "start", "x", fake=fake, env={**os.environ, "XDG_RUNTIME_DIR": runtime})
        assert done.stdout == b"/r\n"
    done = pyoci("start", "x", fake=fake, env={**os.environ, "XDG_RUNTIME_DIR": "/proc/nope"})
    assert "XDG_RUNTIME_DIR" in one_line(done, 1)


def test_ps_shows_no_command_of_a_terminal() -> None:
    """Nor an end of line within one: names and arguments are the container's to choose."""
    hostile = "5 \x1b]0;title\x07 \r \x85 \u2028 \u202e \x9b é".encode() + b" \xff"
    shown = select(b"PID\tCMD\n" + hostile + b"\n6 no\n", [5]).decode()
    title, line, rest = shown.split("\n")
    assert (title, rest) == ("PID\tCMD", "")
    assert line.isprintable()
    assert line.startswith("5 \\x1b]0;title")
    assert "é" in line


def test_ps_shows_the_lines_of_the_containers_processes() -> None:
    fake = lifecycle("ps", f"def pids(root, id):\n    return [{os.getpid()}, 1]")
    title, *lines = pyoci("ps", "x", fake=fake).stdout.decode().splitlines()
    assert title.split()[:3] == ["UID", "PID", "PPID"]
    assert sorted(int(line.split()[1]) for line in lines) == sorted({1, os.getpid()})
    title, *lines = pyoci("ps", "x", "-o", "args,pid", fake=fake).stdout.decode().splitlines()
    assert title.split() == ["COMMAND", "PID"]
    assert pyoci("ps", "-f", "json", "x", fake=fake).stdout.decode() == f"[{os.getpid()},1]\n"
    assert "column PID" in one_line(pyoci("ps", "x", "-o", "args", fake=fake), 1)
    assert "ended with status" in one_line(pyoci("ps", "x", "--bogus", fake=fake), 1)
    assert "cannot run ps" in one_line(pyoci("ps", "x", fake=fake, env={"PATH": "/nonexistent"}), 1)


def test_spec_writes_a_config_once(tmp_path: Path) -> None:
    assert pyoci("spec", "-b", str(tmp_path)).returncode == 0
    text = (tmp_path / "config.json").read_text()
    config = json.loads(text)
    assert config["process"]["args"] == ["sh"]
    assert text == json.dumps(config, indent="\t") + "\n"
    assert "exists" in one_line(pyoci("spec", cwd=tmp_path), 1)
    assert (tmp_path / "config.json").read_text() == text
    (tmp_path / "config.json").unlink()
    assert pyoci("spec", "--rootless", cwd=tmp_path).returncode == 0
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["linux"]["uidMappings"] == [{"containerID": 0, "hostID": os.geteuid(), "size": 1}]
    one_line(pyoci("spec", "-b", "/nonexistent"), 1)


def test_features_and_plan(tmp_path: Path) -> None:
    fake = lifecycle("features", "def features():\n    return {'ociVersionMin': '1.0.0'}")
    assert pyoci("features", fake=fake).stdout == b'{\n    "ociVersionMin": "1.0.0"\n}\n'
    fake = lifecycle("show_plan", "def show_plan(request):\n    return f'{request.id} {request.bundle}'")
    assert pyoci("plan", "-b", "b", fake=fake, cwd=tmp_path).stdout.decode() == f"container {tmp_path}/b\n"
    assert pyoci("plan", "x", fake=fake, cwd=tmp_path).stdout.decode() == f"x {tmp_path}\n"


def test_an_unexpected_error_is_one_line_and_a_trace_only_for_debug(tmp_path: Path) -> None:
    fake = lifecycle("exec", "def exec_process(request, warn):\n    raise ValueError('two\\n lines')")
    line = one_line(pyoci("exec", "x", "true", fake=fake), 255)
    assert line.endswith('msg="pyoci: internal error: ValueError: two lines"\n')
    log = tmp_path / "log"
    line = one_line(pyoci("--debug", "--log", str(log), "exec", "x", "true", fake=fake), 255)
    assert "Traceback" not in line
    assert "Traceback" in log.read_text()


def test_an_interrupt_is_one_line() -> None:
    fake = lifecycle("state", "def state(root, id):\n    raise KeyboardInterrupt")
    assert "interrupted by SIGINT" in one_line(pyoci("state", "x", fake=fake), 130)


def test_nobody_reads_the_output() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    program = ["-c", f"import sys; sys.path.insert(0, {str(REPOSITORY)!r}); import oci_runtime.__main__", "--help"]
    try:
        done = subprocess.run(
            [PYTHON, "-I", "-S", *program], stdout=writer, stderr=subprocess.PIPE, timeout=30, check=False
        )
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_full_disk_is_an_error() -> None:
    assert "No space left" in one_line(pyoci("--help", shell=">/dev/full"), 1)


def test_closed_standard_descriptors_are_dev_null() -> None:
    shown = "__import__('posix').readlink(f'/proc/self/fd/{fd}')"
    fake = lifecycle("start", f"def start(root, id, warn, notify):\n    print([{shown} for fd in (0, 1, 2)])")
    done = pyoci("start", "x", fake=fake, shell="<&- 2>&-")
    assert done.returncode == 0
    null, pipe, other = json.loads(done.stdout.decode().replace("'", '"'))
    assert (null, other) == ("/dev/null", "/dev/null")
    assert pipe.startswith("pipe:")
    assert pyoci("bogus", shell="<&- >&- 2>&-").returncode == 3


def test_a_log_is_not_mistaken_for_a_closed_standard_error(tmp_path: Path) -> None:
    log = tmp_path / "log"
    pyoci("--log", str(log), "--log-format=json", "state", shell="<&- 2>&-")
    assert json.loads(log.read_text())["level"] == "error"


def test_the_happy_path_imports_nothing_heavy() -> None:
    fake = """
def state(root, id):
    return {"id": id}
module = type(sys)("oci_runtime.lifecycle.state")
module.state = state
sys.modules[module.__name__] = module
for name in ("argparse", "collections", "enum", "importlib", "json", "os", "re", "struct", "types", "typing"):
    sys.modules[name] = None
"""
    done = pyoci("--root", "/run/x", "--log", "/dev/null", "--log-format", "json", "state", "x", fake=fake)
    assert (done.returncode, done.stdout, done.stderr) == (0, b'{\n  "id": "x"\n}', b"")
