"""A minute of the soak: see ``benchmarks/soak``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.thorough
def test_a_minute() -> None:
    """Servers that fail, in real time; what grows fast is seen."""
    command = [sys.executable, "-m", "benchmarks.soak", "--minutes", "1", "--hours", "1"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr[-4000:]
