"""Directories of a drill among the temporary files: what they hold is what the archive holds, in clear.

A drill holds a lock on its directory, which ends with its process. So one that nobody holds was left behind by a
process that was killed, and the next drill removes it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["servers", "state"]
_PREFIX = "kleidia-drill-"


class HeldDirectory:
    """A new directory, held until it is removed. Raises ``OSError``.

    ``parent`` is where (None: where temporary files lie). ``servers`` have one that every account may pass through, for
    as root PostgreSQL runs as another account.
    """

    def __init__(self, kind: Kind, parent: Path | None = None) -> None:
        while True:
            self.path = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{kind}-", dir=parent))
            with suppress(FileNotFoundError):  # another drill took it for one that was left
                self._file = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
                with suppress(OSError):  # a file system without locks: nobody removes it but us
                    fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if self.path.exists():
                    break
                os.close(self._file)
        if kind == "servers":
            self.path.chmod(0o711)

    def remove(self) -> None:
        """Remove it, with all it holds."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._file)


@contextmanager
def held_directory(kind: Kind) -> Iterator[Path]:
    """The same where temporary files lie, for as long as this context lasts; those that are left go first."""
    remove_left(kind)
    made = HeldDirectory(kind)
    try:
        yield made.path
    finally:
        made.remove()


def remove_left(kind: Kind, parent: Path | None = None, end: Callable[[Path], object] = lambda _: None) -> None:
    """Remove this user's directories of that kind that nobody holds; ``end`` ends what still runs in one."""
    for path in (parent or Path(tempfile.gettempdir())).glob(f"{_PREFIX}{kind}-*"):
        with suppress(OSError):  # held, or without locks, or removed by another at this moment
            _remove_unheld(path, end)


def _remove_unheld(path: Path, end: Callable[[Path], object]) -> None:
    file = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        found = os.fstat(file)
        if found.st_uid != os.geteuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            return
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        end(path)
        shutil.rmtree(path, ignore_errors=True)
    finally:
        os.close(file)
