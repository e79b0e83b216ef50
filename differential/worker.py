"""A process of its own for a view: `python3 -m differential.worker VIEW PROBE BUSYBOX`, used by run.py.

It reads lines of JSON, {"case": …, "runtimes": [[NAME, PROGRAM], …]}, and answers each with a line: an object of what
session.py saw, by the runtime's name.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

from conformance import kernel
from differential import scene
from differential.cases import from_document
from differential.session import Session

#: What the worker had when it was started is nothing that a difference may hang on.
_LIMITS = {resource.RLIMIT_NOFILE: (1024, 4096), resource.RLIMIT_CORE: (0, 0), resource.RLIMIT_STACK: (8 << 20, -1)}


def _settle() -> None:
    kernel.end_with_parent(signal.SIGKILL)
    kernel.adopt_orphans()
    # What a runtime does to the host by mistake, it does to these.
    kernel.new_namespaces(kernel.CLONE_NEWNET | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS)
    for which, limits in _LIMITS.items():
        resource.setrlimit(which, limits)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    os.setgroups([])
    os.umask(0o022)
    Path("/proc/self/oom_score_adj").write_text("0")


def main(argv: list[str]) -> int:
    view, probe, busybox = argv
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    os.set_inheritable(answers.fileno(), False)
    _settle()
    scene.private_machine(view)
    for line in sys.stdin:
        request: dict[str, Any] = json.loads(line)
        case = from_document(request["case"])
        found = {}
        for name, program in request["runtimes"]:
            scene.set_up(Path(probe), Path(busybox), case.config)
            try:
                found[name] = Session(program, case).run()
            finally:
                scene.tear_down()
        answers.write(json.dumps(found) + "\n")
        answers.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
