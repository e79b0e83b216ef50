"""The place that is a Debian tree, with the root of this machine as the tree."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import _cffi_backend
import pytest

from bench import bundles, places
from bench.places import PREFIX

ROOT = Path(__file__).resolve().parents[2]
MEASURE = """
import json, sys
from pathlib import Path
from bench import places
tree, local, pyoci, runc = sys.argv[1:]
job = {"place": places.TREE, "runs": 1, "slope_runs": 1, "quick": True, "bundles": ["engine"], "slopes": ["mounts"]}
job["runtimes"] = {"pyoci": pyoci, "runc": runc}
with places.scratch() as folder:
    (folder / "bench").mkdir()
    print(json.dumps(places.measure(job, Path(tree), folder / "bench", Path(local))))
"""


class Interrupted(Exception):
    """What a signal handler raises."""


def _interrupt(number: int, frame: object) -> None:
    raise Interrupted


def _running(command: str) -> list[int]:
    """The pids of this command, of whatever namespace they are."""
    done = subprocess.run(["pgrep", "-fx", command], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    return [int(pid) for pid in done.stdout.split()]


def test_what_is_interrupted_has_ended() -> None:
    """Fails without the wait for orphans: hundreds of processes need some time to be killed."""
    sleep, count = "sleep 86400.125", 400
    found: list[int] = []

    def interrupt_when_there_are_all() -> None:
        while len(found) < count:
            time.sleep(0.1)
            found[:] = _running(sleep)
        os.kill(os.getpid(), signal.SIGALRM)

    before = signal.signal(signal.SIGALRM, _interrupt)
    try:
        threading.Thread(target=interrupt_when_there_are_all, daemon=True).start()
        with pytest.raises(Interrupted):
            places.run_in_namespaces(["sh", "-c", f"for i in $(seq {count}); do {sleep} & done; wait"])
        left = [pid for pid in found if Path(f"/proc/{pid}").exists()]
    finally:
        signal.signal(signal.SIGALRM, before)
    assert len(found) == count
    assert not left


def test_a_cgroup_that_another_one_removes() -> None:
    began = time.monotonic()
    bundles.remove_cgroup(f"/sys/fs/cgroup/{PREFIX}gone", began + 60)
    assert time.monotonic() < began + 30


def install(local: Path) -> None:
    """What `make install PREFIX=/usr/local` puts there, as far as a container needs it: the checkout itself cannot be
    used, as it may lie where the tree has something of its own."""
    library = local / "lib" / "pyoci"
    shutil.copytree(ROOT / "oci_runtime", library / "oci_runtime")
    shutil.copy(_cffi_backend.__file__, library)
    stage = local.parent / "stage"
    (stage / "usr").mkdir(parents=True)
    (stage / "usr" / "local").symlink_to(local)
    shown = stage / "usr" / "local" / "lib" / "pyoci"
    command: list[str | Path] = [
        sys.executable,
        ROOT / "scripts" / "make_launcher.py",
        "--root",
        stage,
        "--bundle",
        shown,
    ]
    command += ["--package", shown, "--dependencies", shown, stage / places.IN_TREE.strip("/")]
    subprocess.run(command, check=True)


def test_a_tree_is_entered(tmp_path: Path) -> None:
    tree, local = tmp_path / "tree", tmp_path / "local"
    tree.mkdir()
    install(local)
    runc = shutil.which("runc")
    assert runc
    bind = 'mount --bind / "$1" && shift && exec "$@"'
    command = ["unshare", "--mount", "sh", "-c", bind, "sh", str(tree)]
    done = subprocess.run(
        [*command, sys.executable, "-c", MEASURE, tree, local, places.IN_TREE, runc],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["machine"]["cgroups"].startswith("v2 ")
    assert set(result["bundles"]["engine"]["run"]) == {"pyoci", "runc"}
    left = Path("/proc/self/mountinfo").read_text()
    assert str(tmp_path) not in left
    assert PREFIX not in left
