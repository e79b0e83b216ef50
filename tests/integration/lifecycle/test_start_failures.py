"""What `start` says when init cannot become the process: it has nothing but the record to tell it with."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from containers import Bundle, Pyoci


def _no_directory(bundle: Bundle) -> None:
    (bundle.rootfs / "work").rmdir()


def _no_program(bundle: Bundle) -> None:
    (bundle.rootfs / "program").write_text("this is no program")


def _hook_that_fails(bundle: Bundle) -> None:
    (bundle.rootfs / "hook").write_text("#!/bin/sh\nexit 3\n")


FAILURES: dict[str, tuple[Callable[[Bundle], None], str]] = {
    "cwd": (
        _no_directory,
        "chdir to cwd ('/work') set in config.json failed (/process/cwd): No such file or directory",
    ),
    "args": (_no_program, 'exec: \\"/program\\": exec format error (it is no program'),
    "hook": (_hook_that_fails, "startContainer hook /hook failed: (exit status 3) (/hooks/startContainer/1)"),
}


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("seccomp", [False, True])
def test_start_names_what_failed(bundle: Bundle, pyoci: Pyoci, failure: str, seccomp: bool) -> None:
    (bundle.rootfs / "work").mkdir()
    for name in ("program", "hook"):
        (bundle.rootfs / name).write_text("#!/bin/sh\n")
        (bundle.rootfs / name).chmod(0o755)
    bundle.args("/program", "argument").process.update(cwd="/work", user={"uid": 0, "gid": 0, "additionalGids": [5]})
    bundle.config["hooks"] = {"startContainer": [{"path": "/bin/true"}, {"path": "/hook", "args": ["hook", "x"]}]}
    if seccomp:
        bundle.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW"}
    container = pyoci.create(bundle)
    change, message = FAILURES[failure]
    change(bundle)
    (bundle.path / "config.json").unlink()
    (pyoci.root / container.id / "config.json").unlink()
    done = pyoci("start", container.id, check=False)
    assert done.code == 1
    assert message in done.err
    assert done.err.count("\n") == 1
