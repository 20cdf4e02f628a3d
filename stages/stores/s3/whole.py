"""Whole objects: whether a name is free, and whether the object there is the one just stored, and complete."""

from __future__ import annotations

import secrets
from contextlib import suppress
from typing import TYPE_CHECKING

import anyio

from ...errors import KleidiaError, ObjectExists, ObjectMissing, ObjectRetained, StoreError, StoreUnreachable
from .immutable.fields import NO_LOCK, lock_for
from .immutable.locking import require_locked
from .rules import RightMissing

if TYPE_CHECKING:
    from ..base import ObjectInfo
    from ..locks import Lock
    from .bucket import Bucket, Stored

#: Seconds that cleaning up after a cancellation may take.
CLEANUP = 15.0


async def refuse_taken(bucket: Bucket, name: str) -> None:
    """Raise ``ObjectExists`` when there is an object of that name."""
    with suppress(ObjectMissing):
        await bucket.head(name)
        raise ObjectExists(
            f"{name} is already there; it was not touched.", hint="Choose another name, or delete it first."
        )


async def put(bucket: Bucket, name: str, data: bytearray) -> ObjectInfo:
    """Store a small object, all or nothing; when cancelled meanwhile, remove what the store may have stored."""
    await refuse_taken(bucket, name)
    mark, lock = secrets.token_hex(16), lock_for(bucket.settings, name)
    try:
        try:
            await bucket.put(name, data, mark, lock)
        except (ObjectExists, StoreUnreachable):
            # Also what one hears when an earlier attempt succeeded and its answer got lost.
            if not await is_ours(bucket, name, mark, len(data)):
                raise
        return await require_stored(bucket, name, len(data), lock)
    except BaseException:
        with anyio.move_on_after(CLEANUP, shield=True), suppress(KleidiaError):
            await remove_ours(bucket, name, mark, len(data))
        raise


async def is_ours(bucket: Bucket, name: str, mark: str, size: int) -> bool:
    """Whether the object of that name is what we stored; not where the store cannot be asked."""
    try:
        return _carries(await bucket.head(name), mark, size)
    except KleidiaError:
        return False


async def remove_ours(bucket: Bucket, name: str, mark: str, size: int) -> None:
    """Delete the object of that name if it is what we stored: this version of it, where versions are kept.

    Where it is locked by now, a delete marker hides it.
    """
    with suppress(ObjectMissing):
        stored = await bucket.head(name)
        if _carries(stored, mark, size):
            try:
                await bucket.delete(name, stored.info.version)
            except ObjectRetained:
                await bucket.delete(name)


async def delete_version(bucket: Bucket, pin: ObjectInfo) -> None:
    """Delete one version of an object for good, so that nothing older shows under its name.

    A key that may not do so hides it, and so is hidden what an older version, such as one with other key slots, would
    show; it is not ours to say that nobody needs that one. Raises ``ObjectRetained`` where a lock keeps the version.
    """
    try:
        await bucket.delete(pin.name, pin.version)
    except RightMissing:
        await bucket.delete(pin.name)
        return
    with suppress(ObjectMissing):
        if (await bucket.head(pin.name)).info.modified <= pin.modified:
            await bucket.delete(pin.name)


def _carries(stored: Stored, mark: str, size: int) -> bool:
    # The name was free when we began. A store that keeps no metadata leaves the size to go by.
    return stored.mark == mark or (not stored.mark and stored.info.size == size)


async def require_stored(bucket: Bucket, name: str, size: int, lock: Lock = NO_LOCK) -> ObjectInfo:
    """The object that was just stored, as the store describes it, locked as asked.

    Raises:
        StoreError: the object is not there, or has another size, or cannot be locked.
    """
    stored = await _found(bucket, name)
    if stored is None:
        raise StoreError(f"{bucket.settings.where} accepted {name} and does not show it.", hint="Use another store.")
    if stored.info.size != size:
        raise StoreError(
            f"{bucket.settings.where} stored {stored.info.size} of the {size} bytes of {name}.",
            hint="Start the backup again; if it happens twice, use another store.",
        )
    await require_locked(bucket, stored, lock)
    return stored.info


async def _found(bucket: Bucket, name: str) -> Stored | None:
    for pause in (0.1, 1.0, 4.0):
        try:
            return await bucket.head(name)
        except ObjectMissing:
            await anyio.sleep(pause)  # some stores are a moment behind themselves
    return None
