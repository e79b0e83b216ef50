"""The interpreter that pyoci is built with, outside of the tests' virtual environment."""

from __future__ import annotations

import os
import sys

PYTHON = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
