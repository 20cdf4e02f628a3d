"""An upload to a directory: parts written in place to a hidden file, which gets its name at the end."""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ....pipeline.engine import in_thread
from ...errors import ConfigurationError, InternalError, StoreError
from ..parts import UploadParts
from .errors import mapped
from .paths import exists, info_of, sync_up, temporary

if TYPE_CHECKING:
    from ..base import ObjectInfo

#: Bytes written at once. The system takes memory for a file in pieces as large as a write: small ones it finds among
#: what was just set free, large ones where nobody has been yet, which costs a virtual machine ten times as much.
_WRITE = 256 * 1024

#: Error numbers of ``link`` on file systems that have no hard links (FAT, some network file systems).
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}


class DirectoryUpload:
    """Implements ``base.Upload``, and goes on with the hidden file ``partial`` that an earlier one left.

    The hidden file is locked as long as this goes on, where the file system has locks: nobody else goes on with it.
    Raises ``StoreError`` when somebody else does.
    """

    def __init__(self, root: Path, name: str, path: Path, part_size: int, partial: Path | None = None) -> None:
        self._root = root
        self._name = name
        self._path = path
        self._part_size = part_size
        self._parts = UploadParts(name, part_size)
        self._temporary = partial or temporary(path)
        self._resumed = partial is not None
        self._published = False
        self._done = False
        with mapped(f"create {name}"):
            _make_folder(path.parent)
            new = 0 if self._resumed else os.O_CREAT | os.O_EXCL
            self._file = os.open(self._temporary, os.O_RDWR | new | os.O_NOFOLLOW, 0o600)
        self._lock()

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            self._close()
            raise StoreError(
                f"Another process writes {self._name} at the moment.", hint="Wait until it ended, then try again."
            ) from exc
        except OSError:  # a file system without locks: whoever writes there writes the same bytes
            return

    async def put_part(self, number: int, data: bytearray) -> None:
        """As in ``base.Upload``."""
        self._parts.require_fit(number, len(data))
        await in_thread(self.write, number, data)

    async def complete(self, size: int) -> ObjectInfo:
        """As in ``base.Upload``."""
        self._parts.require_whole(size)
        info = await in_thread(self.publish, size)
        self._done = True
        return info

    async def abort(self) -> None:
        """As in ``base.Upload``."""
        if not self._done:
            await in_thread(self.discard)

    def write(self, number: int, data: bytearray) -> None:
        """Write one part; blocks."""
        start, written = (number - 1) * self._part_size, 0
        with mapped(f"write {self._name}"):
            if self._resumed and self._has(start, data):
                written = len(data)
            while written < len(data):
                piece = memoryview(data)[written : written + _WRITE]
                written += os.pwrite(self._open_file(), piece, start + written)
        self._parts.add(number, len(data))

    def _has(self, start: int, data: bytearray) -> bool:
        """Whether the file that was left has these bytes already. Its holes read as zeros, and fit nothing else."""
        at, step = 0, 1024 * 1024
        while at < len(data):
            piece = os.pread(self._open_file(), min(step, len(data) - at), start + at)
            if not piece or piece != memoryview(data)[at : at + len(piece)]:
                return False
            at += len(piece)
        return True

    async def leave(self) -> None:
        """Stop, and leave what was written to be gone on with."""
        with suppress(OSError):
            self._close()

    def publish(self, size: int) -> ObjectInfo:
        """Bring all ``size`` bytes to the disk and give the file its name; blocks."""
        with mapped(f"finish {self._name}"):
            os.ftruncate(self._open_file(), size)
            os.fsync(self._file)
            self._close()
            self._give_name()
            sync_up(self._path.parent, self._root)
            return info_of(self._name, self._path.lstat())

    def _give_name(self) -> None:
        try:
            os.link(self._temporary, self._path, follow_symlinks=False)
        except FileExistsError as exc:
            raise exists(self._name) from exc
        except OSError as exc:
            if exc.errno not in _NO_LINKS:
                raise
            self._take_name()
        self._published = True
        self._temporary.unlink(missing_ok=True)

    def _take_name(self) -> None:
        """Without hard links: an empty file claims the name, which no second one can do, and is replaced at once."""
        try:
            os.close(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError as exc:
            raise exists(self._name) from exc
        self._published = True
        self._temporary.replace(self._path)

    def discard(self) -> None:
        """Remove what is there; blocks."""
        with mapped(f"remove what was written of {self._name}"):
            self._close()
            self._temporary.unlink(missing_ok=True)
            if self._published:
                self._path.unlink(missing_ok=True)
                self._published = False

    def _open_file(self) -> int:
        if self._file < 0:
            raise InternalError(f"The upload of {self._name} is over.")
        return self._file

    def _close(self) -> None:
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as exc:
        raise ConfigurationError(f"{folder} is a file, not a folder.", hint="Choose another prefix.") from exc
