"""The devices of an ordinary user's containers are the host's: nobody else can make any."""

from __future__ import annotations

import os
from pathlib import Path

from containers import Bundle
from rootless_support import RootlessPyoci, map_ranges

NAMES = ("null", "zero", "full", "random", "urandom")


def test_they_are_not_the_containers_to_change(box: Bundle, rootless: RootlessPyoci) -> None:
    """Whoever may write to them could set their times.

    Fails with op_bind_device() (device.c) attaching them without attributes.
    """
    map_ranges(box, rootless.user)
    before = {name: os.stat(f"/dev/{name}").st_mtime_ns for name in NAMES}
    paths = " ".join(f"/dev/{name}" for name in NAMES)
    script = f"for f in {paths}; do touch -d 2001-02-03 $f; touch $f; chmod 0 $f; chown 1 $f; done 2>&1; true"
    done = rootless.run(box.args("/bin/sh", "-c", script))
    assert done.out.count("Read-only file system") >= len(NAMES)
    assert {name: os.stat(f"/dev/{name}").st_mtime_ns for name in NAMES} == before
    assert Path("/dev/null").stat().st_mode & 0o777 == 0o666


def test_they_work(box: Bundle, rootless: RootlessPyoci) -> None:
    script = "echo x > /dev/null; head -c 5 /dev/zero | wc -c; head -c 5 /dev/urandom | wc -c; echo > /dev/full"
    done = rootless.run(box.args("/bin/sh", "-c", script), check=False)
    assert done.out.split() == ["5", "5"]
    assert "No space left" in done.err
