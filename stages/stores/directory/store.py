"""Archives in a local directory: for installations without S3, for the demo and for benchmarks."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self

import anyio

from ....pipeline.engine import MAX_CHUNK, in_thread
from ...errors import ConfigurationError, ObjectChanged, StoreForbidden, StoreUnreachable
from ...setting import Setting
from ..names import PREFIX, folder, is_ours, is_probe, probe_name
from ..resuming import UnfinishedUpload
from .errors import mapped
from .paths import exists, file_of, info_of, intended, path_of, require_directory, require_name, sync_up, walk
from .replace import Replacement
from .upload import DirectoryUpload

if TYPE_CHECKING:
    from ..base import ObjectInfo

__all__ = ["DirectorySettings", "DirectoryStore"]


@dataclass(frozen=True, slots=True)
class DirectorySettings:
    """A directory that exists, and the folder in it that archives go to (``prefix``, as in ``S3Settings``).

    Raises:
        ConfigurationError: the prefix leads out of the directory.
    """

    path: Annotated[Path, Setting("type directory: the directory; it must exist.", "/var/backups/kleidia")]
    prefix: Annotated[str, PREFIX] = ""

    def __post_init__(self) -> None:
        if self.prefix:
            require_name(f"{self.prefix}name")
        object.__setattr__(self, "prefix", folder(self.prefix))

    @property
    def where(self) -> str:
        """As in ``base.StoreSettings``."""
        return str(self.path)

    @property
    def place(self) -> str:
        """As in ``base.StoreSettings``, whatever symbolic links lead there."""
        return f"directory\0{os.path.realpath(self.path)}"

    @property
    def smallest_part(self) -> int:
        """As in ``base.StoreSettings``: smaller ones would cost more than they are worth."""
        return 64 * 1024

    def open(self) -> DirectoryStore:
        """As in ``base.StoreSettings``."""
        return DirectoryStore(self)


class DirectoryStore:
    """Implements ``base.ObjectStore``, on asyncio and trio. Files are readable by their owner alone (mode 0600).

    Everything that touches the file system runs in a thread. Symbolic links are not followed.
    """

    def __init__(self, settings: DirectorySettings) -> None:
        self._root = Path(settings.path)
        self._prefix = settings.prefix

    async def __aenter__(self) -> Self:
        await in_thread(require_directory, self._root)
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Nothing is kept open."""

    @property
    def prefix(self) -> str:
        """As in ``base.ObjectStore``."""
        return self._prefix

    async def create(self, name: str, *, part_size: int) -> DirectoryUpload:
        """As in ``base.ObjectStore``."""
        return await in_thread(self._begin, name, part_size)

    async def resume(self, name: str, *, part_size: int) -> DirectoryUpload:
        """As in ``resuming.Resumable``."""
        return await in_thread(self._resume, name, part_size)

    async def unfinished(self) -> frozenset[str]:
        """As in ``resuming.Resumable``."""
        return await in_thread(self._unfinished)

    async def put(self, name: str, data: bytearray) -> ObjectInfo:
        """As in ``base.ObjectStore``."""
        return await in_thread(self._put, name, data)

    @asynccontextmanager
    async def get(
        self, name: str, *, start: int = 0, end: int | None = None, pin: ObjectInfo | None = None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """As in ``base.ObjectStore``."""
        file, info = await in_thread(self._open, name)
        try:
            if pin is not None and not pin.is_same(info):
                raise _changed(name)
            last = info.size if end is None else min(end, info.size)
            async with aclosing(_chunks(file, name, start, last)) as chunks:
                yield chunks
        finally:
            os.close(file)

    async def head(self, name: str) -> ObjectInfo:
        """As in ``base.ObjectStore``."""
        return await in_thread(self._head, name)

    async def list(self, prefix: str) -> AsyncGenerator[ObjectInfo]:
        """As in ``base.ObjectStore``; hidden files are left out."""
        for info in await in_thread(self._list, prefix):
            yield info

    async def replace_start(self, name: str, data: bytearray, *, skip: int, pin: ObjectInfo) -> ObjectInfo:
        """As in ``base.ObjectStore``: needs room for a second copy, unless the file system shares blocks."""
        copy = await in_thread(Replacement, self._root, name, pin)
        try:
            await in_thread(copy.begin, data, skip)
            while await in_thread(copy.copy):
                pass
            return await in_thread(copy.publish, len(data) + pin.size - skip)
        finally:
            with anyio.CancelScope(shield=True):
                await in_thread(copy.discard)

    async def delete(self, name: str, *, pin: ObjectInfo | None = None) -> None:
        """As in ``base.ObjectStore``."""
        await in_thread(self._delete, name, pin)

    async def presign(self, name: str, expires: timedelta) -> str:  # noqa: ARG002
        """As in ``base.ObjectStore``: there is no such thing here."""
        raise ConfigurationError("A directory has no URLs.", hint="Use the command download instead.")

    async def uploads(self, *, sizes: bool = True) -> tuple[UnfinishedUpload, ...]:
        """As in ``resuming.Resumable``; ``began`` is the time of the last write, and a size costs nothing."""
        del sizes
        return await in_thread(self._uploads)

    async def abort_stale(self, older_than: timedelta) -> int:
        """As in ``base.ObjectStore``; counts from the last write, so that no upload under way is ever removed."""
        return len(await self.abort_older(older_than))

    async def abort_older(self, older_than: timedelta) -> tuple[str, ...]:
        """As in ``resuming.Resumable``."""
        return await in_thread(self._abort_older, older_than.total_seconds())

    async def check(self) -> tuple[str, ...]:
        """As in ``base.ObjectStore``; the names are list, write, read and delete."""
        return await in_thread(self._check)

    def _begin(self, name: str, part_size: int, partial: Path | None = None) -> DirectoryUpload:
        require_directory(self._root)
        path = path_of(self._root, name)
        if os.path.lexists(path):
            raise exists(name)
        return DirectoryUpload(self._root, name, path, part_size, partial)

    def _resume(self, name: str, part_size: int) -> DirectoryUpload:
        left = [(about.st_mtime, each) for each, about in walk(self._root, name) if intended(each) == name]
        return self._begin(name, part_size, file_of(self._root, max(left)[1]) if left else None)

    def _unfinished(self) -> frozenset[str]:
        return frozenset(found for name, _ in walk(self._root, self._prefix) if (found := intended(name)))

    def _uploads(self) -> tuple[UnfinishedUpload, ...]:
        found = ((name, about, intended(name)) for name, about in walk(self._root, self._prefix))
        return tuple(
            UnfinishedUpload(original, datetime.fromtimestamp(about.st_mtime, UTC), about.st_size, name)
            for name, about, original in found
            if original
        )

    def _put(self, name: str, data: bytearray) -> ObjectInfo:
        upload = self._begin(name, max(len(data), 1))
        try:
            if data:
                upload.write(1, data)
            return upload.publish(len(data))
        except BaseException:
            upload.discard()
            raise

    def _open(self, name: str) -> tuple[int, ObjectInfo]:
        with mapped(f"read {name}"):
            file = os.open(path_of(self._root, name), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                return file, info_of(name, os.fstat(file))
            except BaseException:
                os.close(file)
                raise

    def _head(self, name: str) -> ObjectInfo:
        with mapped(f"look at {name}"):
            return info_of(name, path_of(self._root, name).lstat())

    def _list(self, prefix: str) -> tuple[ObjectInfo, ...]:
        found = walk(self._root, prefix)
        return tuple(info_of(name, about) for name, about in found if not name.rpartition("/")[2].startswith("."))

    def _delete(self, name: str, pin: ObjectInfo | None) -> None:
        info = self._head(name)
        if pin is not None and not pin.is_same(info):
            raise _changed(name)
        with mapped(f"delete {name}"):
            path = path_of(self._root, name)
            path.unlink()
            sync_up(path.parent, path.parent)

    def _abort_older(self, seconds: float) -> tuple[str, ...]:
        limit, aborted = time.time() - seconds, list[str]()
        for name, about in walk(self._root, self._prefix):
            original = intended(name)
            if original and is_ours(original, self._prefix) and about.st_mtime < limit:
                with mapped(f"remove {name}"):
                    file_of(self._root, name).unlink(missing_ok=True)
                aborted.append(original)
            elif is_probe(name, self._prefix) and about.st_mtime < limit:
                with mapped(f"remove {name}"):
                    file_of(self._root, name).unlink(missing_ok=True)
        return tuple(aborted)

    def _check(self) -> tuple[str, ...]:
        name = probe_name(self._prefix)
        steps: dict[str, Callable[[], object]] = {
            "list": lambda: self._list(self._prefix),
            "write": lambda: self._put(name, bytearray(b"kleidia-backup tries what it may do here.")),
            "read": lambda: os.close(self._open(name)[0]),
            "delete": lambda: self._delete(name, None),
        }
        missing: list[str] = []
        for right, attempt in steps.items():
            if "write" not in missing:
                try:
                    attempt()
                except StoreForbidden:
                    missing.append(right)
        return tuple(missing)


async def _chunks(file: int, name: str, start: int, end: int) -> AsyncGenerator[bytes]:
    while start < end:
        with mapped(f"read {name}"):
            chunk = await in_thread(os.pread, file, min(MAX_CHUNK, end - start), start)
        if not chunk:
            raise StoreUnreachable(f"{name} became shorter while it was read.", hint="Look who else writes there.")
        start += len(chunk)
        yield chunk


def _changed(name: str) -> ObjectChanged:
    return ObjectChanged(f"{name} was replaced meanwhile.", hint="Start again with the archive as it is now.")
