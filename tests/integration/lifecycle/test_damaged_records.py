"""A state.json that cannot be read: commands say so on one line, and `delete --force` removes the container."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from containers import Bundle, Pyoci, wait_for

DAMAGES: dict[str, Callable[[str], str]] = {
    "empty": lambda text: "",
    "cut": lambda text: text[: len(text) // 2],
    "brace": lambda text: "{",
    "after-comma": lambda text: '{"version":1,',
    "nul": lambda text: "\0" * len(text),
    "array": lambda text: "[]",
    "types": lambda text: json.dumps({**json.loads(text), "pid": "x"}),
    "version": lambda text: json.dumps({**json.loads(text), "version": 999}),
    "no-version": lambda text: json.dumps({key: value for key, value in json.loads(text).items() if key != "version"}),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("running", [True, False], ids=["running", "created"])
def test_a_container_with_a_damaged_record_is_deleted_by_force(
    bundle: Bundle, pyoci: Pyoci, damage: str, running: bool
) -> None:
    bundle.args("sleep", "100")
    container = pyoci.run_detached(bundle) if running else pyoci.create(bundle)
    pid = container.pid
    path = pyoci.root / container.id / "state.json"
    path.write_text(DAMAGES[damage](path.read_text()))
    for command in (["state"], ["delete"], ["update", "--pids-limit", "5"], ["kill"]):
        done = pyoci(*command, container.id, check=False)
        assert done.code == 1
        assert f"{path} " in done.err
        assert "`pyoci delete --force` removes the container" in done.err
        assert "internal error" not in done.err
        assert done.err.count("\n") == 1
    assert _lives(pid)
    container.delete(force=True)
    wait_for(lambda: not _lives(pid))
    assert not path.parent.exists()


def _lives(pid: int) -> bool:
    """A zombie, whose command line is empty, does not, however long its parent takes."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() != b""
    except OSError:
        return False
