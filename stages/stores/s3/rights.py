"""Trying each right that a backup and a restore need."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from ...errors import ObjectRetained, Right, StoreError, StoreUnreachable
from ..locks import Lock
from ..names import probe_name
from . import multipart
from .read import opened
from .rules import ACTIONS, RightMissing

if TYPE_CHECKING:
    from .bucket import Bucket

_PROBE = b"kleidia-backup tries what it may do here; this can be deleted."


async def missing_rights(bucket: Bucket, prefix: str) -> tuple[str, ...]:
    """The IAM names of the rights that are missing, each once, in the order tried.

    What is stored for that carries one of our names and is removed again, where removing is allowed.
    """
    missing: dict[str, None] = {}

    async def may(attempt: Coroutine[None, None, object]) -> bool:
        try:
            await attempt
        except RightMissing as exc:
            missing.update({right.verb: None for right in exc.rights})
            return False
        return True

    name, mark = probe_name(prefix), secrets.token_hex(16)
    await may(_first(bucket.objects(prefix, page=1)))
    if await may(bucket.put(name, bytearray(_PROBE), mark)):
        await may(bucket.head(name))
        await may(_read(bucket, name))
        if not await _gone(bucket, name):
            await may(bucket.delete(name))
    await may(_upload(bucket, name, mark))
    if bucket.settings.lock_mode != "none":
        await may(_locked(bucket, name, mark))
    await may(_first(multipart.unfinished(bucket, name)))
    return tuple(missing)


async def _first(found: AsyncGenerator[object]) -> None:
    async with aclosing(found):
        await anext(found, None)


async def _read(bucket: Bucket, name: str) -> None:
    async with opened(bucket, name, 0, None, None) as chunks:
        async for _ in chunks:
            pass


async def _gone(bucket: Bucket, name: str) -> bool:
    """Remove the very version that was stored, where versions are kept and that is allowed; whether it is gone."""
    try:
        version = (await bucket.head(name)).info.version
        if version:
            await bucket.delete(name, version)
    except (RightMissing, ObjectRetained):
        return False
    return bool(version)


async def _locked(bucket: Bucket, name: str, mark: str) -> None:
    """Begin an upload of what would be locked. A bucket that cannot lock is found by ``immutable.probing``."""
    lock = Lock("governance", datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=1))
    try:
        upload_id = await multipart.begin(bucket, name, mark, lock)
    except RightMissing as exc:
        action = ACTIONS["PutObjectRetention"]
        raise RightMissing(exc.message, rights=(Right(action, name),)) from exc
    except StoreUnreachable:
        raise
    except StoreError:
        return
    await multipart.abort(bucket, name, upload_id)


async def _upload(bucket: Bucket, name: str, mark: str) -> None:
    upload_id = await multipart.begin(bucket, name, mark)
    try:
        await multipart.put_part(bucket, name, upload_id, 1, bytearray(_PROBE))
    finally:
        await multipart.abort(bucket, name, upload_id)
