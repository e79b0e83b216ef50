"""`python3 -I -S -m oci_runtime`; scripts/pyoci is the same, started faster."""

from __future__ import annotations

from oci_runtime.cli.main import run_and_exit

run_and_exit()
