"""Chance for tests that mutate: the same in every run, or another for as long as a search is asked for."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator


def chances(rounds: int) -> Iterator[random.Random]:
    """So many, of fixed seeds; with ``KLEIDIA_TEST_FUZZ_SECONDS`` others until that time is over."""
    search = float(os.environ.get("KLEIDIA_TEST_FUZZ_SECONDS", "0"))
    if not search:
        yield from map(random.Random, range(rounds))
        return
    first, end = time.time_ns(), time.monotonic() + search
    while time.monotonic() < end:
        yield random.Random(first)
        first += 1
