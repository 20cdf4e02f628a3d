"""Where harnesses keep their files: in memory, where that can be written, for each input makes some."""

from __future__ import annotations

import atexit
import os
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

#: The directory of a file system in memory, None where there is none.
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


@cache
def room(harness: str) -> Path:
    """A harness's own directory, until the process ends."""
    made: TemporaryDirectory[str] = TemporaryDirectory(prefix=f"kleidia-fuzz-{harness}-", dir=MEMORY)
    atexit.register(made.cleanup)
    return Path(made.name)
