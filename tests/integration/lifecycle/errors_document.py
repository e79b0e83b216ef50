"""Makes docs/errors.md from real runs: `.venv/bin/python tests/integration/lifecycle/errors_document.py`, as root.

A test compares, so that the document cannot get stale.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from broken_inputs import CONFIGS
from containers import CHECKOUT, Bundle, Pyoci

DOCUMENT = CHECKOUT / "docs" / "errors.md"

HEAD = """# What pyoci says when something is wrong

One line for each problem: what, where, why, and what would be valid. A mistake in config.json has its JSON pointer
(RFC 6901) and, since people look for it with an editor, line and column; all of them are told at once. What only the
kernel can refuse has the operation, the pointer of the property that asked for it, and the kernel's answer. Whatever
goes wrong, nothing is left of the container.

Without `--log` the line is a log record on standard error. With `--log` the record goes to that file, as text or,
with `--log-format json`, as one JSON object with `level`, `msg` and `time`, and standard error gets the bare message,
as below. The exit status is 1; that of `exec` is 255, and 128 and the number of the signal when one interrupts a
command. With `--debug` an error of pyoci itself comes with its traceback.

The ten below come from real runs: `tests/integration/lifecycle/errors_document.py` makes this file, and a test
compares.
"""

#: broken inputs, by their names, and what the reader should know of each
TEN = {
    "trailing comma": "A comma too many:",
    "no cwd": "A property is missing:",
    "uid as text": "A property has the wrong type:",
    "unknown rlimit": "A value is none of the valid ones:",
    "a rlimit twice": "Valid for the schema, but not for the specification:",
    "NUL in an argument": "What no system call could take:",
    "hostname without namespace": "Two properties that do not fit together:",
    "unknown filesystem": "The kernel refuses:",
    "source that is not there": "A file of the host is not there:",
    "program that is not in the PATH": "A file of the container is not there (found by `create`, not only by `start`):",
}


def document(directory: Path) -> str:
    """The text, from runs in an empty directory."""
    pyoci = Pyoci(directory)
    parts = [HEAD]
    by_name = {broken.name: broken for broken in CONFIGS}
    try:
        bundle = Bundle(directory / "bundle")
        good = json.dumps(bundle.config)
        for i, (name, words) in enumerate(TEN.items()):
            bundle.config = json.loads(good)
            by_name[name].make(bundle)
            log = str(directory / "log")
            done = pyoci("--log", log, "create", "--bundle", str(bundle.path), pyoci.new_id(), check=False)
            assert done.code == 1, done
            parts.append(f"{i + 1}. {words}\n\n{_indented(done.err.replace(str(bundle.path), '/bundle'))}")
    finally:
        left = pyoci.close()
        assert not left, left
    return "\n".join(parts)


def _indented(text: str) -> str:
    return "".join(f"       {line}\n" for line in text.splitlines())


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="pyoci-") as directory:
        DOCUMENT.write_text(document(Path(directory)))


if __name__ == "__main__":
    main()
