"""Where servers and tests keep their files: in memory, where there is enough of it.

What is written with care, as archives, journals and OpenBao's storage are, waits for a disk at each step; and a
database that is made or dropped is 300 files. Whoever wants all of it on a disk sets ``PYTEST_DEBUG_TEMPROOT`` to a
directory there.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

#: pytest's own variable: its directories are made there.
VARIABLE = "PYTEST_DEBUG_TEMPROOT"
_MEMORY = Path("/dev/shm")
#: Before the id of the process that made a directory.
_PREFIX = "kleidia-servers-"
#: Bytes that must be free there, and of the machine's memory: a run of all tests needs a part of it.
_ROOM = 4 << 30


def has_room() -> bool:
    """Whether there is a file system in memory, and room in it."""
    if not _MEMORY.is_dir() or not os.access(_MEMORY, os.W_OK):
        return False
    return min(shutil.disk_usage(_MEMORY).free, psutil.virtual_memory().available) > _ROOM


def use_memory() -> None:
    """Let pytest make its directories in memory, unless somebody has said where."""
    if VARIABLE not in os.environ and has_room():
        os.environ[VARIABLE] = str(_MEMORY)


@contextmanager
def in_memory(otherwise: Path) -> Iterator[Path]:
    """An empty directory that every account may enter, removed at the end; ``otherwise`` where pytest's are on a disk.

    PostgreSQL does not run as root, and no other account may enter pytest's directories.
    """
    if not otherwise.is_relative_to(_MEMORY):
        yield otherwise
        return
    for left in _MEMORY.glob(f"{_PREFIX}*-*"):  # by a run that was killed: it would take memory for ever
        if not psutil.pid_exists(int(left.name.removeprefix(_PREFIX).partition("-")[0])):
            shutil.rmtree(left, ignore_errors=True)
    prefix = f"{_PREFIX}{os.getpid()}-"
    with tempfile.TemporaryDirectory(prefix=prefix, dir=_MEMORY, ignore_cleanup_errors=True) as made:
        Path(made).chmod(0o711)
        yield Path(made)
