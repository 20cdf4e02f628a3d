"""The command as a process of its own, and the memory it took at its peak."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any


def run(configuration: Path, *arguments: str) -> tuple[float, dict[str, Any]]:
    """Run a command; MiB at its peak, and its JSON result."""
    script = Path(__file__).with_name("peak.py")
    result = subprocess.run(
        [sys.executable, str(script), "--config", str(configuration), "--json", "--quiet", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return int(result.stderr.split()[-1]) / 1024, json.loads(result.stdout.splitlines()[-1])
