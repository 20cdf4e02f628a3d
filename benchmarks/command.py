"""The command as a process of its own: how long it took, or how much memory at its peak."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from time import perf_counter
from typing import Any

#: As a user runs it: the console script where it is installed.
_INSTALLED = Path(sys.executable).with_name("kleidia-backup")
PROGRAM = [str(_INSTALLED)] if _INSTALLED.exists() else [sys.executable, "-m", "kleidia_backup.cli"]


def timed(configuration: Path, *arguments: str) -> tuple[float, dict[str, Any]]:
    """Run a command; the seconds from its start to its end, and its JSON result."""
    environment()
    started = perf_counter()
    result, _ = _run(PROGRAM, configuration, arguments)
    return perf_counter() - started, result


def run(configuration: Path, *arguments: str) -> tuple[float, dict[str, Any]]:
    """Run a command; MiB at its peak, and its JSON result."""
    script = Path(__file__).with_name("peak.py")
    result, said = _run([sys.executable, str(script)], configuration, arguments)
    return int(said.split()[-1]) / 1024, result


@cache
def environment() -> dict[str, str]:
    """That of the command. What pip installs is compiled, whatever is set here for a checkout: so it is here."""
    directory = tempfile.mkdtemp(prefix="compiled-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    found = {**os.environ, "PYTHONPYCACHEPREFIX": directory}
    found.pop("PYTHONDONTWRITEBYTECODE", None)
    commands = ("cli", "commands.backup", "commands.verify", "commands.restores.restore", "commands.look")
    imports = (*commands, "pipeline.parts.database", "pipeline.parts.vault", "stages.stores.s3.store")
    program = "import " + ", ".join(f"kleidia_backup.{each}" for each in imports)
    subprocess.run([sys.executable, "-c", program], env=found | _path(), cwd="/", check=True)
    return found


def _path() -> dict[str, str]:
    """For a program that is no console script: the package may be in the path of this process alone."""
    return {"PYTHONPATH": os.pathsep.join(sys.path)}


def _run(program: list[str], configuration: Path, arguments: tuple[str, ...]) -> tuple[dict[str, Any], str]:
    result = subprocess.run(
        [*program, "--config", str(configuration), "--json", "--quiet", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        env=environment() | (_path() if program[0] == sys.executable else {}),
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return json.loads(result.stdout.splitlines()[-1]), result.stderr
