"""An object whose beginning is replaced: an upload of the same name, most of whose parts the store copies itself.

The object is the old one until the upload is completed, and then the new one. Parts are of one size, which some stores
want, so the first holds the beginning and some of what follows it.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import anyio

from ...errors import KleidiaError, ObjectExists, StoreError, StoreUnreachable
from ..parts import MAX_PARTS
from . import multipart
from .errors import changed
from .immutable.fields import carried, lock_for
from .read import opened
from .rules import NotSupported, UploadMissing
from .settings import QUICK
from .upload import S3Upload
from .whole import CLEANUP, require_stored

if TYPE_CHECKING:
    from ..base import ObjectInfo
    from ..locks import Lock
    from .bucket import Bucket, Stored

#: Bytes of a part, unless there would be too many. The first of them goes through this process, and is held in memory.
PART = 16 * 1024 * 1024
#: Copies at the same time.
_COPIES = 8


class S3Replacement(S3Upload):
    """An upload that takes the place of an object. It never removes one."""

    async def copy_part(self, number: int, pin: ObjectInfo, start: int, end: int) -> None:
        """As ``put_part``, of bytes of the object of ``pin``. Raises ``ObjectChanged``, and ``NotSupported``."""
        part = await multipart.copy_part(self._bucket, self._name, self._id, number, pin, start, end)
        self._parts[number] = part
        self._sizes.add(number, end - start)

    async def replace(self, size: int, pin: ObjectInfo) -> ObjectInfo:
        """Take the place of the object of ``pin``. Raises ``ObjectChanged``, and as ``complete``."""
        bucket, name = self._bucket, self._name
        self._sizes.require_whole(size)
        parts = [self._parts[number] for number in sorted(self._parts)]
        found = await multipart.sizes(bucket, name, self._id)
        if found is not None and sum(found.get(part["PartNumber"], 0) for part in parts) != size:
            raise StoreError(f"{bucket.settings.where} lost or changed a part of {name}.", hint="Start again.")
        await _require_same(bucket, name, pin)  # again: some stores ignore the condition
        try:
            await multipart.complete(bucket, name, self._id, parts, pin)
        except (ObjectExists, UploadMissing, StoreUnreachable) as exc:
            # Each of them is also what one hears when an earlier attempt succeeded and its answer got lost.
            if (await bucket.head(name)).mark != self._mark:
                await _require_same(bucket, name, pin)
                if isinstance(exc, ObjectExists):  # what the failed condition would mean for a new object
                    raise changed(name) from exc
                raise
        return await require_stored(bucket, name, size, self._lock)

    async def abort(self) -> None:
        """Forget the parts. The object stays, be it the old one or the new one."""
        await multipart.abort(self._bucket, self._name, self._id)


async def replace_start(bucket: Bucket, name: str, data: bytearray, skip: int, pin: ObjectInfo) -> ObjectInfo:
    """As ``base.ObjectStore.replace_start``."""
    lock = carried((await _require_same(bucket, name, pin)).lock, lock_for(bucket.settings, name))
    try:
        return await _replace(bucket, name, data, skip, pin, lock, copies=True)
    except NotSupported:
        # An upload of its own, for some stores took what they did not understand for a part of nothing.
        return await _replace(bucket, name, data, skip, pin, lock, copies=False)


async def _replace(
    bucket: Bucket, name: str, data: bytearray, skip: int, pin: ObjectInfo, lock: Lock, *, copies: bool
) -> ObjectInfo:
    size = len(data) + pin.size - skip
    part = max(PART, len(data), -(-size // MAX_PARTS))
    first = min(part, size) - len(data)
    upload = await S3Replacement.begin(bucket, name, part, lock)
    try:
        await upload.put_part(1, data + await _read(bucket, pin, skip, skip + first))
        starts = range(skip + first, pin.size, part)
        ranges = list(enumerate(((at, min(at + part, pin.size)) for at in starts), start=2))
        if copies:
            await _copy(upload, pin, ranges)
        else:
            for number, (start, end) in ranges:
                await upload.put_part(number, await _read(bucket, pin, start, end))
        return await upload.replace(size, pin)
    except BaseException:
        with anyio.move_on_after(CLEANUP, shield=True), suppress(KleidiaError):
            await upload.abort()
        raise


async def _copy(upload: S3Replacement, pin: ObjectInfo, ranges: list[tuple[int, tuple[int, int]]]) -> None:
    """The parts that the store copies: one, to see whether it can, then several at once."""
    for number, (start, end) in ranges[:1]:
        await upload.copy_part(number, pin, start, end)
    rest = iter(ranges[1:])
    failures: list[KleidiaError] = []

    async def work() -> None:
        for number, (start, end) in rest:
            try:
                await upload.copy_part(number, pin, start, end)
            except KleidiaError as exc:
                failures.append(exc)
            if failures:
                return

    async with anyio.create_task_group() as group:
        for _ in range(_COPIES):
            group.start_soon(work)
    if failures:
        raise failures[0]


async def _read(bucket: Bucket, pin: ObjectInfo, start: int, end: int) -> bytearray:
    """Some bytes of the object, held in memory; a broken download goes on where it was."""
    data = bytearray()
    for attempt in range(QUICK):
        try:
            async with opened(bucket, pin.name, start + len(data), end, pin) as chunks:
                async for chunk in chunks:
                    data.extend(chunk)
            break
        except StoreUnreachable:
            if attempt == QUICK - 1:
                raise
    return data


async def _require_same(bucket: Bucket, name: str, pin: ObjectInfo) -> Stored:
    found = await bucket.head(name)
    if not pin.is_same(found.info):
        raise changed(name)
    return found
