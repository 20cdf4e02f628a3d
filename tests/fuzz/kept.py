"""Writes the corpora: ``python -m tests.fuzz.kept``. They are under version control, so that searches begin there.

A finding that was mended lies beside them, in ``findings/NAME``; this leaves it alone.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from .registry import PLACES, harness

HERE = Path(__file__).parent
CORPUS, FINDINGS = HERE / "corpus", HERE / "findings"


def inputs(name: str) -> list[Path]:
    """The kept inputs of a harness: its corpus, and what was found by it once."""
    return [path for room in (CORPUS, FINDINGS) for path in sorted((room / name).glob("*")) if path.is_file()]


def write(name: str, room: Path) -> None:
    """The corpus of one harness, in the place of what is there."""
    shutil.rmtree(room / name, ignore_errors=True)
    (room / name).mkdir(parents=True)
    for seed, data in harness(name).seeds().items():
        (room / name / seed).write_bytes(data)


if __name__ == "__main__":
    for each in PLACES:
        write(each, CORPUS)
