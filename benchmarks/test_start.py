"""How long the command takes to say anything."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from . import command
from .measuring import Measure


def test_help(measure: Measure) -> None:
    """``kleidia-backup --help`` beside an interpreter that does nothing."""
    program = [sys.executable, "-c", "from kleidia_backup.cli import main; main()", "--help"]
    installed = Path(sys.executable).with_name("kleidia-backup")
    if installed.exists():
        program = [str(installed), "--help"]

    def run(words: list[str]) -> None:
        subprocess.run(words, stdout=subprocess.DEVNULL, check=True, env=command.environment())

    for words in (program, [sys.executable, "-c", "pass"]):
        run(words)  # compiled and in the cache
    measure.race(lambda: run(program), rounds=10, bare=lambda: run([sys.executable, "-c", "pass"]))
    measure.line("help", measure.best() - measure.best("bare"), ours=measure.best(), bare=measure.best("bare"))
    measure.judge()
