"""The short search: mutations of what is kept, without guidance; ``python -m tests.fuzz.blind NAME``.

The same inputs on every machine and in every process, so that CI fails on a change alone. Coverage-guided searches are
others in another checkout (see CONTRIBUTING.md). Needs no atheris.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from pathlib import Path

from . import clock
from .harness import SEPARATOR, Harness
from .kept import inputs
from .registry import harness, place

#: Most mutations of one input.
_DEPTH = 5


def search(name: str, keep: Path) -> None:
    """Try as many inputs as the registry says. Raises whatever the first finding is, which is saved in ``keep``."""
    found, kept = harness(name), [path.read_bytes() for path in inputs(name)] or [b""]
    for data in mutated(name, found, kept, place(name).runs):
        try:
            found.one(data)
        except Exception:
            keep.mkdir(parents=True, exist_ok=True)
            saved = keep / f"{name}-blind"
            saved.write_bytes(data)
            raise


def mutated(name: str, found: Harness, kept: list[bytes], runs: int) -> Iterator[bytes]:
    """Inputs, each made of a kept one by a few changes that the harness's name and the number of the run decide."""
    for number in range(runs):
        chance = random.Random(f"{name}/{number}")
        data = chance.choice(kept)
        for _ in range(chance.randrange(1, _DEPTH + 1)):
            data = _changed(data, chance, kept, found.tokens)
        yield data[: found.max_len]


def _changed(data: bytes, chance: random.Random, kept: list[bytes], tokens: tuple[bytes, ...]) -> bytes:
    """One change: a piece of the input becomes another."""
    start = chance.randrange(len(data) + 1)
    end = min(len(data), start + chance.choice((0, 1, 1, 2, 4, 16, 64)))
    piece = data[start:end]
    other = chance.choice(kept)
    at = chance.randrange(len(other) + 1)
    made = (
        chance.randbytes(len(piece)),
        bytes(byte ^ 1 << chance.randrange(8) for byte in piece[:1]) + piece[1:],
        b"",
        piece * chance.choice((2, 2, 8)),
        other[at : at + chance.choice((4, 16, 256))],
        SEPARATOR,
        chance.choice(tokens or (b"\0",)),
    )
    return data[:start] + chance.choice(made) + data[end:]


if __name__ == "__main__":
    clock.stop()
    search(sys.argv[1], Path(sys.argv[2]))
