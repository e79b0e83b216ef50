"""The place that is a Debian tree, with the root of this machine as the tree."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

from bench.places import PREFIX

ROOT = Path(__file__).resolve().parents[2]
MEASURE = """
import json, sys
from pathlib import Path
from bench import places
tree, pyoci, runc = sys.argv[1:]
job = {"place": places.TREE, "runs": 1, "slope_runs": 1, "quick": True, "bundles": ["engine"], "slopes": ["mounts"]}
job["runtimes"] = {"pyoci": pyoci, "runc": runc}
with places.scratch() as folder:
    (folder / "bench").mkdir()
    (folder / "local").mkdir()
    print(json.dumps(places.measure(job, Path(tree), folder / "bench", folder / "local")))
"""


def test_a_tree_is_entered(pyoci: Path, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    runc = shutil.which("runc")
    assert runc
    bind = 'mount --bind / "$1" && shift && exec "$@"'
    command = ["unshare", "--mount", "sh", "-c", bind, "sh", str(tree)]
    done = subprocess.run(
        [*command, sys.executable, "-c", MEASURE, tree, pyoci, runc],
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
