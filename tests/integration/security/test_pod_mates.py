"""What a container can do to the init of another that joins its pid and user namespaces, with every capability there.

Each defence was taken out of a copy of the tree to see the test fail; the docstrings say which.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from containers import Bundle, Pyoci
from race import rounds
from spy import mate_of, spying


def look_into_new_inits(new_bundle: Callable[[str], Bundle], pyoci: Pyoci, directory: Path, time: str) -> None:
    secret = directory / "secret"
    secret.write_text("of the host")
    secret.chmod(0o666)
    spy = pyoci.run_detached(spying(new_bundle("attacker").user_namespace(), secret)).expect("ready")
    victim = new_bundle("victim").user_namespace().args("true")
    mate_of(victim, spy)
    if time != "host's time":
        victim.namespace("time")
    if time == "shifted clocks":
        victim.linux["timeOffsets"] = {"boottime": {"secs": 77}}
    for _ in range(rounds(20)):
        result = pyoci.run(victim, check=False)
        assert spy.output == "ready\n"
        assert result.code == 0, result
    assert spy.status == "running"


@pytest.mark.parametrize("time", ["new time namespace", "shifted clocks", "host's time"])
def test_no_pod_mate_looks_into_a_new_init(
    new_bundle: Callable[[str], Bundle], pyoci: Pyoci, directory: Path, time: str
) -> None:
    """CVE-2016-9962: init has the host's root and descriptors of it, until it has entered its own.

    The first two fail with an init that the user namespace can read (mode 0755, spawn.py, init_program), which it was
    for a new time namespace's sake, and that is executed in there (execute_again, spawn.py).
    """
    look_into_new_inits(new_bundle, pyoci, directory, time)


def test_nor_where_init_is_no_memory_file(
    new_bundle: Callable[[str], Bundle], pyoci_noexec: Pyoci, directory: Path
) -> None:
    """Fails with mode 0755 in linux/program_in_tmpfs.py, and execute_again."""
    look_into_new_inits(new_bundle, pyoci_noexec, directory, "shifted clocks")
