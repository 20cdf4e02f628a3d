"""Uploads that are gone on with where they broke off: for copies, which can be made again from what they copy."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from .base import Upload

if TYPE_CHECKING:
    from .base import ObjectInfo, ObjectStore


@dataclass(frozen=True, slots=True)
class UnfinishedUpload:
    """An upload that runs, or that broke off: of ``name``, begun at ``began``, with so many bytes so far.

    ``size`` is None where the store does not say; ``id`` is what the store knows it by: an upload id, or a file.
    """

    name: str
    began: datetime
    size: int | None
    id: str


class ResumableUpload(Upload, Protocol):
    """An upload that can also be left for another to go on with."""

    async def leave(self) -> None:
        """Stop, and keep every part that is there. Where ``complete`` began and did not return, this is ``abort``."""


@runtime_checkable
class Resumable(Protocol):
    """A store that can go on with an unfinished upload."""

    async def resume(self, name: str, *, part_size: int) -> ResumableUpload:
        """Go on with the latest unfinished upload of that name, else begin one.

        All parts are given to it again; those that the store has with the same bytes are not sent again. Raises
        ``ObjectExists`` when the name is taken, and ``StoreError`` while another process writes to it, where that can
        be told.
        """

    async def unfinished(self) -> frozenset[str]:
        """The names of what is being uploaded under the prefix, or was when it broke off."""

    async def abort_older(self, older_than: timedelta) -> tuple[str, ...]:
        """As ``abort_stale`` of the store; the names of what they would have become."""

    async def uploads(self, *, sizes: bool = True) -> tuple[UnfinishedUpload, ...]:
        """All of them, those of other programs under the prefix too; a request for each more with ``sizes``.

        Raises the ``StoreError`` tree: ``StoreForbidden`` where the key may not list them.
        """


class Resuming:
    """A store whose uploads go on where an earlier one broke off, and are kept when they break off themselves."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    async def create(self, name: str, *, part_size: int) -> Upload:
        """As in ``base.ObjectStore``."""
        if not isinstance(self._store, Resumable):
            return await self._store.create(name, part_size=part_size)
        return _Kept(await self._store.resume(name, part_size=part_size))

    async def put(self, name: str, data: bytearray) -> ObjectInfo:
        """As in ``base.ObjectStore``."""
        return await self._store.put(name, data)


class _Kept:
    """Whose ``abort`` leaves everything for another attempt."""

    def __init__(self, upload: ResumableUpload) -> None:
        self._upload = upload

    async def put_part(self, number: int, data: bytearray) -> None:
        """As in ``base.Upload``."""
        await self._upload.put_part(number, data)

    async def complete(self, size: int) -> ObjectInfo:
        """As in ``base.Upload``."""
        return await self._upload.complete(size)

    async def abort(self) -> None:
        """Leave it."""
        await self._upload.leave()
