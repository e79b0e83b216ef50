"""Print what pyproject.toml says is needed to build and to run, and the extras named: `requirements.py dev`.

For Python 3.10, which has no tomllib, pip's own copy of tomli is read.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any


def load(path: Path) -> dict[str, Any]:
    """The contents of a TOML file."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        from pip._vendor import tomli as tomllib
    with path.open("rb") as file:
        return tomllib.load(file)


def main(extras: list[str]) -> None:
    document = load(Path(__file__).resolve().parent.parent / "pyproject.toml")
    project = document["project"]
    lists = [document["build-system"]["requires"], project["dependencies"]]
    lists += [project["optional-dependencies"][extra] for extra in extras]
    print(*dict.fromkeys(requirement for group in lists for requirement in group), sep="\n")


if __name__ == "__main__":
    main(sys.argv[1:])
