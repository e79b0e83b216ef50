"""Compiles native/init/ to the static program oci_runtime/init, which is executed inside containers."""

from __future__ import annotations

import glob
import os
import shlex
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
FLAGS = (
    "-std=c11 -Os -Wall -Wextra -Werror -Wconversion -Wno-sign-conversion -ffreestanding -fno-stack-protector "
    "-fno-tree-loop-distribute-patterns -fno-asynchronous-unwind-tables -fno-pic -no-pie "
    "-static -nostdlib -nostartfiles -ffunction-sections -Wl,--gc-sections -Wl,-z,noexecstack "
    "-Wl,-z,norelro -Wl,--build-id=none -s"
)


def build(output: str) -> None:
    """Compiles init to `output`, with the compiler of $CC."""
    compiler = shlex.split(os.environ.get("CC", "gcc"))
    sources = sorted(glob.glob(os.path.join(HERE, "init", "*.c")))
    subprocess.run([*compiler, *FLAGS.split(), "-o", output, *sources], check=True)


if __name__ == "__main__":
    build(sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "..", "oci_runtime", "init"))
