"""An archive in a directory whose beginning is replaced: a copy under a hidden name, which takes the old one's place.

A file is never changed in place: what is cut off in the middle of that opens no more. A copy is the file system's own
where it can (``copy_file_range``, which shares the blocks on Btrfs and XFS).
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import ObjectChanged, StoreUnreachable
from .errors import mapped
from .paths import info_of, path_of, sync_up, temporary

if TYPE_CHECKING:
    from ..base import ObjectInfo

#: Bytes copied in one go: between two of them a job can be stopped.
STEP = 64 * 1024 * 1024
#: Error numbers of ``copy_file_range`` where the file system, or the kernel, has no such thing.
_NO_COPY = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM}


class Replacement:
    """The copy. All methods block; call ``discard`` after any exception."""

    def __init__(self, root: Path, name: str, pin: ObjectInfo) -> None:
        self._root = root
        self._name = name
        self._pin = pin
        self._path = path_of(root, name)
        self._temporary = temporary(self._path)
        self._file = self._source = -1

    def begin(self, data: bytearray, skip: int) -> None:
        """Open both files, and write the new beginning. Raises ``ObjectMissing`` and ``ObjectChanged``."""
        with mapped(f"read {self._name}"):
            self._source = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            self._require_same(os.fstat(self._source))
        with mapped(f"write {self._name}"):
            self._file = os.open(self._temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            _write(self._file, data)
            os.lseek(self._source, skip, os.SEEK_SET)

    def copy(self) -> bool:
        """Copy the next ``STEP`` bytes, fewer at the end; False when that is reached."""
        with mapped(f"write {self._name}"):
            return _copy(self._source, self._file) > 0

    def publish(self, size: int) -> ObjectInfo:
        """Bring the copy of ``size`` bytes to the disk, and put it in the old one's place. Raises ``ObjectChanged``."""
        with mapped(f"finish {self._name}"):
            if os.fstat(self._file).st_size != size:
                raise StoreUnreachable(f"{self._name} changed while it was copied.", hint="Look who else writes there.")
            os.fsync(self._file)
            self._close()
            self._require_same(self._path.lstat())
            self._temporary.replace(self._path)
            sync_up(self._path.parent, self._root)
            return info_of(self._name, self._path.lstat())

    def discard(self) -> None:
        """Remove the copy, unless it has its name already."""
        with mapped(f"remove what was written of {self._name}"):
            self._close()
            self._temporary.unlink(missing_ok=True)

    def _require_same(self, found: os.stat_result) -> None:
        if not self._pin.is_same(info_of(self._name, found)):
            raise ObjectChanged(f"{self._name} was replaced meanwhile.", hint="Start again with it as it is now.")

    def _close(self) -> None:
        files, self._file, self._source = (self._file, self._source), -1, -1
        for file in files:
            if file >= 0:
                os.close(file)


def _write(file: int, data: bytes | bytearray) -> None:
    written = 0
    while written < len(data):
        written += os.write(file, memoryview(data)[written:])


def _copy(source: int, target: int) -> int:
    """Copy from where both files are; bytes copied, 0 at the end."""
    if hasattr(os, "copy_file_range"):
        try:
            return os.copy_file_range(source, target, STEP)
        except OSError as exc:
            if exc.errno not in _NO_COPY:
                raise
    data = os.read(source, 1024 * 1024)
    _write(target, data)
    return len(data)
