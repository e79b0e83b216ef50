"""move_files.py FROM TO: moves the files of a tree over those of another; each changes at once, as a whole."""

from __future__ import annotations

import os
import sys


def main(source: str, target: str) -> None:
    for base, _, files in os.walk(source):
        folder = os.path.join(target, os.path.relpath(base, source))
        os.makedirs(folder, exist_ok=True)
        for name in files:
            os.replace(os.path.join(base, name), os.path.join(folder, name))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
