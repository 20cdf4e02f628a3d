"""An upload in parts to S3: nothing visible before ``complete``, nothing left after ``abort``."""

from __future__ import annotations

import asyncio
import enum
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, Self

import anyio

from ...errors import InternalError, KleidiaError, ObjectExists, StoreUnreachable
from ..parts import UploadParts
from . import multipart
from .rules import UploadMissing
from .whole import CLEANUP, is_ours, refuse_taken, remove_ours, require_stored

if TYPE_CHECKING:
    from types_aiobotocore_s3.type_defs import CompletedPartTypeDef

    from ..base import ObjectInfo
    from ..locks import Lock
    from .bucket import Bucket


class _State(enum.Enum):
    OPEN = enum.auto()
    COMPLETING = enum.auto()
    DONE = enum.auto()
    ABORTED = enum.auto()


class S3Upload:
    """Implements ``base.Upload``; made by ``begin``."""

    def __init__(self, bucket: Bucket, name: str, part_size: int, upload_id: str, mark: str, lock: Lock) -> None:
        self._bucket = bucket
        self._name = name
        self._id = upload_id
        self._mark = mark
        self._lock = lock
        self._parts: dict[int, CompletedPartTypeDef] = {}
        self._sizes = UploadParts(name, part_size)
        self._state = _State.OPEN

    @classmethod
    async def begin(cls, bucket: Bucket, name: str, part_size: int, lock: Lock) -> Self:
        """Begin an upload; when cancelled meanwhile, abort what the store may have begun."""
        mark = secrets.token_hex(16)
        beginning = asyncio.ensure_future(multipart.begin(bucket, name, mark, lock))
        try:
            upload_id = await asyncio.shield(beginning)
        except asyncio.CancelledError:
            # Only the answer names the upload, so wait for it, or it would lie there for a day.
            with anyio.move_on_after(CLEANUP, shield=True), suppress(KleidiaError):
                await multipart.abort(bucket, name, await beginning)
            raise
        return cls(bucket, name, part_size, upload_id, mark, lock)

    async def put_part(self, number: int, data: bytearray) -> None:
        """As in ``base.Upload``."""
        self._require_open()
        self._sizes.require_fit(number, len(data))
        early = number > 1 and 1 not in self._parts
        part = await multipart.put_part(self._bucket, self._name, self._id, number, data, early=early)
        self._parts[number] = part
        self._sizes.add(number, len(data))

    def keep(self, part: CompletedPartTypeDef, size: int) -> None:
        """Count a part that the store has from an earlier attempt."""
        self._require_open()
        self._sizes.require_fit(part["PartNumber"], size)
        self._parts[part["PartNumber"]] = part
        self._sizes.add(part["PartNumber"], size)

    async def leave(self) -> None:
        """Stop, and leave what the store has to be gone on with; what ``complete`` began is undone as in ``abort``."""
        if self._state is _State.COMPLETING:
            await self.abort()

    async def complete(self, size: int) -> ObjectInfo:
        """As in ``base.Upload``."""
        self._require_open()
        self._sizes.require_whole(size)
        await refuse_taken(self._bucket, self._name)  # again: hours went by, and some stores ignore the condition
        self._state = _State.COMPLETING
        parts = [self._parts[number] for number in sorted(self._parts)]
        try:
            await multipart.complete(self._bucket, self._name, self._id, parts)
        except (ObjectExists, UploadMissing, StoreUnreachable):
            # Each of them is also what one hears when an earlier attempt succeeded and its answer got lost.
            if not await is_ours(self._bucket, self._name, self._mark, size):
                raise
        info = await require_stored(self._bucket, self._name, size, self._lock)
        self._state = _State.DONE
        return info

    def _require_open(self) -> None:
        if self._state is not _State.OPEN:
            raise InternalError(f"The upload of {self._name} is over.")

    async def abort(self) -> None:
        """As in ``base.Upload``."""
        if self._state in {_State.DONE, _State.ABORTED}:
            return
        if self._state is _State.COMPLETING:
            await remove_ours(self._bucket, self._name, self._mark, self._sizes.total)
        await multipart.abort(self._bucket, self._name, self._id)
        self._state = _State.ABORTED
