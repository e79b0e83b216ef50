"""Reading documents: syntax, encoding, files, and what is deliberately accepted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from edits import BUNDLES, REMOVE, bundle, edited

from oci_runtime.errors import SpecError
from oci_runtime.spec import document, explain
from oci_runtime.spec.document import load_config, load_process, load_resources, parse_object

ROOT = Path(__file__).parents[3]

# bytes; line:column or '' for a message about the whole file; a part of the message
SYNTAX: list[tuple[bytes, str, str]] = [
    (b"", "", "the file is empty"),
    (b" \n\t", "", "the file is empty"),
    (b"{]", "1:2", "expecting property name enclosed in double quotes"),
    (b'{\n "a": 1,\n}', "", "not valid JSON"),  # where, differs between versions of Python
    (b'{"a" 1}', "1:6", "expecting ':' delimiter"),
    (b'{\n  "a": 1\n  "b": 2}', "3:3", "expecting ',' delimiter"),
    (b'{"a": ', "1:7", "the file ends in the middle"),
    (b'{"a": tru}', "1:7", "expecting value"),
    (b'{"a": "b}', "1:7", "not valid JSON: unterminated string\n"),
    (b'{"a": "\n"}', "1:8", "not valid JSON: invalid control character\n"),
    (b'{"a": "\\x"}', "1:8", "invalid \\escape"),
    (b'{"a": 01}', "1:8", "expecting ',' delimiter"),
    (b'{"a":\n NaN}', "2:2", "NaN is not a JSON number"),
    (b'{"NaN": "NaN",\n "a": -Infinity}', "2:7", "-Infinity is not a JSON number"),
    (b'{"a": [Infinity]}', "1:8", "Infinity is not a JSON number"),
    (b"{}\n{}", "2:1", "more text after the end"),
    (b"{} // comment", "1:4", "more text after the end"),
    (b"[]", "1:1", "must be a JSON object"),
    (b"null", "1:1", "must be a JSON object"),
    (b'\n "x"', "2:2", "must be a JSON object"),
    (b"nul", "1:1", "expecting value"),
    (b"\xef\xbb\xbf{}", "1:1", "byte order mark"),
    (b"\xff\xfe{\0}\0", "1:1", "byte 0xff is not UTF-8"),
    (b'{\n"\xc3\xa4": "\xe4"}', "2:7", "byte 0xe4 is not UTF-8"),
    (b'{"a": ' + b"[" * 200000 + b"]" * 200000 + b"}", "", "nested too deeply"),
    (b'{"a": ' + b"1" * 5000 + b"}", "", "too many digits"),
]


@pytest.mark.parametrize(("data", "where", "message"), SYNTAX, ids=[repr(case[0][:20]) for case in SYNTAX])
def test_syntax(data: bytes, where: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(data)
    if message == "too many digits" and not hasattr(sys, "get_int_max_str_digits"):
        message = "lacks the required property"
    for load in (load_config, load_process, load_resources):
        with pytest.raises(SpecError) as caught:
            load(str(path))
        assert message in f"{caught.value}\n"
        assert str(caught.value).startswith(f"{path}:{where}: " if where else str(path))
        assert "\n" not in str(caught.value)


def test_at_the_limit_of_nesting(tmp_path: Path) -> None:
    """What can just be read can just not be searched for the place of a problem, or can."""
    path = tmp_path / "config.json"
    text = json.dumps(edited(bundle("minimal"), {"/process/cwd": 5}))
    messages = set()
    for depth in range(700, 1001, 2):
        path.write_text('{"x": ' + "[" * depth + "]" * depth + ", " + text[1:])
        with pytest.raises(SpecError) as caught:
            load_config(str(path))
        messages.add(str(caught.value).rpartition(": ")[2])
    assert messages == {"must be a string", "arrays and objects are nested too deeply"}


def test_file_errors(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=rf"cannot read {tmp_path}/none: No such file or directory"):
        load_config(str(tmp_path / "none"))
    with pytest.raises(SpecError, match=f"cannot read {tmp_path}: Is a directory"):
        load_config(str(tmp_path))
    big = tmp_path / "big"
    with big.open("wb") as file:
        file.truncate(document.MAX_SIZE + 1)
    with pytest.raises(SpecError, match="is larger than 16777216 bytes"):
        load_config(str(big))


def test_a_descriptor_is_read_to_its_end_and_stays_open() -> None:
    reader, writer = os.pipe()
    text = (BUNDLES / "engine.json").read_bytes()
    assert len(text) < 65536  # fits a pipe
    os.write(writer, text)
    os.close(writer)
    try:
        assert load_config(reader) == json.loads(text)
        os.fstat(reader)
        with pytest.raises(SpecError, match=r"^standard input: the file is empty"):
            load_process(reader, name="standard input")
    finally:
        os.close(reader)


@pytest.mark.parametrize("name", ["minimal", "engine", "containerd", "full"])
def test_bundles_are_valid(name: str) -> None:
    assert load_config(str(BUNDLES / f"{name}.json")) == bundle(name)


def test_process_and_resources_are_valid(tmp_path: Path) -> None:
    assert load_process(str(BUNDLES / "engine-process.json")) == bundle("engine-process")
    path = tmp_path / "r"
    path.write_text(json.dumps(bundle("full")["linux"]["resources"]), "utf-8")
    assert load_resources(str(path)) == bundle("full")["linux"]["resources"]
    path.write_text('{"memory": {"swap": 100}}', "utf-8")
    assert load_resources(str(path)) == {"memory": {"swap": 100}}  # the limit may have been set before


ACCEPTED: list[dict[str, Any]] = [
    {"/unknown": None, "/process/unknown": [1], "/linux/resources/unknown": "\0"},
    {"/ociVersion": "1.99.0-rc.1+dev"},
    {"/mounts/0/destination": "proc"},  # relative to /, config.md
    {"/mounts/-": {"destination": "/proc/cpuinfo", "type": "bind", "source": "/x"}},
    {"/mounts/-": {"destination": "/processes", "type": "tmpfs"}},
    {"/mounts/-": {"destination": "/x/../proc", "source": "/proc", "options": ["rbind"]}},
    {"/mounts/-": {"destination": "/tmp", "options": ["remount", "ro"]}},
    {"/linux/namespaces/0/path": ""},
    {"/linux/namespaces/-": {"type": "user", "path": "/run/userns"}, "/process/user/uid": 70000},
    {"/linux/rootfsPropagation": "rprivate"},
    {"/linux/devices": [{"path": "/dev/x", "type": "c", "major": 1, "minor": 3}] * 2},
    {"/linux/devices": [{"path": "/dev/x", "type": "c", "major": 1, "minor": 3, "fileMode": 0o020666}]},
    {"/linux/sysctl": {"net/ipv4/ip_forward": "1", "kernel.domainname": "d"}},
    {"/linux/timeOffsets": {}, "/linux/netDevices": {}, "/linux/uidMappings": []},
    {"/process/terminal": False, "/process/consoleSize": {"height": 10**6, "width": 0}},
    {"/process/oomScoreAdj": -1000},
    {"/process/args": ["sh", "", "ü"], "/hostname": "ü" * 32},
    {"/process/user": REMOVE, "/process/env": REMOVE, "/process/capabilities": REMOVE},
    {"/linux": REMOVE, "/hostname": REMOVE},
    {"/annotations": {"a": "\0"}},
]


@pytest.mark.parametrize("edits", ACCEPTED, ids=[" ".join(edits) for edits in ACCEPTED])
def test_accepted(edits: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(edited(bundle("minimal"), edits)), "utf-8")
    load_config(str(path))


def test_process_is_optional_on_request(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(edited(bundle("minimal"), {"/process": REMOVE})), "utf-8")
    assert "process" not in load_config(str(path), process_required=False)


def test_integers_with_a_fraction_become_ints() -> None:
    numbers = parse_object(
        b'{"a": 1.0, "b": 1e3, "c": 1.5, "d": 18446744073709551615.00, "e": -0.0, "f": 1e999, "g": 1.0E+2}', "x"
    )
    assert numbers == {"a": 1, "b": 1000, "c": 1.5, "d": 2**64 - 1, "e": 0, "f": float("inf"), "g": 100}
    assert [type(number) for number in numbers.values()] == [int, int, float, int, int, float, int]


def test_the_last_of_duplicate_names_counts_and_is_located(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(
        '{"ociVersion": 1,\n"ociVersion": "1.0.0", "root": {"path": "r"},\n "hostname": "a", "hostname": 3}'
    )
    with pytest.raises(SpecError) as caught:
        load_config(str(path), process_required=False)
    assert str(caught.value) == f"{path}:3:31: /hostname is 3: must be a string"


def test_a_checker_that_is_wrong_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If ever the generated checker refuses what the schema accepts, the user learns that it is our fault."""
    monkeypatch.setattr(document, "check_config", lambda doc: False)
    with pytest.raises(SpecError, match="internal error: the generated checker refuses"):
        load_config(str(BUNDLES / "minimal.json"))


def test_happy_path_imports_only_what_is_cheap() -> None:
    """Nothing but our modules, built-in ones, and _json, is loaded to read an engine's config.json."""
    program = f"""if True:
        import sys
        sys.path.insert(0, {str(ROOT)!r})
        before = set(sys.modules)
        from oci_runtime.spec.document import load_config
        load_config({str(BUNDLES / "engine.json")!r})
        print(*sorted(set(sys.modules) - before))
    """
    run = subprocess.run([sys.executable, "-I", "-S", "-c", program], check=True, capture_output=True, text=True)
    foreign = {name for name in run.stdout.split() if not name.startswith("oci_runtime")}
    assert foreign <= {"_json", "__future__", "posix"}


def test_every_schema_is_valid_draft_7() -> None:
    from jsonschema import Draft7Validator

    for name in ("config", "state", "features"):
        Draft7Validator.check_schema(explain.load_schema(name))
